/** What only the embedded queue does: wake its own process at once, recover from dead workers, keep unknown fields. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MINUTE } from "#shared/domain/units.ts";
import { openDatabase } from "#shared/embedded/database.ts";
import { acceptMail, embeddedBackend, takeRequest } from "../../support/backend.ts";
import { anna, attempt, ben, zoneA } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";

test("a waiting take is woken at once by what this process accepts, releases or is told to retry", async () => {
  const clock = fakeClock();
  await using opened = await embeddedBackend(clock);
  const { queue } = opened.backend;
  const accepted = queue.take(takeRequest({ waitMs: MINUTE }));
  const { rows } = await acceptMail(opened.backend, clock);
  const [taken] = await accepted;
  assert.ok(taken, "the clock has not moved");

  const released = queue.take(takeRequest({ waitMs: MINUTE }));
  await queue.release(taken.leases, clock.now());
  const [again] = await released;
  assert.ok(again);

  await queue.release(again.leases, clock.in(MINUTE));
  const retried = queue.take(takeRequest({ waitMs: MINUTE }));
  await queue.operate(
    "retry-now",
    rows.map(({ id }) => id),
  );
  assert.equal((await retried).length, 1);
});

test("closing ends a waiting take empty", async () => {
  const clock = fakeClock();
  const opened = await embeddedBackend(clock);
  const waiting = opened.backend.queue.take(takeRequest({ waitMs: MINUTE }));
  await opened[Symbol.asyncDispose]();
  assert.deepEqual(await waiting, []);
  assert.equal(clock.sleepers, 0);
});

test("recover queues the rows of dead workers and leaves those of living ones", async () => {
  const clock = fakeClock();
  await using opened = await embeddedBackend(clock);
  const { backend } = opened;
  await acceptMail(backend, clock, { rows: 3 });
  const dead = await backend.queue.take(takeRequest({ worker: anna }));
  await acceptMail(backend, clock, { rows: 2 });
  const living = await backend.queue.take(takeRequest({ worker: ben }));
  assert.equal(await backend.recover(new Set([ben])), 3);
  assert.equal(await backend.recover(new Set([ben])), 0);
  assert.deepEqual(await backend.queue.counts(), [
    { zone: zoneA, queued: 3, leased: 2, deferred: 0, held: 0 },
  ]);
  const delivered = { settled: { state: "delivered" }, attempt: attempt() } as const;
  const settle = (leases: typeof dead) =>
    backend.queue.settle(leases.flatMap((taken) => taken.leases.map((lease) => ({ lease, ...delivered }))));
  assert.deepEqual(
    await settle(dead),
    [false, false, false],
    "what is recovered is out of the dead one's hands",
  );
  assert.deepEqual(await settle(living), [true, true]);
});

test("recover takes more rows than one transaction moves", async () => {
  const clock = fakeClock();
  await using opened = await embeddedBackend(clock);
  const { backend } = opened;
  for (let i = 0; i < 3; i++) await acceptMail(backend, clock, { rows: 700 });
  await backend.queue.take(takeRequest({ max: 2_100, maxPerDomain: 2_100 }));
  assert.equal(await backend.recover(new Set()), 2_100);
  assert.equal((await backend.queue.counts())[0]?.queued, 2_100);
});

test("more rows come due at once than one transaction moves, and all are taken in the end", async () => {
  const clock = fakeClock();
  await using opened = await embeddedBackend(clock);
  const { backend } = opened;
  for (let i = 0; i < 3; i++) {
    await acceptMail(backend, clock, { rows: 700, fields: { state: "deferred", dueAt: clock.in(MINUTE) } });
  }
  await clock.advance(MINUTE);
  let rows = 0;
  for (let i = 0; i < 30 && rows < 2_100; i++) {
    const taken = await backend.queue.take(takeRequest({ max: 700 }));
    rows += taken.reduce((sum, { leases }) => sum + leases.length, 0);
  }
  assert.equal(rows, 2_100);
});

test("fields that a newer version wrote outlive a change by this one", async () => {
  const clock = fakeClock();
  await using opened = await embeddedBackend(clock);
  const { backend, dataDir } = opened;
  const { message, rows } = await acceptMail(backend, clock);
  const [row] = rows;
  assert.ok(row);
  const newer = openDatabase(dataDir);
  await newer.write(() => {
    newer.table("rows").put(row.id, { ...row, fromTheFuture: { deep: [1] } });
  });
  const leases = (await backend.queue.take(takeRequest())).flatMap((taken) => taken.leases);
  await backend.queue.settle(
    leases.map((lease) => ({
      lease,
      settled: { state: "deferred", dueAt: clock.in(MINUTE) },
      attempt: attempt(),
    })),
  );
  const [stored] = (await backend.queue.get(message.id))?.rows ?? [];
  assert.deepEqual((stored as object as { fromTheFuture: unknown }).fromTheFuture, { deep: [1] });
  assert.equal(stored?.state, "deferred");
});
