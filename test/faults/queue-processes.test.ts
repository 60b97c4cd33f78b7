/** Several real processes on one data folder: each row to one of them, and nothing lost when one is killed. */

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import type { WorkerId } from "#shared/domain/ids.ts";
import { SECOND } from "#shared/domain/units.ts";
import { openEmbedded } from "#shared/embedded/open.ts";
import type { EmbeddedBackend } from "#shared/embedded/open.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { takeRequest } from "../support/backend.ts";
import { attempt, zoneA } from "../support/builders.ts";
import type { WorkerReport } from "../support/queue-worker.ts";

const TIMEOUT_MS = 60 * SECOND;
const WORKER = join(import.meta.dirname, "../support/queue-worker.ts");
const MESSAGES_EACH = 1_000;

/** Wait for a report; others are passed over. */
function hear(child: ChildProcess, did: WorkerReport["did"]): Promise<WorkerReport> {
  return new Promise((resolve, reject) => {
    const listen = (said: WorkerReport): void => {
      if (said.did === did) end(() => resolve(said));
    };
    const fail = (): void => end(() => reject(new Error(`the worker ended before it had ${did}`)));
    const end = (settle: () => void): void => {
      child.off("message", listen);
      child.off("exit", fail);
      settle();
    };
    child.on("message", listen);
    child.on("exit", fail);
  });
}

async function inFolder(use: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "zonefleet-processes-"));
  try {
    await use(dataDir);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

function startWorker(dataDir: string, name: string, messages: number): ChildProcess {
  return fork(WORKER, [dataDir, name, String(messages)], { timeout: TIMEOUT_MS, killSignal: "SIGKILL" });
}

/** Deliveries that the events tell of, by row; numbers of events must be unique and rise. */
async function deliveries(backend: EmbeddedBackend): Promise<Map<string, number>> {
  const told = new Map<string, number>();
  let last = 0;
  for (const { number, type, rowId } of await backend.events.read(0, 1_000_000)) {
    assert.ok(number > last, "event numbers rise");
    last = number;
    if (type === "delivery" && rowId) told.set(rowId, (told.get(rowId) ?? 0) + 1);
  }
  return told;
}

async function settleRest(backend: EmbeddedBackend): Promise<void> {
  for (;;) {
    const leases = (await backend.queue.take(takeRequest())).flatMap((taken) => [...taken.leases]);
    if (leases.length === 0) return;
    await backend.queue.settle(
      leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() })),
    );
  }
}

test(
  "two processes that accept and take at once settle each row exactly once",
  { timeout: TIMEOUT_MS },
  async () => {
    await inFolder(async (dataDir) => {
      const children = ["one", "two"].map((name) => startWorker(dataDir, name, MESSAGES_EACH));
      await Promise.all(children.map((child) => hear(child, "accepted")));
      const finished = children.map((child) => hear(child, "finished"));
      const exited = children.map((child) => once(child, "exit"));
      for (const child of children) child.send("go");
      const settled = (await Promise.all(finished)).map((said) => ("rows" in said ? said.rows : 0));
      assert.deepEqual(
        (await Promise.all(exited)).map(([code]) => code as number),
        [0, 0],
      );
      assert.equal(settled[0]! + settled[1]!, 2 * MESSAGES_EACH);
      assert.ok(
        settled.every((rows) => rows > 0),
        `both had work: ${settled.join()}`,
      );
      const backend = await openEmbedded({ dataDir, clock: systemClock });
      try {
        const told = await deliveries(backend);
        assert.equal(told.size, 2 * MESSAGES_EACH);
        assert.ok([...told.values()].every((times) => times === 1));
        assert.deepEqual(await backend.queue.counts(), []);
      } finally {
        await backend.close();
      }
    });
  },
);

test(
  "a process killed in the middle of its work loses nothing, and its rows are there at once after recover",
  { timeout: TIMEOUT_MS },
  async () => {
    await inFolder(async (dataDir) => {
      const child = startWorker(dataDir, "killed", MESSAGES_EACH);
      await hear(child, "accepted");
      const backend = await openEmbedded({ dataDir, clock: systemClock });
      try {
        const mine = await backend.queue.take(takeRequest({ worker: "living" as WorkerId, max: 5 }));
        const exited = once(child, "exit");
        child.send("go");
        await hear(child, "settled");
        child.kill("SIGKILL");
        await exited;
        const [before] = await backend.queue.counts();
        assert.ok(before);
        const recovered = await backend.recover(new Set(["living" as WorkerId]));
        assert.equal(recovered, before.leased - countLeases(mine));
        const [after] = await backend.queue.counts();
        assert.deepEqual(after, {
          zone: zoneA,
          queued: before.queued + recovered,
          leased: countLeases(mine),
          deferred: 0,
          held: 0,
        });
        await backend.recover(new Set());
        await settleRest(backend);
        const told = await deliveries(backend);
        assert.equal(told.size, MESSAGES_EACH, "every row was delivered");
        assert.ok(
          [...told.values()].every((times) => times === 1),
          "and none was settled twice",
        );
      } finally {
        await backend.close();
      }
    });
  },
);

function countLeases(taken: Awaited<ReturnType<EmbeddedBackend["queue"]["take"]>>): number {
  return taken.reduce((sum, { leases }) => sum + leases.length, 0);
}
