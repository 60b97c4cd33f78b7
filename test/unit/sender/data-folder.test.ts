/** Who may have a data folder, and what is said to who may not. Locks are between processes, so the other one is real. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import type { DataFolderOptions } from "../../../sender/data-folder.ts";
import { claimDataFolder } from "../../../sender/data-folder.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const MODULE = join(import.meta.dirname, "../../../sender/data-folder.ts");

async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-folder-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function options(folder: string, fields: Partial<DataFolderOptions> = {}): DataFolderOptions {
  return {
    folder,
    pid: 4711,
    digest: "d1",
    clock: fakeClock(),
    stop: new AbortController().signal,
    onWait: () => undefined,
    ...fields,
  };
}

/** Another process that runs `code` after importing the module as `folder`, says one line and stays until it is killed. */
async function other(code: string, user?: number) {
  const script = `import * as folder from ${JSON.stringify(MODULE)}; ${code}; process.stdin.resume();`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
    stdio: ["pipe", "pipe", "inherit"],
    ...(user !== undefined && { uid: user, gid: user }),
  });
  const exited = once(child, "exit");
  const [said] = (await Promise.race([once(child.stdout, "data"), exited.then(() => [""])])) as unknown[];
  return {
    said: String(said).trim(),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function refusal(pattern: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof DomainError, String(error));
    assert.equal(error.path, "ZONEFLEET_DATA");
    assert.match(error.message, pattern);
    return true;
  };
}

test("a folder is made with those above it, for its owner alone", async () => {
  await using folder = await scratch();
  const path = join(folder.path, "a", "b", "data");
  (await claimDataFolder(options(path)))[Symbol.dispose]();
  assert.equal((await stat(path)).mode & 0o777, 0o700);
});

test("a claim that was given up can be made again", async () => {
  await using folder = await scratch();
  (await claimDataFolder(options(folder.path)))[Symbol.dispose]();
  (await claimDataFolder(options(folder.path)))[Symbol.dispose]();
});

test("a claim ends with its process, even when that is killed", async () => {
  await using folder = await scratch();
  const claiming = `
    const never = new AbortController().signal;
    const clock = { now: () => 0, sleep: async () => {} };
    await folder.claimDataFolder({ folder: ${JSON.stringify(folder.path)}, pid: 42, digest: "d1", clock, stop: never, onWait() {} });
    console.log("claimed")`;
  {
    await using holder = await other(claiming);
    assert.equal(holder.said, "claimed");
    const same = /process 42, since 1970-01-01T00:00:00\.000Z, with the same configuration.*kill 42/;
    await assert.rejects(claimDataFolder(options(folder.path)), refusal(same));
    const different =
      /with a different configuration.*so that this configuration takes effect.*ZONEFLEET_DATA/;
    await assert.rejects(claimDataFolder(options(folder.path, { digest: "d2" })), refusal(different));
    await writeFile(join(folder.path, "supervisor.json"), "{ spoilt");
    await assert.rejects(claimDataFolder(options(folder.path)), refusal(/another process.*Stop it first/));
  }
  (await claimDataFolder(options(folder.path)))[Symbol.dispose]();
});

test("workers that outlive their supervisor are waited for, once told of, and in the end refused", async () => {
  await using folder = await scratch();
  const joining = `folder.joinDataFolder(${JSON.stringify(folder.path)}); console.log("joined")`;
  const clock = fakeClock();
  let waits = 0;
  const claiming = options(folder.path, { clock, onWait: () => waits++ });
  {
    await using worker = await other(joining);
    await using second = await other(joining);
    assert.deepEqual([worker.said, second.said], ["joined", "joined"], "workers share it");
    const refused = assert.rejects(
      claimDataFolder(claiming),
      refusal(/workers of a former ZoneFleet still run/),
    );
    while (clock.sleepers === 0) await new Promise(setImmediate);
    await clock.advance(60_000);
    await refused;
    assert.equal(waits, 1);
    const stop = AbortSignal.abort();
    await assert.rejects(claimDataFolder({ ...claiming, stop }), refusal(/still run/));
  }
  (await claimDataFolder(claiming))[Symbol.dispose]();
});

test("what is no folder, or takes none, is named with what to do", async () => {
  await using folder = await scratch();
  const file = join(folder.path, "file");
  await writeFile(file, "");
  for (const path of [file, join(file, "data")]) {
    await assert.rejects(claimDataFolder(options(path)), refusal(new RegExp(`${path}.*is not a folder`)));
  }
  await assert.rejects(claimDataFolder(options("/proc/zonefleet/data")), refusal(/\/proc\/zonefleet\/data/));
});

test("a folder that this user may not write is named with what to do", async () => {
  await using folder = await scratch();
  await chmod(folder.path, 0o555);
  const nobody = process.getuid?.() === 0 ? 65_534 : undefined; // root may write anywhere
  const trying = `
    const { claimDataFolder } = folder;
    const options = { pid: 1, digest: "", clock: { now: () => 0 }, stop: new AbortController().signal, onWait() {} };
    const error = await claimDataFolder({ ...options, folder: ${JSON.stringify(folder.path)} }).catch((error) => error);
    console.log(error.message)`;
  await using denied = await other(trying, nobody);
  assert.match(denied.said, /permission denied \(EACCES\).*read and write access/);
  assert.ok(denied.said.includes(folder.path));
});
