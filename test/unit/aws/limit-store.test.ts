/** LimitStore on DynamoDB among several senders, and when answers are lost or refused. One store is one sender. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { dynamoLimitStore } from "#shared/aws/limit-store.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { DAY, MINUTE, SECOND } from "#shared/domain/units.ts";
import { anna, ben } from "../../support/builders.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { countsUnits, maybeNotAtomic, noLocalAws } from "../../support/local-aws.ts";
import { ownTable } from "../../support/own-table.ts";

stopLocalAwsAtEnd();

const MX = "mx.one.example";

/** A table with as many senders as are asked for, each with clients and faults of its own. */
async function senders(count: number) {
  const { clock, newProcess } = await ownTable();
  const all = Array.from({ length: count }, () => {
    const { deps, faults } = newProcess();
    return { limits: dynamoLimitStore(deps), faults };
  });
  return { clock, all, first: all[0] as (typeof all)[number], second: all[1] as (typeof all)[number] };
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

describe("LimitStore on DynamoDB among senders", { skip: noLocalAws() }, () => {
  test("senders that ask at once get the limit together, all of it and no more", async () => {
    const { clock, all } = await senders(4);
    const asking = Array.from({ length: 40 }, (_, i) =>
      all[i % 4]?.limits.acquireSlots(MX, {
        holder: `worker ${i % 4}` as WorkerId,
        want: 1 + (i % 2),
        limit: 25,
        until: clock.in(MINUTE),
      }),
    );
    assert.equal(sum(await Promise.all(asking.map(async (asked) => (await asked) ?? 0))), 25);
  });

  test("in any order of asking and giving back, senders never have more than the limit, and all of it is there to be had", async () => {
    const step = fc.record({
      who: fc.integer({ min: 0, max: 2 }),
      acquire: fc.boolean(),
      count: fc.integer({ min: 1, max: 3 }),
    });
    const { clock, all } = await senders(3);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 8 }), async (rounds) => {
        const key = `run ${run++}`;
        const has = [0, 0, 0];
        const holder = (who: number): WorkerId => `worker ${who}` as WorkerId;
        const ask = (who: number, want: number) =>
          all[who]?.limits.acquireSlots(key, {
            holder: holder(who),
            want,
            limit: 5,
            until: clock.in(MINUTE),
          });
        for (const steps of rounds) {
          await Promise.all(
            steps.map(async ({ who, acquire, count }) => {
              const granted = acquire ? ((await ask(who, count)) ?? 0) : 0;
              has[who] = (has[who] ?? 0) + granted;
            }),
          );
          assert.ok(sum(has) <= 5, `${sum(has)} slots are out`);
          for (const { who, acquire, count } of steps) {
            if (acquire) continue;
            await all[who]?.limits.releaseSlots(key, { holder: holder(who), count });
            has[who] = Math.max(0, (has[who] ?? 0) - count);
          }
        }
        assert.equal(await ask(0, 9), 5 - sum(has));
      }),
      { numRuns: 15 },
    );
  });

  test("a slot given back by one sender is to be had at once by another that was refused", async () => {
    const { clock, first, second } = await senders(2);
    const ask = { want: 1, limit: 1, until: clock.in(MINUTE) };
    assert.equal(await first.limits.acquireSlots(MX, { ...ask, holder: anna }), 1);
    assert.equal(await second.limits.acquireSlots(MX, { ...ask, holder: ben }), 0);
    await first.limits.releaseSlots(MX, { holder: anna, count: 1 });
    assert.equal(await second.limits.acquireSlots(MX, { ...ask, holder: ben }), 1);
    assert.equal(await first.limits.acquireSlots(MX, { ...ask, holder: anna }), 0);
  });

  test("the slots of a sender that died go to another when its time is over, however well it was known", async () => {
    const { clock, first, second } = await senders(2);
    await first.limits.acquireSlots(MX, { holder: anna, want: 2, limit: 2, until: clock.in(10 * SECOND) });
    const ask = { holder: ben, want: 2, limit: 2 };
    assert.equal(await second.limits.acquireSlots(MX, { ...ask, until: clock.in(MINUTE) }), 0);
    await first.limits.renewSlots(anna, clock.in(MINUTE));
    await clock.advance(MINUTE - 1);
    assert.equal(await second.limits.acquireSlots(MX, { ...ask, until: clock.in(MINUTE) }), 0);
    await clock.advance(1);
    assert.equal(await second.limits.acquireSlots(MX, { ...ask, until: clock.in(MINUTE) }), 2);
  });

  test("one write takes over the slots of more dead holders than one expression can name", async () => {
    const { clock, first } = await senders(1);
    const ask = { want: 1, limit: 60 };
    for (let i = 0; i < 60; i++)
      await first.limits.acquireSlots(MX, {
        ...ask,
        holder: `dead ${i}` as WorkerId,
        until: clock.in(SECOND),
      });
    await clock.advance(SECOND);
    const until = clock.in(MINUTE);
    const granted = [
      await first.limits.acquireSlots(MX, { holder: anna, want: 60, limit: 60, until }),
      await first.limits.acquireSlots(MX, { holder: anna, want: 60, limit: 60, until }),
    ];
    assert.equal(sum(granted), 60);
  });

  test("a grant whose answer was lost is granted once", async () => {
    const { clock, first, second } = await senders(2);
    const until = clock.in(MINUTE);
    await first.limits.acquireSlots("other", { holder: anna, want: 1, limit: 1, until }); // anna is entered
    first.faults.loseAnswer("UpdateItem");
    assert.equal(await first.limits.acquireSlots(MX, { holder: anna, want: 2, limit: 5, until }), 2);
    assert.equal(await second.limits.acquireSlots(MX, { holder: ben, want: 9, limit: 5, until }), 3);
    first.faults.loseAnswer("UpdateItem");
    await first.limits.releaseSlots(MX, { holder: anna, count: 1 });
    assert.equal(await second.limits.acquireSlots(MX, { holder: ben, want: 9, limit: 5, until }), 1);
    first.faults.loseAnswer("UpdateItem");
    await first.limits.releaseSlots(MX, { holder: anna, count: 1 });
    assert.equal(await second.limits.acquireSlots(MX, { holder: ben, want: 9, limit: 5, until }), 1);
  });

  test("a holder whose entry was lost on the way back is entered once", async () => {
    const { clock, first, second } = await senders(2);
    first.faults.loseAnswer("UpdateItem");
    const until = clock.in(MINUTE);
    assert.equal(await first.limits.acquireSlots(MX, { holder: anna, want: 1, limit: 1, until }), 1);
    assert.equal(await second.limits.acquireSlots(MX, { holder: ben, want: 1, limit: 1, until }), 0);
  });

  test("while the table does not answer a call fails, and what the sender has stays its own", async () => {
    const { clock, first, second } = await senders(2);
    const until = clock.in(MINUTE);
    await first.limits.acquireSlots(MX, { holder: anna, want: 1, limit: 2, until });
    for (const command of ["UpdateItem", "GetItem", "BatchGetItem", "PutItem"])
      first.faults.throttle(command, Number.POSITIVE_INFINITY);
    const ask = { holder: anna, want: 1, limit: 2, until };
    await assert.rejects(first.limits.acquireSlots(MX, ask), {
      name: "ProvisionedThroughputExceededException",
    });
    await assert.rejects(first.limits.takeBudget(MX, { want: 1, rate: { count: 1, perMs: MINUTE } }));
    assert.equal(await second.limits.acquireSlots(MX, { ...ask, holder: ben, want: 9 }), 1);
    first.faults.heal();
    assert.equal(await first.limits.acquireSlots(MX, ask), 0);
    await second.limits.releaseSlots(MX, { holder: ben, count: 1 });
    assert.equal(await first.limits.acquireSlots(MX, ask), 1);
  });

  test("a throttle that passes is not seen", async () => {
    const { clock, first } = await senders(1);
    for (const command of ["UpdateItem", "GetItem", "BatchGetItem"]) first.faults.throttle(command, 1);
    const ask = { holder: anna, want: 1, limit: 2, until: clock.in(MINUTE) };
    assert.equal(await first.limits.acquireSlots(MX, ask), 1);
  });

  test("holders that a batch left unread are asked for again", async () => {
    const { clock, all, first } = await senders(5);
    const until = clock.in(MINUTE);
    for (const [i, { limits }] of all.slice(1).entries())
      await limits.acquireSlots(MX, { holder: `worker ${i}` as WorkerId, want: 1, limit: 5, until });
    first.faults.leaveHalf("BatchGetItem", 2);
    assert.equal(await first.limits.acquireSlots(MX, { holder: anna, want: 9, limit: 5, until }), 1);
    assert.equal(first.faults.sent.get("BatchGetItem"), 3);
  });

  test("with a sender that goes on, a connection costs two writes to open and one to close, and no read", async () => {
    const { clock, first } = await senders(1);
    const use = async (): Promise<void> => {
      await first.limits.acquireSlots(MX, { holder: anna, want: 1, limit: 5, until: clock.in(MINUTE) });
      await first.limits.releaseSlots(MX, { holder: anna, count: 1 });
    };
    await use();
    await clock.advance(SECOND);
    first.faults.reset();
    await use();
    assert.deepEqual([...first.faults.sent], [["UpdateItem", 3]]);
    if (countsUnits()) assert.deepEqual(first.faults.capacity, { read: 0, write: 3 });
  });
});

describe("rates on DynamoDB among senders", { skip: noLocalAws() }, () => {
  const rate = { count: 10, perMs: MINUTE };

  test("senders that take at once get the rate together, and no two the same permit", async () => {
    const { clock, all } = await senders(3);
    const start = clock.now();
    const times: number[] = [];
    while (clock.now() < start + 2 * MINUTE) {
      const request = { want: 2, rate, aheadMs: 2 * SECOND };
      const answers = await Promise.all(all.map(({ limits }) => limits.takeBudget(MX, request)));
      times.push(...answers.flatMap(({ permits }) => permits));
      await clock.advance(SECOND);
    }
    const sorted = times.toSorted((one, other) => one - other);
    assert.deepEqual(
      sorted,
      Array.from({ length: sorted.length }, (_, i) => start + i * 6 * SECOND),
    );
    assert.ok(sorted.length >= 2 * rate.count, "none is withheld");
  });

  test("who was refused asks the table again only when the next permit is there", async () => {
    const { clock, first, second } = await senders(2);
    assert.equal((await first.limits.takeBudget(MX, { want: 10, rate })).permits.length, 1);
    const refused = await second.limits.takeBudget(MX, { want: 1, rate });
    assert.deepEqual(refused, { permits: [], retryAt: clock.in(6 * SECOND) });
    second.faults.reset();
    for (let i = 0; i < 50; i++)
      assert.equal((await second.limits.takeBudget(MX, { want: 1, rate })).permits.length, 0);
    assert.deepEqual([...second.faults.sent], []);
    await clock.advance(6 * SECOND);
    assert.equal((await second.limits.takeBudget(MX, { want: 1, rate })).permits.length, 1);
  });

  test("permits whose answer was lost are taken once", async () => {
    const { clock, first, second } = await senders(2);
    const request = { want: 2, rate: { count: 10, perMs: SECOND }, aheadMs: SECOND };
    first.faults.loseAnswer("PutItem");
    assert.deepEqual((await first.limits.takeBudget(MX, request)).permits, [clock.now(), clock.in(100)]);
    assert.deepEqual((await second.limits.takeBudget(MX, request)).permits, [clock.in(200), clock.in(300)]);
  });

  test("permits of many mails are one write unit", async () => {
    const { clock, first } = await senders(1);
    const request = { want: 500, rate: { count: 1_000_000, perMs: MINUTE }, aheadMs: 2 * SECOND };
    await first.limits.takeBudget(MX, request);
    await clock.advance(SECOND);
    first.faults.reset();
    assert.equal((await first.limits.takeBudget(MX, request)).permits.length, 500);
    if (countsUnits()) assert.deepEqual(first.faults.capacity, { read: 0, write: 1 });
  });
});

describe("blocked pairs and warm-up on DynamoDB", { skip: noLocalAws() }, () => {
  test("what one sender blocks, the others see at their next look", async () => {
    const { clock, first, second } = await senders(2);
    const entry = {
      address: "192.0.2.1",
      site: MX,
      createdAt: clock.now(),
      until: clock.in(MINUTE),
      response: "554 listed",
    };
    await first.limits.block(entry);
    assert.deepEqual(await second.limits.blocked(), [entry]);
    second.faults.loseAnswer("DeleteItem");
    assert.equal(await second.limits.unblock(entry.address, MX), true, "though the answer was lost");
    assert.deepEqual(await first.limits.blocked(), []);
  });

  const key = { address: "192.0.2.1", site: MX, day: "2026-11-20" };

  test("counts of several senders add up, and one whose answer was lost counts once", async () => {
    const { first, second } = await senders(2);
    await first.limits.countWarmup(key, 3);
    assert.equal(await second.limits.countWarmup(key, 4), 7);
    first.faults.loseAnswer("UpdateItem");
    assert.equal(await first.limits.countWarmup(key, 5), 12);
    assert.equal(await second.limits.countWarmup(key, 0), 12);
    await first.limits.countInWindow("a:b", DAY);
    second.faults.loseAnswer("UpdateItem");
    assert.equal(await second.limits.countInWindow("a:b", DAY), 2);
    assert.equal(await first.limits.countInWindow("a:b", DAY), 3);
  });

  test("counts that several senders make at once add up", { skip: maybeNotAtomic() }, async () => {
    const { first, second } = await senders(2);
    await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? first : second).limits.countWarmup(key, 3)),
    );
    assert.equal(await second.limits.countWarmup(key, 0), 30);
  });
});
