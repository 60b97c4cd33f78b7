import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { awsSettingsOf } from "#shared/runtime/aws-settings.ts";
import { loadConfig } from "#shared/runtime/config.ts";

describe("the settings for AWS", () => {
  test("are the names of a local installation when the environment says nothing", () => {
    assert.deepEqual(awsSettingsOf({ ZONEFLEET_TABLE: " " }), {
      table: "zonefleet",
      bucket: "zonefleet-mail",
      queuePrefix: "zonefleet-",
      secret: null,
      installation: null,
      endpointUrl: null,
    });
  });

  test("are what the environment says", () => {
    const env = {
      ZONEFLEET_TABLE: "Mail-Table1",
      ZONEFLEET_BUCKET: "bodies.eu-1",
      ZONEFLEET_QUEUE_PREFIX: "Mail_Queue-",
      ZONEFLEET_SECRET: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:zonefleet-prod-AbCdEf",
      ZONEFLEET_INSTALLATION: "zonefleet-prod",
      AWS_ENDPOINT_URL: "http://127.0.0.1:4566",
    };
    assert.deepEqual(awsSettingsOf(env), {
      table: "Mail-Table1",
      bucket: "bodies.eu-1",
      queuePrefix: "Mail_Queue-",
      secret: env.ZONEFLEET_SECRET,
      installation: "zonefleet-prod",
      endpointUrl: "http://127.0.0.1:4566",
    });
  });

  const wrong: [env: Record<string, string>, message: RegExp][] = [
    [{ ZONEFLEET_TABLE: "zf" }, /^ZONEFLEET_TABLE: expected 3 to 255 letters, .* found "zf"$/],
    [
      { ZONEFLEET_BUCKET: "Mail" },
      /^ZONEFLEET_BUCKET: expected 3 to 63 lower-case letters, .* found "Mail"$/,
    ],
    [{ ZONEFLEET_QUEUE_PREFIX: "a".repeat(28) }, /^ZONEFLEET_QUEUE_PREFIX: expected 1 to 27 letters/],
    [
      { ZONEFLEET_SECRET: '{"sealKey":"x"}' },
      /^ZONEFLEET_SECRET: expected the name or the ARN of a secret [^"{]*$/,
    ],
    [{ ZONEFLEET_INSTALLATION: "zone fleet" }, /^ZONEFLEET_INSTALLATION: expected 1 to 255 letters/],
    [{ AWS_ENDPOINT_URL: "localhost:4566" }, /^AWS_ENDPOINT_URL: expected a URL such as http:\/\//],
  ];
  for (const [env, message] of wrong) {
    test(`refuse ${JSON.stringify(env)}`, async () => {
      assert.throws(() => awsSettingsOf(env), { code: "invalid-config", message });
      await assert.rejects(loadConfig({ env: { ...env, ZONEFLEET_BACKEND: "aws" }, cwd: "/" }), { message });
      assert.equal((await loadConfig({ env, cwd: "/" })).aws, null, "nobody asks for them on one machine");
    });
  }
});
