/** What every QueueStore keeps to: settling, events, bodies and history. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { EventType } from "#shared/domain/event.ts";
import { FINAL_STATES } from "#shared/domain/queue-row.ts";
import type { FinalState, Lease, Settled } from "#shared/domain/queue-row.ts";
import { DAY, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { acceptMail, bodyOf, takeRequest } from "../support/backend.ts";
import type { OpenBackend } from "../support/backend.ts";
import { attempt, zoneA } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

const EVENT_OF: Record<FinalState, EventType> = {
  delivered: "delivery",
  bounced: "bounce",
  expired: "expiry",
  suppressed: "suppression",
  dropped: "drop",
};

const HISTORY_MS = 2 * DAY;

async function takeAll(backend: Backend): Promise<Lease[]> {
  return (await backend.queue.take(takeRequest())).flatMap(({ leases }) => [...leases]);
}

async function settleAll(backend: Backend, leases: readonly Lease[], settled: Settled): Promise<void> {
  const settlements = leases.map((lease) => ({ lease, settled, attempt: attempt() }));
  assert.ok((await backend.queue.settle(settlements)).every((written) => written));
}

export function queueSettleContract(backendName: string, open: OpenBackend): void {
  describe(`QueueStore on ${backendName}: settle`, () => {
    for (const state of FINAL_STATES) {
      test(`a row settled as ${state} stays so, is never taken again, and is told of`, async () => {
        const clock = fakeClock();
        await using opened = await open(clock);
        const { backend } = opened;
        const { message, rows } = await acceptMail(backend, clock);
        const leases = await takeAll(backend);
        await clock.advance(SECOND);
        const record = attempt({ at: clock.now(), detail: "what the peer said" });
        await backend.queue.settle(leases.map((lease) => ({ lease, settled: { state }, attempt: record })));
        await clock.advance(DAY);
        await backend.queue.sweep();
        assert.deepEqual(await takeAll(backend), []);
        const [row] = (await backend.queue.get(message.id))?.rows ?? [];
        assert.ok(row);
        assert.equal(row.state, state);
        assert.equal(row.attempts, 1);
        assert.equal(row.finishedAt, clock.now() - DAY);
        assert.equal(row.leasedBy, null);
        assert.equal(row.leasedUntil, null);
        assert.deepEqual(row.lastAttempt, record);
        const { number, ...event } = (await backend.events.read(0, 10)).at(-1) ?? { number: 0 };
        assert.ok(number > 0);
        assert.deepEqual(event, {
          type: EVENT_OF[state],
          at: row.finishedAt,
          messageId: message.id,
          rowId: rows[0]?.id,
          zone: zoneA,
          returnPath: message.returnPath,
          recipient: row.recipient,
          attempts: 1,
          attempt: record,
        });
      });
    }

    test("a deferral at which mail is late says so, in the row and in its event", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message } = await acceptMail(backend, clock);
      const record = attempt({
        at: clock.now(),
        kind: "deferred",
        cause: "reply",
        status: "4.3.0",
        late: true,
      });
      const settled: Settled = { state: "deferred", dueAt: clock.in(MINUTE) };
      await backend.queue.settle(
        (await takeAll(backend)).map((lease) => ({ lease, settled, attempt: record })),
      );
      assert.deepEqual((await backend.queue.get(message.id))?.rows[0]?.lastAttempt, record);
      assert.equal((await backend.events.read(0, 10)).at(-1)?.attempt?.late, true);
    });

    test("a deferred row is due again at its time, counts its attempts and remembers the first deferral", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message } = await acceptMail(backend, clock);
      const firstDeferredAt = clock.now();
      for (const attempts of [1, 2, 3]) {
        await settleAll(backend, await takeAll(backend), { state: "deferred", dueAt: clock.in(5 * MINUTE) });
        const [row] = (await backend.queue.get(message.id))?.rows ?? [];
        assert.equal(row?.state, "deferred");
        assert.equal(row.dueAt, clock.in(5 * MINUTE));
        assert.equal(row.attempts, attempts);
        assert.equal(row.firstDeferredAt, firstDeferredAt);
        assert.equal(row.finishedAt, null);
        await clock.advance(5 * MINUTE - 1);
        assert.deepEqual(await takeAll(backend), []);
        await clock.advance(1);
      }
      assert.deepEqual(
        (await backend.events.read(0, 10)).map(({ type, attempts }) => [type, attempts]),
        [
          ["reception", 0],
          ["deferral", 1],
          ["deferral", 2],
          ["deferral", 3],
        ],
      );
    });

    test("what the queue ends or puts off without an attempt is not counted as one", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message } = await acceptMail(backend, clock, { rows: 2 });
      const [first, second] = await takeAll(backend);
      assert.ok(first && second);
      const putOff = { state: "deferred", dueAt: clock.in(MINUTE), untried: true } as const;
      await backend.queue.settle([
        {
          lease: first,
          settled: { state: "suppressed", untried: true },
          attempt: attempt({ cause: "suppressed" }),
        },
        { lease: second, settled: putOff, attempt: attempt({ cause: "blocked" }) },
      ]);
      const rows = (await backend.queue.get(message.id))?.rows;
      assert.deepEqual(
        rows?.map(({ attempts }) => attempts),
        [0, 0],
      );
    });

    test("each row of a group has its own outcome, and one lost lease spoils none of the others", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message } = await acceptMail(backend, clock, { rows: 3 });
      const [first, second, third] = await takeAll(backend);
      assert.ok(first && second && third);
      await backend.queue.release([second], clock.now());
      const written = await backend.queue.settle([
        { lease: first, settled: { state: "delivered" }, attempt: attempt() },
        { lease: second, settled: { state: "delivered" }, attempt: attempt() },
        { lease: third, settled: { state: "bounced" }, attempt: attempt() },
      ]);
      assert.deepEqual(written, [true, false, true]);
      const rows = (await backend.queue.get(message.id))?.rows;
      assert.deepEqual(
        rows?.map(({ state }) => state),
        ["delivered", "queued", "bounced"],
      );
      const told = (await backend.events.read(0, 10)).map(({ type, rowId }) => [type, rowId]);
      assert.deepEqual(told, [
        ["reception", null],
        ["delivery", first.row.id],
        ["bounce", third.row.id],
      ]);
    });
  });

  describe(`QueueStore on ${backendName}: bodies and history`, () => {
    for (const [size, body] of [
      ["small", "\r\nhello"],
      ["large", `\r\n${"x".repeat(300_000)}`],
    ] as const) {
      test(`a ${size} body goes with the last delivery and not before`, async () => {
        const clock = fakeClock();
        await using opened = await open(clock);
        const { backend } = opened;
        const { message } = await acceptMail(backend, clock, { rows: 2, body });
        const [first, second] = await takeAll(backend);
        assert.ok(first && second);
        await settleAll(backend, [first], { state: "delivered" });
        assert.ok((await bodyOf(backend, message.id))?.equals(Buffer.from(body)));
        await settleAll(backend, [second], { state: "delivered" });
        assert.ok((await bodyOf(backend, message.id)) === null);
        assert.ok(await backend.queue.get(message.id), "its history stays");
      });
    }

    for (const state of ["bounced", "expired", "suppressed"] as const) {
      test(`the body stays when a row was ${state}, for the report to its sender`, async () => {
        const clock = fakeClock();
        await using opened = await open(clock);
        const { backend } = opened;
        const { message } = await acceptMail(backend, clock, { rows: 2, body: "\r\nquote me" });
        const [first, second] = await takeAll(backend);
        assert.ok(first && second);
        await settleAll(backend, [first], { state });
        await settleAll(backend, [second], { state: "delivered" });
        assert.equal(String(await bodyOf(backend, message.id)), "\r\nquote me");
      });
    }

    test("when its time is over, message, rows and body are forgotten, and nothing else", async () => {
      const clock = fakeClock();
      await using opened = await open(clock, { historyMs: HISTORY_MS });
      const { backend } = opened;
      const bounced = await acceptMail(backend, clock, { rows: 3 });
      await settleAll(backend, await takeAll(backend), { state: "bounced" });
      const half = await acceptMail(backend, clock, { rows: 2 });
      const [first] = await takeAll(backend);
      assert.ok(first);
      await settleAll(backend, [first], { state: "delivered" });
      await clock.advance(HISTORY_MS - 1);
      assert.equal((await backend.queue.sweep()).purged, 0);
      assert.ok(await backend.queue.get(bounced.message.id));
      await clock.advance(1);
      assert.equal((await backend.queue.sweep()).purged, 3);
      assert.equal(await backend.queue.get(bounced.message.id), null);
      assert.equal(await bodyOf(backend, bounced.message.id), null);
      assert.equal((await backend.queue.get(half.message.id))?.rows.length, 2, "one of its rows is open");
      assert.ok(await bodyOf(backend, half.message.id));
    });
  });

  describe(`QueueStore on ${backendName}: sweep`, () => {
    test("it feeds what came due and takes back lapsed leases, and says how many", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptMail(backend, clock, { rows: 2, fields: { state: "deferred", dueAt: clock.in(MINUTE) } });
      const leased = await acceptMail(backend, clock, { rows: 3 });
      await backend.queue.take(takeRequest({ leaseMs: MINUTE }));
      assert.deepEqual(await backend.queue.sweep(), { fed: 0, lapsed: 0, purged: 0 });
      await clock.advance(MINUTE);
      assert.deepEqual(await backend.queue.sweep(), { fed: 2, lapsed: 3, purged: 0 });
      assert.deepEqual(await backend.queue.sweep(), { fed: 0, lapsed: 0, purged: 0 });
      const states = (await backend.queue.get(leased.message.id))?.rows.map(({ state }) => state);
      assert.deepEqual(states, ["queued", "queued", "queued"]);
      assert.equal((await takeAll(backend)).length, 5);
    });
  });
}
