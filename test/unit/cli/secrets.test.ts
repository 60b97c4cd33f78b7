/** `zonefleet secrets` as a process, from a configuration file to the wire of AWS Secrets Manager. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { joinSecrets } from "#shared/domain/config-secrets.ts";
import { loadConfig } from "#shared/runtime/config.ts";
import { printDeployedConfig } from "#shared/runtime/deployed-config.ts";
import type { SecretsServer } from "../../support/secrets-server.ts";
import { startSecretsServer } from "../../support/secrets-server.ts";

const CLI = fileURLToPath(new URL("../../../cli/main.ts", import.meta.url));
const NAME = "zonefleet-test";
const sealKey = "k".repeat(64);
const relay = (pass: string) => ({ host: "relay.example", auth: { user: "us", pass } });

let server: SecretsServer;
let folder: string;
before(async () => {
  server = await startSecretsServer();
  folder = await mkdtemp(join(tmpdir(), "zonefleet-cli-"));
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  server.calls.length = 0;
  server.secrets.clear();
  server.secrets.set(NAME, JSON.stringify({ sealKey }));
});

function configure(zones: object): Promise<void> {
  const config = { hostname: "mail.example", zones, webhooks: [{ url: "https://app.example/?key=hush-1" }] };
  return writeFile(join(folder, "zonefleet.config.json"), JSON.stringify(config));
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function zonefleet(
  args: string,
  env: Readonly<Record<string, string>> = { ZONEFLEET_SECRET: NAME },
): Promise<Ran> {
  const options = { cwd: folder, env: { ...server.env, ...env }, timeout: 30_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args.split(" ")], options, (error, out, err) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, out, err });
    });
  });
}

const stored = () =>
  JSON.parse(server.secrets.get(NAME) ?? "") as { sealKey: string; config: Record<string, string> };

describe("zonefleet secrets", () => {
  test("push writes the secrets of the configuration, keeps the seal key, and prints names and no value", async () => {
    await configure({ bulk: relay("hush-2") });
    const shown = await zonefleet("secrets");
    assert.deepEqual([shown.code, server.calls], [0, ["GetSecretValue"]], shown.err);
    assert.match(shown.out, /^to add {5}zones\.bulk\.auth\.pass$/m);
    const { code, out, err } = await zonefleet("secrets push");
    assert.equal(code, 0, err);
    assert.match(out, /^added {6}zones\.bulk\.auth\.pass$/m);
    assert.match(out, /^added {6}webhooks\.app\.example-[0-9a-f]{8}\.url$/m);
    assert.doesNotMatch(`${shown.out}${out}${err}`, /hush|kkk/);
    assert.equal(stored().sealKey, sealKey);
    assert.equal(stored().config["zones.bulk.auth.pass"], "hush-2");
  });

  test("what was pushed and a deployed configuration make the whole one again", async () => {
    await configure({ bulk: relay("hush-2") });
    await zonefleet("secrets push");
    const { config } = await loadConfig({ env: {}, cwd: folder });
    const deployed = join(folder, "zonefleet.deployed.json");
    await writeFile(deployed, printDeployedConfig(config));
    const read = await loadConfig({ env: { ZONEFLEET_CONFIG: deployed }, cwd: folder });
    assert.equal(read.secretsElsewhere, true);
    assert.deepEqual(joinSecrets(read.config, new Map(Object.entries(stored().config))), {
      kind: "joined",
      config,
    });
    const refused = await zonefleet("secrets push", { ZONEFLEET_SECRET: NAME, ZONEFLEET_CONFIG: deployed });
    assert.equal(refused.code, 1);
    assert.match(refused.err, /has no secrets in it/);
  });

  test("push changes what has changed, writes nothing when nothing has, and takes out only by --prune", async () => {
    await configure({ bulk: relay("hush-2"), other: relay("hush-3") });
    await zonefleet("secrets push");
    server.calls.length = 0;
    assert.match((await zonefleet("secrets push")).out, /nothing was written/);
    assert.deepEqual(server.calls, ["GetSecretValue"]);
    await configure({ bulk: relay("hush-4") });
    assert.match((await zonefleet("secrets")).out, /^to leave {3}zones\.other\.auth\.pass /m);
    assert.match((await zonefleet("secrets push")).out, /^changed {4}zones\.bulk\.auth\.pass$/m);
    assert.equal(stored().config["zones.other.auth.pass"], "hush-3", "senders of the former release need it");
    assert.match((await zonefleet("secrets push --prune")).out, /^removed {4}zones\.other\.auth\.pass$/m);
    assert.equal(stored().config["zones.other.auth.pass"], undefined);
    assert.equal(stored().config["zones.bulk.auth.pass"], "hush-4");
  });

  test("push makes a seal key where a secret has none, and never another", async () => {
    await configure({});
    server.secrets.set(NAME, "{}");
    assert.match((await zonefleet("secrets push")).out, /^made {7}sealKey$/m);
    const made = stored().sealKey;
    assert.match(made, /^[0-9a-f]{64}$/);
    await zonefleet("secrets push");
    assert.equal(stored().sealKey, made);
  });

  test("says what is wrong: no name, no such secret, something else in it", async () => {
    await configure({ bulk: relay("hush-2") });
    const unnamed = await zonefleet("secrets push", {});
    assert.deepEqual([unnamed.code, /ZONEFLEET_SECRET/.test(unnamed.err)], [1, true]);
    assert.match((await zonefleet("secrets", {})).out, /^secret {5}zones\.bulk\.auth\.pass$/m);
    const missing = await zonefleet("secrets push", { ZONEFLEET_SECRET: "another" });
    assert.deepEqual([missing.code, /there is no secret another/.test(missing.err)], [1, true], missing.err);
    server.secrets.set(NAME, "hush hush");
    const other = await zonefleet("secrets push");
    assert.equal(other.code, 1);
    assert.doesNotMatch(other.err, /hush/);
    assert.equal(server.secrets.get(NAME), "hush hush", "nothing was written over it");
    assert.equal((await zonefleet("secrets pull")).code, 2);
  });
});
