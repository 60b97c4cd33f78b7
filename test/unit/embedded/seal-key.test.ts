/** The key of sealed secrets on one machine: made once, the owner's alone, the same for all. */

import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { embeddedSealer } from "#shared/embedded/seal-key.ts";

async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-seal-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test("processes that start together on a new folder have one key, which nobody else can read", async () => {
  await using scratched = await scratch();
  const folder = join(scratched.path, "secrets");
  const sealers = await Promise.all(Array.from({ length: 8 }, () => embeddedSealer({ folder })));
  const sealed = sealers.map((sealer, i) => sealer.seal(`secret ${i}`, "here"));
  const later = await embeddedSealer({ folder });
  assert.deepEqual(
    sealed.map((each) => later.open(each, "here")),
    sealers.map((_, i) => `secret ${i}`),
  );
  assert.deepEqual(await readdir(folder), ["seal-key"], "nothing half done is left");
  assert.equal(((await stat(join(folder, "seal-key"))).mode & 0o777).toString(8), "600");
  assert.equal(((await stat(folder)).mode & 0o777).toString(8), "700");
});

test("a file that holds no key is not replaced in silence, for what was sealed would never open again", async () => {
  await using folder = await scratch();
  await writeFile(join(folder.path, "seal-key"), "short");
  await assert.rejects(embeddedSealer({ folder: folder.path }), /seal-key holds no key/);
});
