/**
 * Random histories of two processes on one queue on AWS, with answers and signals lost on the way. No row may be leased while
 * another's lease of it lives, a settle may only say what is so, and in the end every accepted row must come to its end.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { domainOf } from "#shared/domain/address.ts";
import type { MessageId, RowId } from "#shared/domain/ids.ts";
import { isFinal } from "#shared/domain/queue-row.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Operation } from "#shared/ports/queue-store.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { faultyAwsQueue } from "../support/aws-queue.ts";
import type { FaultyAwsQueue } from "../support/aws-queue.ts";
import { takeRequest } from "../support/backend.ts";
import { address, anna, attempt, ben, message, queueRow } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { fewer } from "../support/patience.ts";

stopLocalAwsAtEnd();

const HISTORIES = fewer(12);
const MAX_STEPS = 25;
const LEASE_MS = 30 * SECOND;
const DOMAINS = ["a.example", "b.example", "c.example"] as const;
/** Rounds of sweep and take in which all must come to its end. */
const MAX_ROUNDS = 12;

type Step =
  | { do: "accept"; rows: { domain: number; delayMs: number }[] }
  | { do: "take"; process: number; max: number; avoid: number[] }
  | { do: "settle"; process: number; pick: number; deferMs: number | null }
  | { do: "release"; pick: number; delayMs: number }
  | { do: "renew"; pick: number }
  | { do: "operate"; operation: Operation; pick: number }
  | { do: "wait"; ms: number }
  | { do: "sweep"; process: number }
  | { do: "lose-answer" }
  | { do: "lose-signals" };

const pick = fc.nat({ max: 1_000 });
const process = fc.nat({ max: 1 });
const delayMs = fc.constantFrom(0, 10 * SECOND, 5 * MINUTE, 20 * MINUTE);
const is = <T extends string>(name: T) => fc.constant(name);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      do: is("accept"),
      rows: fc.array(fc.record({ domain: fc.nat({ max: 2 }), delayMs }), { minLength: 1, maxLength: 4 }),
    }),
    fc.record({
      do: is("take"),
      process,
      max: fc.integer({ min: 1, max: 5 }),
      avoid: fc.subarray([0, 1, 2]),
    }),
    fc.record({ do: is("settle"), process, pick, deferMs: fc.option(delayMs, { nil: null }) }),
    fc.record({ do: is("release"), pick, delayMs }),
    fc.record({ do: is("renew"), pick }),
    fc.record({
      do: is("operate"),
      operation: fc.constantFrom<Operation>("retry-now", "hold", "release", "drop"),
      pick,
    }),
    fc.record({ do: is("wait"), ms: fc.constantFrom(SECOND, 10 * SECOND, LEASE_MS, 10 * MINUTE) }),
    fc.record({ do: is("sweep"), process }),
    fc.record({ do: is("lose-answer") }),
    fc.record({ do: is("lose-signals") }),
  ),
  { minLength: 8, maxLength: MAX_STEPS },
);

interface Held {
  readonly lease: Lease;
  until: number;
  ended: boolean;
}

test("no history loses a row or leases it twice at a time", { skip: noLocalAws() }, async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const clock = fakeClock();
      await using aws = await faultyAwsQueue(clock);
      const run = historyOn(aws, clock);
      for (const step of history) await run.perform(step);
      await run.bringToAnEnd();
    }),
    { numRuns: HISTORIES },
  );
});

function historyOn(aws: FaultyAwsQueue, clock: ReturnType<typeof fakeClock>) {
  const processes = [aws.queue, aws.openAnother().queue];
  const rows: RowId[] = [];
  const messages: MessageId[] = [];
  const leases: Held[] = [];

  const processOf = (index: number) => processes[index] ?? aws.queue;
  const newest = (id: RowId): Held | undefined => leases.findLast(({ lease }) => lease.row.id === id);

  async function accept(asked: { domain: number; delayMs: number }[]): Promise<void> {
    const mail = message({ acceptedAt: clock.now(), recipientCount: asked.length });
    const accepted = asked.map(({ domain, delayMs: delay }, i) => {
      const recipient = address(`rcpt${i}@${DOMAINS[domain]}`);
      const state = delay === 0 ? "queued" : "deferred";
      return queueRow(mail, i + 1, { recipient, domain: domainOf(recipient), state, dueAt: clock.in(delay) });
    });
    assert.equal(await aws.queue.accept(mail, accepted), "accepted");
    rows.push(...accepted.map(({ id }) => id));
    messages.push(mail.id);
  }

  async function take(index: number, fields: { max: number; avoid: number[] }): Promise<Lease[]> {
    const avoid = new Set(fields.avoid.map((domain) => domainOf(address(`x@${DOMAINS[domain]}`))));
    const worker = index === 0 ? anna : ben;
    const request = takeRequest({ worker, max: fields.max, avoid, leaseMs: LEASE_MS });
    const taken = (await processOf(index).take(request)).flatMap((group) => group.leases);
    for (const lease of taken) {
      const before = newest(lease.row.id);
      assert.ok(!before || before.ended || before.until <= clock.now(), "nobody else's lease lives");
      assert.ok(!avoid.has(lease.row.domain));
      assert.ok(lease.row.dueAt <= clock.now());
      assert.ok(lease.token > (before?.lease.token ?? 0));
      leases.push({ lease, until: lease.until, ended: false });
    }
    return taken;
  }

  /** What a write under a lease may answer: no for one that is over, yes for one that lives. */
  function mayAnswer(held: Held, written: boolean | undefined): void {
    const isNewest = newest(held.lease.row.id) === held;
    if (written === true)
      assert.ok(isNewest && !held.ended, "only the newest lease that has not ended writes");
    else assert.ok(!isNewest || held.ended || held.until <= clock.now(), "a lease that lives is not refused");
  }

  async function settle(index: number, held: Held, deferMs: number | null): Promise<void> {
    const settled =
      deferMs === null
        ? { state: "delivered" as const }
        : { state: "deferred" as const, dueAt: clock.in(deferMs) };
    const [written] = await processOf(index).settle([{ lease: held.lease, settled, attempt: attempt() }]);
    mayAnswer(held, written);
    if (written === true) held.ended = true;
  }

  async function onLease(step: Extract<Step, { pick: number }>, held: Held): Promise<void> {
    if (step.do === "settle") await settle(step.process, held, step.deferMs);
    if (step.do === "release") {
      const [written] = await aws.queue.release([held.lease], clock.in(step.delayMs));
      mayAnswer(held, written);
      if (written === true) held.ended = true;
    }
    if (step.do === "renew") {
      const until = clock.in(LEASE_MS);
      const [written] = await aws.queue.renew([held.lease], until);
      mayAnswer(held, written);
      if (written === true) held.until = until;
    }
  }

  async function perform(step: Step): Promise<void> {
    if (step.do === "accept") return await accept(step.rows);
    if (step.do === "take") return void (await take(step.process, step));
    if (step.do === "wait") return await clock.advance(step.ms);
    if (step.do === "sweep") return void (await processOf(step.process).sweep());
    if (step.do === "lose-answer") return aws.faults.loseAnswer("BatchExecuteStatement");
    if (step.do === "lose-signals") return aws.faults.fail("SendMessageBatch", 3);
    if (step.do === "operate") {
      const id = rows[step.pick % Math.max(1, rows.length)];
      return id === undefined ? undefined : void (await aws.queue.operate(step.operation, [id]));
    }
    const held = leases[step.pick % Math.max(1, leases.length)];
    if (held) await onLease(step, held);
  }

  async function bringToAnEnd(): Promise<void> {
    aws.faults.heal();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      await clock.advance(10 * MINUTE);
      await aws.queue.operate("release", rows);
      await processOf(round % 2).sweep();
      for (const lease of await take(round % 2, { max: 1_000, avoid: [] })) {
        const held = newest(lease.row.id);
        assert.ok(held);
        await settle(round % 2, held, null);
      }
      if ((await aws.queue.counts()).length === 0) break;
    }
    const stored = await Promise.all(messages.map((id) => aws.queue.get(id)));
    const states = stored.flatMap((found) => found?.rows.map(({ state }) => state) ?? []);
    assert.equal(states.length, rows.length, "every row is there");
    assert.ok(states.every(isFinal), String(states));
  }

  return { perform, bringToAnEnd };
}
