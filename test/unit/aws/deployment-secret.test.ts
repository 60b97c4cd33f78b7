/** The secret of a deployment, over the wire of AWS Secrets Manager and in a file. */

import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import {
  deploymentSecret,
  KEEP_MS,
  noDeploymentSecret,
  READ_AGAIN_MS,
} from "#shared/aws/deployment-secret.ts";
import { MAX_SECRET_BYTES, secretText } from "#shared/aws/secrets-manager.ts";
import { splitSecrets } from "#shared/domain/config-secrets.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { SecretsServer } from "../../support/secrets-server.ts";
import { startSecretsServer } from "../../support/secrets-server.ts";

const NAME = "zonefleet-test";
const sealKey = "k".repeat(64);
const config = parseConfig(
  {
    hostname: "mail.example",
    zones: { bulk: { host: "relay.example", auth: { user: "us", pass: "hush" } } },
  },
  { source: null, baseDir: "/" },
);
const { config: split, secrets } = splitSecrets(config);
const whole = { sealKey, config: Object.fromEntries(secrets) };

let server: SecretsServer;
let formerEnv: Readonly<Record<string, string | undefined>>;
before(async () => {
  server = await startSecretsServer();
  formerEnv = { ...process.env };
  Object.assign(process.env, server.env); // the SDK finds region and credentials there
});
after(async () => {
  for (const name of Object.keys(server.env)) {
    if (formerEnv[name] === undefined) delete process.env[name];
    else process.env[name] = formerEnv[name];
  }
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  server.calls.length = 0;
  server.isDown = false;
  server.secrets.clear();
});

function opened(document: unknown) {
  if (document !== null)
    server.secrets.set(NAME, typeof document === "string" ? document : JSON.stringify(document));
  const clock = fakeClock();
  return { clock, secret: deploymentSecret(secretText(NAME, server.env), { clock }) };
}

describe("the secret of a deployment", () => {
  test("gives a configuration its secrets, and seals for every process that has it", async () => {
    const { secret } = opened(whole);
    const { secret: other } = opened(whole);
    assert.deepEqual(await secret.whole(split), config);
    const sealed = await secret.sealing.seal("the key", "dkim/a.example");
    assert.doesNotMatch(sealed, /the key/);
    assert.equal(await other.sealing.open(sealed, "dkim/a.example"), "the key");
    await assert.rejects(secret.sealing.open(sealed, "dkim/b.example"), "it is bound to its name");
  });

  test("is read once for many at once, and again after some minutes", async () => {
    const { clock, secret } = opened(whole);
    await Promise.all([secret.whole(split), secret.sealing.seal("a", "b"), secret.whole(split)]);
    await clock.advance(KEEP_MS - 1);
    await secret.whole(split);
    assert.deepEqual(server.calls, ["GetSecretValue"]);
    await clock.advance(1);
    await secret.whole(split);
    assert.equal(server.calls.length, 2);
  });

  test("is read again when what is sealed does not open with what is known, but not each time", async () => {
    const { clock, secret } = opened(whole);
    const { secret: newer } = opened({ ...whole, sealKey: "n".repeat(64) });
    const sealed = await newer.sealing.seal("text", "place");
    server.secrets.set(NAME, JSON.stringify(whole));
    await assert.rejects(secret.sealing.open(sealed, "place"));
    const calls = server.calls.length;
    await assert.rejects(secret.sealing.open(sealed, "place"));
    assert.equal(server.calls.length, calls, "it was read a moment ago");
    server.secrets.set(NAME, JSON.stringify({ ...whole, sealKey: "n".repeat(64) }));
    await clock.advance(READ_AGAIN_MS);
    assert.equal(await secret.sealing.open(sealed, "place"), "text");
  });

  test("that lacks secrets of the configuration is said to, with the way to put them there", async () => {
    const { clock, secret } = opened({ sealKey });
    await assert.rejects(secret.whole(split), {
      code: "invalid-config",
      message: /lacks zones\.bulk\.auth\.user, zones\.bulk\.auth\.pass: npx zonefleet secrets push/,
    });
    server.secrets.set(NAME, JSON.stringify(whole));
    await clock.advance(READ_AGAIN_MS);
    assert.deepEqual(await secret.whole(split), config, "they are there now, and it was looked again");
  });

  test("is used as it was read while it cannot be read again", async () => {
    const { clock, secret } = opened(whole);
    await secret.whole(split);
    server.isDown = true;
    await clock.advance(KEEP_MS);
    assert.deepEqual(await secret.whole(split), config);
  });

  test("that cannot be read is asked for again in a while, and not by each mail", async () => {
    const { clock, secret } = opened(null);
    await assert.rejects(secret.sealing.seal("a", "b"), { message: /there is no secret zonefleet-test/ });
    await assert.rejects(secret.sealing.seal("a", "b"), { message: /there is no secret zonefleet-test/ });
    assert.equal(server.calls.length, 1);
    server.secrets.set(NAME, JSON.stringify(whole));
    await clock.advance(READ_AGAIN_MS);
    assert.ok(await secret.sealing.seal("a", "b"));
  });

  for (const [what, document] of [
    ["no JSON", "hush hush"],
    ["a list", ["hush"]],
    ["a short key", { sealKey: "hush" }],
    ["secrets that are no text", { sealKey, config: { hush: 1 } }],
  ] as const) {
    test(`with ${what} in it is refused, and nothing of it is shown`, async () => {
      const { secret } = opened(document);
      await assert.rejects(secret.whole(split), (error: Error) => {
        assert.match(error.message, /zonefleet-test/);
        assert.doesNotMatch(`${error.message} ${error.stack}`, /hush/);
        return true;
      });
    });
  }

  test("without a seal key seals nothing, and gives the configuration its secrets all the same", async () => {
    const { secret } = opened({ config: whole.config });
    assert.deepEqual(await secret.whole(split), config);
    await assert.rejects(secret.sealing.seal("a", "b"), { message: /has no sealKey/ });
  });

  test("that was not named is missed only where it is needed", async () => {
    const without = parseConfig({ hostname: "mail.example" }, { source: null, baseDir: "/" });
    assert.deepEqual(await noDeploymentSecret.whole(splitSecrets(without).config), without);
    await assert.rejects(noDeploymentSecret.whole(split), { message: /ZONEFLEET_SECRET is not set/ });
    await assert.rejects(noDeploymentSecret.sealing.open("a", "b"), {
      message: /ZONEFLEET_SECRET is not set/,
    });
  });
});

describe("a secret as text", () => {
  test("is written as it is, and never longer than the service takes", async () => {
    opened("{}");
    const text = secretText(NAME, server.env);
    await text.write("new");
    assert.equal(await text.read(), "new");
    await assert.rejects(text.write("x".repeat(MAX_SECRET_BYTES + 1)), { code: "too-large" });
    assert.equal(await text.read(), "new");
  });

  test("may be a file, for its owner alone", async () => {
    const folder = await mkdtemp(join(tmpdir(), "zonefleet-secret-"));
    try {
      const file = join(folder, "secret.json");
      const text = secretText(pathToFileURL(file).href, {});
      await assert.rejects(text.read(), { message: /there is no secret/ });
      await text.write("{}");
      assert.equal(await text.read(), "{}");
      assert.equal((await stat(file)).mode & 0o777, 0o600);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
