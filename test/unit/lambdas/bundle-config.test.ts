import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { printConfig, readConfig } from "../../../lambdas/bundle-config.ts";
import { TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

const parse = (input: ConfigInput) => parseConfig(input, { source: null, baseDir: "/" });

describe("the configuration beside a bundle", () => {
  test("is read as it was checked", () => {
    const config = parse({
      hostname: "mail.example",
      zones: { bulk: { routingHeaders: { "X-Class": ["bulk"] }, host: "relay.example" } },
      domainConfig: { "example.com": { maxConnections: 3 } },
    });
    assert.deepEqual(readConfig(printConfig(config)), { ...config, smtpInterfaces: [] });
  });

  test("holds no secret", () => {
    const config = parse({
      zones: { bulk: { host: "relay.example", auth: { user: "u", pass: "secret-of-relay" } } },
      plugins: {
        "core/http-auth": { enabled: true, url: "https://us:secret-of-auth@auth.example/" },
        "core/http-config": { enabled: true, url: "https://config.example/" },
      },
      smtpInterfaces: { feeder: { starttls: true, key: TEST_KEY, cert: TEST_CERT } },
    });
    const key = { domain: "a.example", selector: "s", privateKey: "secret-of-dkim" };
    const text = printConfig({ ...config, dkim: { ...config.dkim, keys: [key] } });
    assert.doesNotMatch(text, /secret-of|PRIVATE KEY/);
    const read = readConfig(text);
    assert.equal(read.dkim.enabled, true, "the body hash is made at accept all the same");
    assert.equal(read.httpConfig?.url, "https://config.example/", "mail by HTTP is asked about there too");
    const hosts = [...read.zones.values()]
      .map(({ relay }) => relay?.host)
      .filter((host) => host !== undefined);
    assert.deepEqual(hosts, ["relay.example"]);
  });

  test("names receivers of events, and what signs for them, only to the Lambdas that tell them", () => {
    const config = parse({
      webhooks: [{ url: "https://app.example/?key=secret-of-url", secret: "secret-of-webhook" }],
    });
    assert.doesNotMatch(printConfig(config), /secret-of/);
    assert.deepEqual(readConfig(printConfig(config, config.receivers)).receivers, config.receivers);
  });
});
