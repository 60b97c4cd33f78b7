import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { splitSecrets } from "#shared/domain/config-secrets.ts";
import { readDeployedConfig } from "#shared/runtime/deployed-config.ts";
import { printConfig } from "../../../lambdas/bundle-config.ts";
import { TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

const parse = (input: ConfigInput) => parseConfig(input, { source: null, baseDir: "/" });

describe("the configuration beside a bundle", () => {
  test("is read as it was checked", () => {
    const config = parse({
      hostname: "mail.example",
      zones: { bulk: { routingHeaders: { "X-Class": ["bulk"] }, host: "relay.example" } },
      domainConfig: { "example.com": { maxConnections: 3 } },
    });
    assert.deepEqual(readDeployedConfig(printConfig(config)), { ...config, smtpInterfaces: [], digest: "" });
  });

  test("holds no secret", () => {
    const config = parse({
      zones: { bulk: { host: "relay.example", auth: { user: "u", pass: "secret-of-relay" } } },
      plugins: {
        "core/http-auth": { enabled: true, url: "https://us:secret-of-auth@auth.example/" },
        "core/http-config": { enabled: true, url: "https://us:secret-of-config@config.example/" },
        "core/srs": { enabled: true, secret: "secret-of-srs", rewriteDomain: "srs.example" },
      },
      smtpInterfaces: { feeder: { starttls: true, key: TEST_KEY, cert: TEST_CERT } },
    });
    const key = { domain: "a.example", selector: "s", privateKey: "secret-of-dkim" };
    const allMailKey = { domain: null, selector: "p", privateKey: "secret-of-plugin" };
    const text = printConfig({ ...config, dkim: { ...config.dkim, keys: [key], allMailKey } });
    assert.doesNotMatch(text, /secret-of|PRIVATE KEY/);
    const read = readDeployedConfig(text);
    assert.deepEqual([read.dkim.keys, read.dkim.allMailKey], [[], null], "it does not sign");
    assert.equal(read.dkim.enabled, true, "the body hash is made at accept all the same");
    assert.equal(
      read.httpConfig?.url,
      "plugins.core/http-config.url",
      "mail by HTTP is asked about there too",
    );
    const hosts = [...read.zones.values()]
      .map(({ relay }) => relay?.host)
      .filter((host) => host !== undefined);
    assert.deepEqual(hosts, ["relay.example"]);
  });

  test("names receivers of events only to the Lambdas that tell them, and their secrets to nobody", () => {
    const config = parse({
      webhooks: [{ url: "https://app.example/?key=secret-of-url", secret: "secret-of-webhook" }],
    });
    assert.deepEqual(readDeployedConfig(printConfig(config)).receivers, []);
    const text = printConfig(config, { receivers: config.receivers });
    assert.doesNotMatch(text, /secret-of/);
    assert.deepEqual(readDeployedConfig(text).receivers, splitSecrets(config).config.receivers);
  });
});
