/** What only secrets in files have to keep to: places and permissions. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { embeddedSecretStore } from "#shared/embedded/secret-store.ts";

async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-secrets-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

test("folders and files are the owner's alone, also in a folder that was open before", async () => {
  await using folder = await scratch();
  const secrets = join(folder.path, "secrets");
  await mkdir(secrets, { mode: 0o755 });
  await embeddedSecretStore({ folder: secrets }).put("dkim", "a.example", "key");
  assert.equal(await modeOf(secrets), "700");
  assert.equal(await modeOf(join(secrets, "dkim")), "700");
  assert.equal(await modeOf(join(secrets, "dkim", "a.example")), "600");
});

test("a name full of dots and slashes is one file in its folder", async () => {
  await using folder = await scratch();
  const secrets = join(folder.path, "secrets");
  const store = embeddedSecretStore({ folder: secrets });
  for (const name of ["../../out", "..", "/tmp/out", "a\0b"]) await store.put("account", name, "x");
  assert.deepEqual(await readdir(folder.path), ["secrets"]);
  assert.deepEqual(await readdir(secrets), ["account"]);
  assert.deepEqual((await readdir(join(secrets, "account"))).toSorted(), [
    "%2E.",
    "%2E.%2F..%2Fout",
    "%2Ftmp%2Fout",
    "a%00b",
  ]);
});

test("files that are not secrets are not listed, and a put leaves none behind", async () => {
  await using folder = await scratch();
  const store = embeddedSecretStore({ folder: folder.path });
  await store.put("api-key", "one", "x");
  await store.put("api-key", "one", "y");
  assert.deepEqual(await readdir(join(folder.path, "api-key")), ["one"]);
  for (const name of [".new-0123", "two~ ", "%zz", "%41"])
    await writeFile(join(folder.path, "api-key", name), "");
  assert.deepEqual(await store.list("api-key"), ["one"]);
});

test("a put that fails leaves the old secret and nothing else", async () => {
  await using folder = await scratch();
  const store = embeddedSecretStore({ folder: folder.path });
  await mkdir(join(folder.path, "account", "taken", "full"), { recursive: true }); // a rename onto it must fail
  await assert.rejects(store.put("account", "taken", "x"), { code: "EISDIR" });
  assert.deepEqual(await readdir(join(folder.path, "account")), ["taken"]);
});
