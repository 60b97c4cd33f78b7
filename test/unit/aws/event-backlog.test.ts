/** What receivers have not taken, in the table: its order, its claims, and what is sent again after a fault. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { dynamoEventBacklog } from "#shared/aws/event-backlog.ts";
import type { MailEvent } from "#shared/domain/event.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import { DAY, KIB, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { BacklogClaim, PlacedEvent } from "#shared/ports/event-backlog.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { address, attempt, zoneA } from "../../support/builders.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { ownTable } from "../../support/own-table.ts";

stopLocalAwsAtEnd();

const MANY = 100;

async function opened() {
  const { clock, newProcess, items } = await ownTable();
  const { deps, faults } = newProcess();
  const backlog = dynamoEventBacklog(deps);
  const claimed = async (consumer = "one"): Promise<BacklogClaim> => {
    const claim = await backlog.claim(consumer, clock.in(MINUTE));
    assert.ok(claim);
    return claim;
  };
  return {
    clock,
    backlog,
    claimed,
    faults,
    pause: { failures: 1, retryAt: clock.in(SECOND) },
    items,
  };
}

function event(seq: number, detail = "250 ok"): MailEvent {
  const messageId = "01kdymwp080z0rksam01d0gth7" as MessageId;
  return {
    type: "delivery",
    at: 1 as MailEvent["at"],
    messageId,
    rowId: rowIdOf(messageId, seq),
    zone: zoneA,
    returnPath: null,
    recipient: address("rcpt@one.example"),
    attempts: 1,
    attempt: attempt({ detail }),
  };
}

const placed = (place: string, ...seqs: number[]): PlacedEvent[] =>
  seqs.map((seq) => ({ place, event: event(seq) }));

describe("the backlog of a receiver", { skip: noLocalAws() }, () => {
  test("gives back what was kept, as it was, in the order of the stream", async () => {
    const { backlog, claimed } = await opened();
    await backlog.keep("one", [...placed("900", 1, 2), ...placed("1000", 3)], MANY);
    await backlog.keep("one", placed("1001", 4), MANY);
    await backlog.keep("another", placed("1", 9), MANY);
    const kept = await backlog.read(await claimed(), null);
    assert.deepEqual(
      kept.flatMap(({ events }) => events),
      [1, 2, 3, 4].map((seq) => event(seq)),
    );
    assert.deepEqual(
      kept.map(({ events }) => events?.length),
      [3, 1],
    );
  });

  test("keeps its order however long the numbers of the stream are and into how many parts it falls", async () => {
    const { backlog, claimed } = await opened();
    const number = fc.bigInt({ min: 1n, max: 10n ** 40n - 1n });
    let name = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(number, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 5 }),
        async (numbers, perPart) => {
          const consumer = `receiver-${++name}`;
          const sorted = numbers.toSorted((a, b) => (a < b ? -1 : 1));
          const events = sorted.flatMap((place, i) => placed(String(place), i * 2 + 1, i * 2 + 2));
          const half = sorted.length - (sorted.length % 2); // a place is not cut in two
          await backlog.keep(consumer, events.slice(half), perPart);
          await backlog.keep(consumer, events.slice(0, half), perPart);
          const kept = await backlog.read(await claimed(consumer), null);
          assert.ok(kept.every((part) => (part.events?.length ?? 0) <= perPart));
          const told = kept.flatMap((part) => part.events ?? []);
          assert.deepEqual(
            told.map(({ rowId }) => rowId),
            events.map((one) => one.event.rowId),
          );
        },
      ),
      { numRuns: 15 },
    );
  });

  test("is read on behind a part, which the pause of the one before can say", async () => {
    const { backlog, claimed, clock } = await opened();
    await backlog.keep("one", [...placed("1", 1), ...placed("2", 2), ...placed("3", 3)], 1);
    const claim = await claimed();
    assert.equal(claim.behind, null);
    const [first] = await backlog.read(claim, null);
    const behind = first?.key ?? assert.fail();
    await backlog.pause(claim, { failures: 0, retryAt: clock.now(), behind });
    const next = await claimed();
    assert.equal(next.behind, behind);
    const rest = await backlog.read(next, next.behind);
    assert.deepEqual(
      rest.flatMap(({ events }) => events),
      [event(2), event(3)],
    );
    await backlog.pause(next, { failures: 0, retryAt: clock.now() });
    assert.equal((await claimed()).behind, null);
  });

  test("is open from the first event on, and closes when it is empty", async () => {
    const { backlog, claimed, pause, clock } = await opened();
    assert.equal(await backlog.isOpen("one"), false);
    await backlog.open("one", pause);
    assert.equal(await backlog.isOpen("one"), true);
    await clock.advance(2 * SECOND);
    const claim = await claimed();
    assert.deepEqual(await backlog.read(claim, null), []);
    await backlog.keep("one", placed("1", 1), MANY); // by a Lambda that saw it open
    await backlog.close(claim);
    assert.equal(await backlog.isOpen("one"), true, "for as long as there are events in it");
    const next = await claimed();
    const [part] = await backlog.read(next, null);
    await backlog.remove(next, [{ key: part?.key ?? "" }]);
    await backlog.close(next);
    assert.equal(await backlog.isOpen("one"), false);
  });

  test("is worked on by one at a time, once its pause is over, and remembers its failures", async () => {
    const { backlog, claimed, pause, clock } = await opened();
    await backlog.open("one", pause);
    await backlog.open("one", { failures: 7, retryAt: clock.in(DAY) });
    assert.equal(await backlog.claim("one", clock.in(MINUTE)), null, "the pause is not over");
    await clock.advance(SECOND);
    const first = await claimed();
    assert.equal(first.failures, 1);
    assert.equal(await backlog.claim("one", clock.in(MINUTE)), null, "it is another's");
    await clock.advance(MINUTE);
    const second = await claimed();
    await backlog.pause(first, { failures: 0, retryAt: clock.now() });
    await backlog.close(first);
    assert.equal(await backlog.claim("one", clock.in(MINUTE)), null, "who comes too late changes nothing");
    await backlog.pause(second, { failures: 2, retryAt: clock.now() });
    assert.equal((await claimed()).failures, 2);
  });

  test("keeps events that are too long for one item in several", async () => {
    const { backlog, claimed } = await opened();
    const long = "x".repeat(60 * KIB);
    const events = [1, 2, 3, 4, 5, 6, 7, 8].map((seq) => ({ place: "1", event: event(seq, long) }));
    await backlog.keep("one", events, MANY);
    const kept = await backlog.read(await claimed(), null);
    assert.ok(kept.length > 1);
    assert.deepEqual(
      kept.flatMap(({ events: part }) => part?.map(({ rowId }) => rowId)),
      events.map((one) => one.event.rowId),
    );
  });

  test("loses nothing when a batch is left half done or an answer is lost", async () => {
    const { backlog, claimed, faults, items, clock } = await opened();
    faults.leaveHalf("BatchWriteItem");
    faults.loseAnswer("BatchWriteItem");
    const seqs = Array.from({ length: 60 }, (_, i) => i + 1);
    await backlog.keep("one", placed("1", ...seqs), 1);
    faults.loseAnswer("UpdateItem");
    const claim = await claimed();
    const kept = await backlog.read(claim, null);
    assert.deepEqual(
      kept.flatMap(({ events }) => events?.map(({ rowId }) => rowId)),
      seqs.map((seq) => event(seq).rowId),
    );
    const week = (clock.now() + 7 * DAY) / SECOND;
    assert.ok((await items()).every(({ ttl }) => ttl?.N === String(week)));
    faults.leaveHalf("BatchWriteItem");
    await backlog.remove(claim, kept);
    assert.deepEqual(await backlog.read(claim, null), []);
  });
});
