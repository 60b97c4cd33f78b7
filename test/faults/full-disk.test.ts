/** A disk that is full: mail is refused, nothing is damaged, what is queued is worked off, and then mail is taken again. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { MIB, SECOND } from "#shared/domain/units.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { openEmbedded } from "#shared/embedded/open.ts";
import type { EmbeddedBackend } from "#shared/embedded/open.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { acceptMail, bodyOf, chunks, takeRequest } from "../support/backend.ts";
import { attempt, newMessageId } from "../support/builders.ts";

const DISK_BYTES = 8 * MIB;
const BODY = `\r\n${"x".repeat(20_000)}`;
const TIMEOUT_MS = 60 * SECOND;
/** More than fit on the disk. */
const ENOUGH = 1_000;

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args).status === 0;
}

/** Accept until the store cannot, and a few times more. */
async function fill(backend: EmbeddedBackend): Promise<{ accepted: MessageId[]; errors: unknown[] }> {
  const accepted: MessageId[] = [];
  const errors: unknown[] = [];
  while (errors.length < 3 && accepted.length < ENOUGH) {
    try {
      accepted.push((await acceptMail(backend, systemClock, { body: BODY })).message.id);
    } catch (error) {
      errors.push(error);
    }
  }
  return { accepted, errors };
}

/** A small disk of its own; null: only root may mount one. */
async function smallDisk(): Promise<({ folder: string } & AsyncDisposable) | null> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-disk-"));
  const mounted = run("mount", "-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", folder);
  if (!mounted) {
    await rm(folder, { recursive: true });
    return null;
  }
  return {
    folder,
    async [Symbol.asyncDispose]() {
      run("umount", folder);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function settleSome(backend: EmbeddedBackend, max: number): Promise<number> {
  const leases = (await backend.queue.take(takeRequest({ max }))).flatMap((taken) => [...taken.leases]);
  const settlements = leases.map(
    (lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() }) as const,
  );
  assert.ok((await backend.queue.settle(settlements)).every((written) => written));
  return leases.length;
}

const disk = await smallDisk();
const skip = disk ? false : "only root may mount a small disk";
after(async () => {
  await disk?.[Symbol.asyncDispose]();
});

test(
  "a full disk refuses mail, and what is queued is worked off in the room that was kept for it",
  { skip, timeout: TIMEOUT_MS },
  async () => {
    assert.ok(disk);
    const dataDir = join(disk.folder, "reserve");
    const backend = await openEmbedded({ dataDir, clock: systemClock, reserveBytes: MIB });
    try {
      const { accepted, errors } = await fill(backend);
      assert.ok(accepted.length > 20, `${accepted.length} mails fitted`);
      for (const error of errors) {
        assert.equal((error as Error).name, "StoreWriteError");
        assert.match((error as Error).message, /disk of .* is full/);
      }
      assert.equal(
        (await backend.queue.counts())[0]?.queued,
        accepted.length,
        "nothing of a refused mail was kept",
      );
      let settled = 0;
      while (settled < accepted.length) settled += await settleSome(backend, 20);
      assert.deepEqual(await backend.queue.counts(), []);
      const again = await fill(backend);
      assert.ok(again.accepted.length > accepted.length / 2, "what was worked off made room");
    } finally {
      await backend.close();
      await rm(dataDir, { recursive: true });
    }
  },
);

test(
  "writes that the disk itself refuses fail whole, and nothing that was accepted is damaged",
  { skip, timeout: TIMEOUT_MS },
  async () => {
    assert.ok(disk);
    const dataDir = join(disk.folder, "no-reserve");
    let backend = await openEmbedded({ dataDir, clock: systemClock, reserveBytes: -2 * DISK_BYTES });
    try {
      const { accepted, errors } = await fill(backend);
      for (const error of errors) assert.match((error as Error).message, /is the disk full/);
      assert.equal(
        (await backend.queue.counts())[0]?.queued,
        accepted.length,
        "nothing of a refused mail was kept",
      );

      const large = newMessageId();
      const megabytes = Array.from({ length: 20 }, () => Buffer.alloc(MIB));
      await assert.rejects(backend.bodies.put(large, chunks(...megabytes)), { code: "ENOSPC" });
      assert.equal(await backend.bodies.get(large), null);
      assert.deepEqual(await readdir(join(dataDir, "bodies", "incoming")), []);

      await backend.close();
      backend = await openEmbedded({ dataDir, clock: systemClock });
      assert.equal((await backend.queue.counts())[0]?.queued, accepted.length);
      for (const id of accepted) assert.equal(String(await bodyOf(backend, id)), BODY);
      assert.ok(run("mount", "-o", `remount,size=${8 * DISK_BYTES}`, disk.folder));
      let settled = 0;
      while (settled < accepted.length) settled += await settleSome(backend, 50);
      assert.deepEqual(await backend.queue.counts(), []);
    } finally {
      await backend.close();
      await rm(dataDir, { recursive: true });
    }
  },
);
