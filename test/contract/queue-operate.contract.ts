/** What every QueueStore keeps to: what operators do and see. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseRowId } from "#shared/domain/ids.ts";
import type { RowId } from "#shared/domain/ids.ts";
import { OPEN_STATES } from "#shared/domain/queue-row.ts";
import type { OpenState, RowState } from "#shared/domain/queue-row.ts";
import { HOUR, MINUTE } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { Operation, RowQuery } from "#shared/ports/queue-store.ts";
import { acceptMail, bodyOf, takeRequest } from "../support/backend.ts";
import type { OpenBackend } from "../support/backend.ts";
import { attempt, message, queueRow, zoneA, zoneB } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";
import type { FakeClock } from "../support/fake-clock.ts";

/** What each operation makes of each state it is for; it leaves the others alone. */
const OUTCOMES: Record<Operation, Partial<Record<RowState, RowState>>> = {
  "retry-now": { queued: "queued", deferred: "queued" },
  hold: { queued: "held", deferred: "held" },
  release: { held: "queued" },
  drop: { queued: "dropped", deferred: "dropped", held: "dropped" },
};

const STATES: readonly RowState[] = [...OPEN_STATES, "delivered"];

/** Accept a message and bring its row to a state. */
async function rowIn(backend: Backend, clock: FakeClock, state: RowState): Promise<RowId> {
  const dueAt = state === "deferred" ? clock.in(HOUR) : clock.now();
  const start = state === "deferred" ? "deferred" : "queued";
  const { rows } = await acceptMail(backend, clock, { fields: { state: start, dueAt } });
  const id = rows[0]?.id;
  assert.ok(id);
  if (state === "held") await backend.queue.operate("hold", [id]);
  if (state === "leased" || state === "delivered") {
    const leases = (await backend.queue.take(takeRequest({ leaseMs: HOUR }))).flatMap(
      (group) => group.leases,
    );
    if (state === "delivered") {
      await backend.queue.settle(
        leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() })),
      );
    }
  }
  return id;
}

async function stateOf(backend: Backend, id: RowId): Promise<RowState | null> {
  const messageId = parseRowId(id)?.messageId;
  const stored = messageId && (await backend.queue.get(messageId));
  return stored?.rows.find((row) => row.id === id)?.state ?? null;
}

function query(fields: Partial<RowQuery> = {}): RowQuery {
  return { zone: null, states: OPEN_STATES, order: "oldest-first", limit: 1_000, cursor: null, ...fields };
}

async function pages(backend: Backend, asked: RowQuery): Promise<RowId[][]> {
  const found: RowId[][] = [];
  let cursor: string | null = null;
  do {
    const page = await backend.queue.list({ ...asked, cursor });
    found.push(page.rows.map(({ id }) => id));
    ({ cursor } = page);
    assert.ok(found.length < 100, "paging ends");
  } while (cursor !== null);
  return found;
}

export function queueOperateContract(backendName: string, open: OpenBackend): void {
  describe(`QueueStore on ${backendName}: operate`, () => {
    for (const [operation, outcomes] of Object.entries(OUTCOMES) as [
      Operation,
      Partial<Record<RowState, RowState>>,
    ][]) {
      for (const state of STATES) {
        const outcome = outcomes[state];
        test(`${operation} ${outcome ? `makes a ${state} row ${outcome}` : `leaves a ${state} row alone`}`, async () => {
          const clock = fakeClock();
          await using opened = await open(clock);
          const { backend } = opened;
          const id = await rowIn(backend, clock, state);
          const before = await backend.events.read(0, 10);
          assert.deepEqual(await backend.queue.operate(operation, [id]), outcome ? [id] : []);
          assert.equal(await stateOf(backend, id), outcome ?? state);
          const told = (await backend.events.read(0, 10))
            .slice(before.length)
            .map(({ type, rowId }) => [type, rowId]);
          assert.deepEqual(told, outcome && operation !== "retry-now" ? [[operation, id]] : []);
        });
      }
    }

    test("messages are given alone, in the order asked, and null for those that are not there", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const one = await acceptMail(backend, clock, { rows: 3 });
      const two = await acceptMail(backend, clock);
      const ids = [two.message.id, message().id, one.message.id, two.message.id];
      assert.deepEqual(await backend.queue.messages(ids), [two.message, null, one.message, two.message]);
      assert.deepEqual(await backend.queue.messages([]), []);
    });

    test("rows that are to be retried now, or released, are taken at once", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const deferred = await rowIn(backend, clock, "deferred");
      const held = await rowIn(backend, clock, "deferred");
      await backend.queue.operate("hold", [held]);
      await backend.queue.operate("retry-now", [deferred]);
      await backend.queue.operate("release", [held]);
      const taken = (await backend.queue.take(takeRequest())).flatMap(({ leases }) =>
        leases.map(({ row }) => row.id),
      );
      assert.deepEqual(taken.toSorted(), [deferred, held].toSorted());
    });

    test("a waiting take is woken by a release", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const held = await rowIn(backend, clock, "held");
      const waiting = backend.queue.take(takeRequest({ waitMs: HOUR }));
      await backend.queue.operate("release", [held]);
      await clock.advance(MINUTE); // for an adapter that looks from time to time
      assert.equal((await waiting).length, 1);
    });

    test("a held row is not taken, however long it was due", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await rowIn(backend, clock, "held");
      const deferred = await rowIn(backend, clock, "deferred");
      await backend.queue.operate("hold", [deferred]);
      await clock.advance(2 * HOUR);
      await backend.queue.sweep();
      assert.deepEqual(await backend.queue.take(takeRequest()), []);
    });

    test("a dropped row says who ended it, and the last drop takes the body along", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message: accepted, rows } = await acceptMail(backend, clock, { rows: 2 });
      const [first, second] = rows.map(({ id }) => id);
      assert.ok(first && second);
      await backend.queue.operate("drop", [first]);
      assert.ok(await bodyOf(backend, accepted.id));
      await backend.queue.operate("drop", [second]);
      assert.equal(await bodyOf(backend, accepted.id), null);
      const row = (await backend.queue.get(accepted.id))?.rows[0];
      assert.equal(row?.lastAttempt?.cause, "operator");
      assert.equal(row.finishedAt, clock.now());
      assert.equal(row.attempts, 0);
    });

    test("unknown rows are left out, and a row named twice is changed once", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const unknown = message();
      const id = await rowIn(backend, clock, "queued");
      assert.deepEqual(await backend.queue.operate("hold", [queueRow(unknown, 1).id, id, id]), [id]);
    });
  });

  describe(`QueueStore on ${backendName}: list and counts`, () => {
    test("pages in both orders give each row once, in the order of acceptance", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const ids: RowId[] = [];
      for (const state of ["queued", "deferred", "held", "queued", "deferred", "queued"] as const) {
        ids.push(await rowIn(backend, clock, state));
      }
      assert.deepEqual(await pages(backend, query({ limit: 4 })), [ids.slice(0, 4), ids.slice(4)]);
      assert.deepEqual(await pages(backend, query({ limit: 3 })), [ids.slice(0, 3), ids.slice(3)]);
      const newest = ids.toReversed();
      assert.deepEqual(await pages(backend, query({ limit: 4, order: "newest-first" })), [
        newest.slice(0, 4),
        newest.slice(4),
      ]);
      assert.deepEqual(await pages(backend, query({ limit: 1_000 })), [ids]);
    });

    test("a page holds the states and the zone that were asked for, and the whole rows", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const deferred = await rowIn(backend, clock, "deferred");
      await rowIn(backend, clock, "queued");
      const other = await acceptMail(backend, clock, { fields: { zone: zoneB } });
      assert.deepEqual(await pages(backend, query({ states: ["deferred"] })), [[deferred]]);
      assert.deepEqual((await backend.queue.list(query({ zone: zoneB }))).rows, other.rows);
      assert.deepEqual(await pages(backend, query({ states: [] })), [[]]);
      await rowIn(backend, clock, "delivered");
      assert.deepEqual(
        await pages(backend, query({ states: ["delivered"] })),
        [[]],
        "final rows are in no list",
      );
    });

    test("rows that change between two pages neither repeat nor hide others", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const ids: RowId[] = [];
      for (let i = 0; i < 6; i++) ids.push(await rowIn(backend, clock, "queued"));
      const first = await backend.queue.list(query({ states: ["queued"], limit: 3 }));
      await backend.queue.operate("hold", ids.slice(1, 4));
      const late = await rowIn(backend, clock, "queued");
      const second = await backend.queue.list(query({ states: ["queued"], limit: 10, cursor: first.cursor }));
      assert.deepEqual(
        second.rows.map(({ id }) => id),
        [...ids.slice(4), late],
      );
    });

    test("a limit or cursor that cannot be is the caller's mistake", async () => {
      await using opened = await open(fakeClock());
      const { queue } = opened.backend;
      for (const wrong of [{ limit: 0 }, { limit: 1_001 }, { cursor: "no cursor" }]) {
        await assert.rejects(queue.list(query(wrong)), { name: "DomainError", code: "invalid-request" });
      }
    });

    test("counts are of open rows by zone, exact through all that happens", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      assert.deepEqual(await backend.queue.counts(), []);
      for (const state of ["leased", "queued", "queued", "deferred", "held", "held", "held"] as const) {
        await rowIn(backend, clock, state);
      }
      await acceptMail(backend, clock, { rows: 5, fields: { zone: zoneB } });
      const counted = (await backend.queue.counts()).toSorted((a, b) => a.zone.localeCompare(b.zone));
      const none: Record<OpenState, number> = { queued: 0, leased: 0, deferred: 0, held: 0 };
      assert.deepEqual(counted, [
        { zone: zoneA, queued: 2, leased: 1, deferred: 1, held: 3 },
        { zone: zoneB, ...none, queued: 5 },
      ]);
      const rows = await backend.queue.list(query({ zone: zoneB }));
      await backend.queue.operate(
        "drop",
        rows.rows.map(({ id }) => id),
      );
      assert.deepEqual(
        (await backend.queue.counts()).map(({ zone }) => zone),
        [zoneA],
      );
    });
  });
}
