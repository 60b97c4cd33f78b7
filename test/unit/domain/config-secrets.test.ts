import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Config } from "#shared/domain/config.ts";
import { digestOf } from "#shared/domain/config-digest.ts";
import { joinSecrets, splitSecrets } from "#shared/domain/config-secrets.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

const parse = (input: ConfigInput): Config => parseConfig(input, { source: null, baseDir: "/" });

const tls = { key: TEST_KEY, cert: TEST_CERT };
const webhooks = [
  { url: "https://app.example/a?key=secret-1", secret: "secret-2" },
  { url: "https://app.example/b?key=secret-3" },
];
const everySecret: ConfigInput = {
  hostname: "mail.example",
  smtpInterfaces: { feeder: { starttls: true, ...tls, sniOptions: { "*.b.example": tls } } },
  zones: {
    relayed: { host: "relay.example", auth: { user: "secret-4", pass: "secret-5" } },
    posted: { http: "https://us:secret-6@post.example/" },
  },
  webhooks,
  plugins: {
    "core/http-auth": { enabled: true, url: "https://us:secret-7@auth.example/" },
    "core/http-config": { enabled: true, url: "https://us:secret-8@config.example/" },
    "core/http-bounce": { enabled: true, url: "https://us:secret-9@bounce.example/" },
    "core/srs": { enabled: true, secret: "secret-10", rewriteDomain: "srs.example" },
  },
};

/** With what a file on disk would be needed for. */
function withFiles(config: Config): Config {
  const keys = [{ domain: "a.example", selector: "s1", privateKey: "secret-11" }];
  const plugin = {
    key: "modules/filter",
    source: { kind: "package", name: "filter", baseDir: "/" } as const,
    contexts: ["main"] as const,
    optional: false,
    hookTimeoutMs: null,
    options: { enabled: true, token: "secret-12", servers: [{ port: 3_310, pass: "secret-13" }] },
  };
  const allMailKey = { domain: null, selector: "s2", privateKey: "secret-14" };
  return { ...config, dkim: { ...config.dkim, keys, allMailKey }, plugins: [plugin] };
}

describe("the secrets of a configuration", () => {
  test("are all taken out, and are named by whose they are", () => {
    const { config, secrets } = splitSecrets(withFiles(parse(everySecret)));
    const text = JSON.stringify(config, (_, value) => (value instanceof Map ? [...value] : value));
    assert.doesNotMatch(text, /secret-\d|PRIVATE KEY/);
    assert.equal(config.digest, "", "the secrets went into it");
    const webhook = (name: string) => name.replace(/app\.example-[0-9a-f]{8}/, "app.example-#");
    assert.deepEqual([...secrets.keys()].map(webhook), [
      "dkim.s1._domainkey.a.example",
      "dkim.s2._domainkey.*",
      "zones.relayed.auth.user",
      "zones.relayed.auth.pass",
      "zones.posted.http",
      "smtpInterfaces.feeder.sniOptions.*.b.example.key",
      "smtpInterfaces.feeder.key",
      "webhooks.app.example-#.url",
      "webhooks.app.example-#.secret",
      "webhooks.app.example-#.url",
      "plugins.core/http-bounce.url",
      "plugins.core/http-auth.url",
      "plugins.core/http-config.url",
      "plugins.modules/filter.token",
      "plugins.modules/filter.servers.0.pass",
      "plugins.core/srs.secret",
    ]);
    const values = [...secrets.values()].join(" ");
    for (let n = 1; n <= 13; n++) assert.match(values, new RegExp(`secret-${n}\\b`));
  });

  test("are put back where they were, with the digest", () => {
    const { digest: _, ...whole } = withFiles(parse(everySecret));
    const config = { ...whole, digest: digestOf(whole) };
    const { config: split, secrets } = splitSecrets(config);
    assert.deepEqual(joinSecrets(split, secrets), { kind: "joined", config });
  });

  test("of a list find their places when it has another order", () => {
    const before = splitSecrets(parse({ ...everySecret, webhooks }));
    const after = splitSecrets(parse({ ...everySecret, webhooks: webhooks.toReversed() }));
    const joined = joinSecrets(after.config, before.secrets);
    assert.ok(joined.kind === "joined");
    assert.deepEqual(
      joined.config.receivers
        .filter(({ format }) => format === "json")
        .map(({ url, secret }) => [url, secret]),
      [
        [webhooks[1]?.url, null],
        [webhooks[0]?.url, "secret-2"],
      ],
    );
  });

  test("that are missing are all named, and nothing runs on half of them", () => {
    const { config, secrets } = splitSecrets(parse(everySecret));
    const some = new Map([...secrets].filter(([name]) => !name.startsWith("zones.")));
    assert.deepEqual(joinSecrets(config, some), {
      kind: "missing",
      names: ["zones.relayed.auth.user", "zones.relayed.auth.pass", "zones.posted.http"],
    });
  });

  test("are none in a configuration that has none", () => {
    const config = parse({ hostname: "mail.example" });
    assert.deepEqual([...splitSecrets(config).secrets], []);
    assert.deepEqual(joinSecrets(splitSecrets(config).config, new Map()), { kind: "joined", config });
  });
});
