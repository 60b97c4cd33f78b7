import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Swept } from "#shared/ports/queue-store.ts";
import { MAX_ROUNDS, RESERVED_MS, sweepHandler } from "../../../lambdas/sweep.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

/** What stands in the store is told by others. */
const tellState = async (): Promise<void> => undefined;

const plenty = { getRemainingTimeInMillis: () => 60_000 };

function rounds(...swept: Swept[]) {
  const queue = {
    rounds: 0,
    sweep: async () => swept[Math.min(queue.rounds++, swept.length - 1)] as Swept,
  };
  return queue;
}

describe("the sweep on a schedule", () => {
  const some = { fed: 10, lapsed: 1, purged: 2 };
  const nothing = { fed: 0, lapsed: 0, purged: 0 };

  test("goes on until there is nothing left, and tells what it did", async () => {
    const queue = rounds(some, { ...nothing, purged: 1 }, nothing, some);
    const telemetry = toldTelemetry();
    assert.deepEqual(await sweepHandler({ queue, telemetry, tellState })({}, plenty), {
      fed: 10,
      lapsed: 1,
      purged: 3,
    });
    assert.equal(queue.rounds, 3);
    assert.deepEqual(telemetry.counts, { RowsFed: 10, LeasesLapsed: 1, MessagesPurged: 3 });
    assert.equal(telemetry.lines.length, 1);
  });

  test("says nothing when there was nothing to do", async () => {
    const telemetry = toldTelemetry();
    await sweepHandler({ queue: rounds(nothing), telemetry, tellState })({}, plenty);
    assert.deepEqual(telemetry.lines, []);
  });

  test("ends while there is time for its last round to end", async () => {
    const queue = rounds(some);
    const remaining = [RESERVED_MS + 1, RESERVED_MS, RESERVED_MS - 1, 0];
    const context = { getRemainingTimeInMillis: () => remaining.shift() as number };
    await sweepHandler({ queue, telemetry: toldTelemetry(), tellState })({}, context);
    assert.equal(queue.rounds, 3);
  });

  test("has a bound, however much there is", async () => {
    const queue = rounds(some);
    await sweepHandler({ queue, telemetry: toldTelemetry(), tellState })({}, plenty);
    assert.equal(queue.rounds, MAX_ROUNDS);
  });

  test("tells what it did before the store failed, and fails", async () => {
    const queue = rounds(some);
    const telemetry = toldTelemetry();
    const sweep = async () => {
      if (queue.rounds === 2) throw new Error("the store is down");
      return queue.sweep();
    };
    await assert.rejects(sweepHandler({ queue: { sweep }, telemetry, tellState })({}, plenty), /down/);
    assert.equal(telemetry.counts.RowsFed, 20);
  });

  test("tells what stands in the store, once, also when the queue cannot be swept", async () => {
    const told: string[] = [];
    const tell = async (): Promise<void> => void told.push("state");
    const queue = { sweep: () => Promise.reject(new Error("the store is down")) };
    const sweeping = sweepHandler({ queue, telemetry: toldTelemetry(), tellState: tell })({}, plenty);
    await assert.rejects(sweeping, /down/);
    assert.deepEqual(told, ["state"]);
  });
});
