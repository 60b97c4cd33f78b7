/**
 * Random histories of two workers and an operator on one queue, against a model of a few lines. After each step the store
 * must say of every row what the model says, and count them alike; at the end the events must tell the same story.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import fc from "fast-check";

import { domainOf } from "#shared/domain/address.ts";
import type { EventType } from "#shared/domain/event.ts";
import type { MessageId, RowId, WorkerId } from "#shared/domain/ids.ts";
import { OPEN_STATES, isFinal } from "#shared/domain/queue-row.ts";
import type { FinalState, Lease, QueueRow, RowState } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { Operation } from "#shared/ports/queue-store.ts";
import { MAX_ROWS_TOGETHER } from "#shared/ports/queue-store.ts";
import { bodyOf, chunks, embeddedBackend, takeRequest } from "../support/backend.ts";
import { address, anna, attempt, ben, message, queueRow } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

const HISTORIES = 150;
const MAX_STEPS = 40;
const DOMAINS = ["a.example", "b.example", "c.example"] as const;
const LEASE_MS = 50;

type Step =
  | { do: "accept"; rows: { domain: number; delayMs: number }[] }
  | { do: "take"; worker: WorkerId; max: number; maxPerDomain: number; avoid: number[] }
  | { do: "settle"; pick: number; state: FinalState | "deferred"; delayMs: number }
  | { do: "release" | "renew"; pick: number; delayMs: number }
  | { do: "operate"; operation: Operation; pick: number }
  | { do: "wait"; ms: number }
  | { do: "sweep" };

const pick = fc.nat({ max: 1_000 });
const delayMs = fc.constantFrom(0, 10, 40, 90);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant("accept" as const),
      rows: fc.array(fc.record({ domain: fc.nat({ max: 2 }), delayMs }), { minLength: 1, maxLength: 4 }),
    }),
    fc.record({
      do: fc.constant("take" as const),
      worker: fc.constantFrom(anna, ben),
      max: fc.integer({ min: 1, max: 5 }),
      maxPerDomain: fc.integer({ min: 1, max: 3 }),
      avoid: fc.subarray([0, 1, 2]),
    }),
    fc.record({
      do: fc.constant("settle" as const),
      pick,
      state: fc.constantFrom("delivered", "deferred", "bounced", "expired", "dropped"),
      delayMs,
    }),
    fc.record({ do: fc.constantFrom("release", "renew"), pick, delayMs }),
    fc.record({
      do: fc.constant("operate" as const),
      operation: fc.constantFrom("retry-now", "hold", "release", "drop"),
      pick,
    }),
    fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1, 20, LEASE_MS, 100) }),
    fc.record({ do: fc.constant("sweep" as const) }),
  ),
  { minLength: 5, maxLength: MAX_STEPS },
);

const EVENT_OF: Record<FinalState | "deferred", EventType> = {
  delivered: "delivery",
  deferred: "deferral",
  bounced: "bounce",
  expired: "expiry",
  suppressed: "suppression",
  dropped: "drop",
};

/** All that the model knows of a row. */
interface ModelRow {
  readonly id: RowId;
  readonly messageId: MessageId;
  readonly domain: string;
  state: RowState;
  dueAt: number;
  token: number;
  until: number;
  readonly events: EventType[];
}

const clock = fakeClock();
let opened: Awaited<ReturnType<typeof embeddedBackend>>;
let zones = 0;
let lastEvent = 0;

before(async () => {
  opened = await embeddedBackend(clock);
});
after(async () => {
  await opened[Symbol.asyncDispose]();
});

test("the queue agrees with its model after every step of a random history", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const run = historyIn(`zone-${zones++}` as ZoneName);
      for (const step of history) {
        await run.perform(step);
        await run.compare();
      }
      await run.compareStories();
    }),
    { numRuns: HISTORIES },
  );
});

/** A history of its own: rows of other zones are not seen, so one store serves all histories. */
function historyIn(zone: ZoneName) {
  const { queue, bodies, events } = opened.backend;
  const rows = new Map<RowId, ModelRow>();
  /** Every lease ever given, also those that are over. */
  const leases: Lease[] = [];
  const messages = new Set<MessageId>();

  const isTakeable = (row: ModelRow): boolean =>
    (row.state === "queued" || row.state === "deferred") && row.dueAt <= clock.now();
  const isUnder = (lease: Lease): boolean => {
    const row = modelOf(lease.row.id);
    return row.state === "leased" && row.token === lease.token;
  };

  function modelOf(id: RowId): ModelRow {
    const row = rows.get(id);
    assert.ok(row, `the model knows ${id}`);
    return row;
  }

  function lapse(): void {
    for (const row of rows.values())
      if (row.state === "leased" && row.until <= clock.now()) row.state = "queued";
  }

  async function accept(asked: { domain: number; delayMs: number }[]): Promise<void> {
    const accepted = message({ acceptedAt: clock.now(), recipientCount: asked.length });
    const stored = asked.map(({ domain, delayMs: delay }, i): QueueRow => {
      const recipient = address(`rcpt${i}@${DOMAINS[domain]}`);
      return queueRow(accepted, i + 1, {
        zone,
        recipient,
        domain: domainOf(recipient),
        state: delay === 0 ? "queued" : "deferred",
        dueAt: clock.in(delay),
      });
    });
    await bodies.put(accepted.id, chunks("\r\nbody"));
    assert.equal(await queue.accept(accepted, stored), "accepted");
    messages.add(accepted.id);
    for (const { id, messageId, domain, state, dueAt } of stored) {
      rows.set(id, { id, messageId, domain, state, dueAt, token: 0, until: 0, events: [] });
    }
  }

  async function take(step: Extract<Step, { do: "take" }>): Promise<void> {
    lapse();
    const avoid = new Set(step.avoid.map((domain) => domainOf(address(`x@${DOMAINS[domain]}`))));
    const takeable = [...rows.values()].filter((row) => isTakeable(row) && !avoid.has(row.domain as never));
    const taken = await queue.take(takeRequest({ ...step, zone, avoid, leaseMs: LEASE_MS }));
    const got = taken.flatMap((group) =>
      group.leases.map((lease) => ({ lease, row: modelOf(lease.row.id) })),
    );
    const share = sharesOf(takeable, step.maxPerDomain);
    assert.ok(got.length >= Math.min(step.max, share), `${got.length} rows of ${share} that could be had`);
    assert.ok(got.length < step.max + MAX_ROWS_TOGETHER);
    for (const { row } of got) {
      assert.ok(takeable.includes(row), `${row.id} could be taken`);
      const oldest = takeable.filter(({ domain }) => domain === row.domain).toSorted(byAge)[0];
      assert.ok(
        got.some((other) => other.row === oldest),
        "the oldest of a domain comes first",
      );
    }
    for (const { lease, row } of got) {
      leases.push(lease);
      assert.equal(lease.token, row.token + 1);
      Object.assign(row, { state: "leased", token: lease.token, until: lease.until });
    }
    assertTogether(taken.map((group) => group.leases.map((lease) => lease.row.id)));
  }

  /** No group may leave behind a due row of its own message and domain with the same due time. */
  function assertTogether(groups: RowId[][]): void {
    for (const group of groups) {
      const first = modelOf(group[0] as RowId);
      const left = [...rows.values()].filter(
        (row) =>
          isTakeable(row) &&
          row.messageId === first.messageId &&
          row.domain === first.domain &&
          row.dueAt === first.dueAt,
      );
      assert.deepEqual(left, []);
    }
  }

  async function settle(lease: Lease, state: FinalState | "deferred", dueAt: EpochMs): Promise<void> {
    const settled = state === "deferred" ? ({ state, dueAt } as const) : { state };
    const [written] = await queue.settle([{ lease, settled, attempt: attempt() }]);
    assert.equal(written, isUnder(lease));
    if (!written) return;
    const row = modelOf(lease.row.id);
    row.state = state;
    if (state === "deferred") row.dueAt = dueAt;
    row.events.push(EVENT_OF[state]);
  }

  async function operate(operation: Operation, row: ModelRow): Promise<void> {
    const waits = row.state === "queued" || row.state === "deferred";
    const applies =
      operation === "release"
        ? row.state === "held"
        : waits || (operation === "drop" && row.state === "held");
    assert.deepEqual(await queue.operate(operation, [row.id]), applies ? [row.id] : []);
    if (!applies) return;
    if (operation === "hold") row.state = "held";
    else if (operation === "drop") row.state = "dropped";
    else Object.assign(row, { state: "queued", dueAt: Math.min(row.dueAt, clock.now()) });
    if (operation !== "retry-now") row.events.push(operation);
  }

  async function perform(step: Step): Promise<void> {
    if (step.do === "accept") return accept(step.rows);
    if (step.do === "take") return take(step);
    if (step.do === "wait") return clock.advance(step.ms);
    if (step.do === "sweep") {
      lapse();
      await queue.sweep();
      return;
    }
    if (step.do === "operate") {
      const row = [...rows.values()][step.pick % Math.max(rows.size, 1)];
      return row && operate(step.operation, row);
    }
    const lease = leases[step.pick % Math.max(leases.length, 1)];
    if (!lease) return;
    if (step.do === "settle") return settle(lease, step.state, clock.in(step.delayMs));
    const row = modelOf(lease.row.id);
    const isHeld = isUnder(lease);
    const until = clock.in(step.delayMs);
    if (step.do === "renew") {
      assert.deepEqual(await queue.renew([lease], until), [isHeld]);
      if (isHeld) row.until = until;
    } else {
      assert.deepEqual(await queue.release([lease], until), [isHeld]);
      if (isHeld) Object.assign(row, { state: step.delayMs === 0 ? "queued" : "deferred", dueAt: until });
    }
  }

  async function compare(): Promise<void> {
    const stored: QueueRow[] = [];
    for (const id of messages) stored.push(...((await queue.get(id))?.rows ?? []));
    assert.deepEqual(
      stored.map(({ id, state, dueAt, leaseToken }) => ({ id, state, dueAt, token: leaseToken })),
      [...rows.values()].map(({ id, state, dueAt, token }) => ({ id, state, dueAt, token })),
    );
    const { zone: _, ...counted } = (await queue.counts()).find((counts) => counts.zone === zone) ?? { zone };
    const open = { queued: 0, leased: 0, deferred: 0, held: 0 };
    for (const { state } of rows.values()) if (!isFinal(state)) open[state]++;
    assert.deepEqual({ queued: 0, leased: 0, deferred: 0, held: 0, ...counted }, open);
  }

  async function compareStories(): Promise<void> {
    const told = new Map<RowId, EventType[]>();
    const story = await events.read(lastEvent, 1_000_000);
    lastEvent = story.at(-1)?.number ?? lastEvent;
    for (const event of story) {
      if (event.rowId) told.set(event.rowId, [...(told.get(event.rowId) ?? []), event.type]);
    }
    for (const row of rows.values()) assert.deepEqual(told.get(row.id) ?? [], row.events);
    for (const id of messages) {
      const states = [...rows.values()].filter(({ messageId }) => messageId === id).map(({ state }) => state);
      const isGone = states.every((state) => state === "delivered" || state === "dropped");
      assert.equal((await bodyOf(opened.backend, id)) === null, isGone, states.join());
    }
    for (const state of OPEN_STATES) {
      const { rows: listed } = await queue.list({
        zone,
        states: [state],
        order: "oldest-first",
        limit: 1_000,
        cursor: null,
      });
      const expected = [...rows.values()].filter((row) => row.state === state).map(({ id }) => id);
      assert.deepEqual(
        listed.map(({ id }) => id),
        expected.toSorted(),
      );
    }
  }

  return { perform, compare, compareStories };
}

function byAge(a: ModelRow, b: ModelRow): number {
  return a.dueAt - b.dueAt || (a.id < b.id ? -1 : 1);
}

/** How many rows a take may give when each domain gives its share. */
function sharesOf(takeable: readonly ModelRow[], maxPerDomain: number): number {
  const perDomain = new Map<string, number>();
  for (const { domain } of takeable) perDomain.set(domain, (perDomain.get(domain) ?? 0) + 1);
  return [...perDomain.values()].reduce((sum, count) => sum + Math.min(count, maxPerDomain), 0);
}
