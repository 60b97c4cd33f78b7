/** Leases on AWS that lapse while their worker cannot write, and takers that come to a row at the same moment. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { CLOCK_SKEW_MS } from "#shared/aws/queue-context.ts";
import { LAST_CALL_MS } from "#shared/aws/queue-lapse.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { Settlement, Taken } from "#shared/ports/queue-store.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue, openAwsQueue } from "../../support/aws-queue.ts";
import type { AwsQueue, FaultyAwsQueue } from "../../support/aws-queue.ts";
import { acceptMail, takeRequest } from "../../support/backend.ts";
import { anna, attempt, ben } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

/** One of them is what the writes of this server go by. */
const WRITES = ["BatchExecuteStatement", "UpdateItem"];
const LEASE_MS = 10 * SECOND;
/** From a last call to when its row may be taken, by any clock. */
const CALLED_MS = LAST_CALL_MS + CLOCK_SKEW_MS;

const rowsOf = (taken: readonly Taken[]): string[] =>
  taken.flatMap(({ leases }) => leases.map(({ row }) => row.id));

function deliveryOf(taken: readonly Taken[]): Settlement[] {
  return taken
    .flatMap(({ leases }) => leases)
    .map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() }));
}

/** Nothing is written from now on, and what is tried is not done. */
function refuseWrites({ faults }: FaultyAwsQueue): void {
  for (const command of WRITES) faults.throttle(command, 1_000);
}

describe("a lease that lapsed while its worker could not write", { skip: noLocalAws() }, () => {
  test("is taken by no other before its outcome can be written", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const other = aws.openAnother();
    await acceptMail(aws as unknown as Backend, clock);
    const delivered = deliveryOf(await aws.queue.take(takeRequest({ worker: anna, leaseMs: LEASE_MS })));
    refuseWrites(aws);
    await assert.rejects(aws.queue.settle(delivered));
    await clock.advance(6 * LEASE_MS);
    const take = (): Promise<Taken[]> => other.queue.take(takeRequest({ worker: ben }));
    assert.deepEqual(await take(), [], "the table answers again, and gives the lease a last call");
    await clock.advance(CALLED_MS - 1);
    assert.deepEqual(await take(), []);
    aws.faults.heal();
    assert.deepEqual(await aws.queue.settle(delivered), [true]);
    await clock.advance(CALLED_MS);
    assert.deepEqual(await take(), [], "it is delivered");
  });

  test("is taken back by no sweep before, and can be renewed", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const sweeper = aws.openAnother().queue;
    await acceptMail(aws as unknown as Backend, clock);
    const [taken] = await aws.queue.take(takeRequest({ worker: anna, leaseMs: LEASE_MS }));
    assert.ok(taken);
    await clock.advance(LEASE_MS + CLOCK_SKEW_MS);
    assert.equal((await sweeper.sweep()).lapsed, 0);
    assert.deepEqual(await aws.queue.renew(taken.leases, clock.in(2 * LEASE_MS)), [true]);
    await clock.advance(2 * LEASE_MS + CLOCK_SKEW_MS);
    assert.equal((await sweeper.sweep()).lapsed, 0, "it was renewed, and has another last call");
    await clock.advance(CALLED_MS);
    assert.equal((await sweeper.sweep()).lapsed, 1);
    assert.deepEqual(await aws.queue.renew(taken.leases, clock.in(LEASE_MS)), [false]);
  });

  test("of a worker that is dead goes on after one last call, whoever gave it", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const { rows } = await acceptMail(aws as unknown as Backend, clock);
    await aws.queue.take(takeRequest({ worker: anna, leaseMs: LEASE_MS }));
    await clock.advance(LEASE_MS + CLOCK_SKEW_MS);
    assert.deepEqual(await aws.openAnother().queue.take(takeRequest({ worker: ben })), []);
    await clock.advance(CALLED_MS);
    const taken = await aws.openAnother().queue.take(takeRequest({ worker: ben }));
    assert.deepEqual(rowsOf(taken), [rows[0]?.id]);
  });

  test("is not taken by its own process while that is at it to write the outcome", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    await acceptMail(aws as unknown as Backend, clock);
    const delivered = deliveryOf(await aws.queue.take(takeRequest({ worker: anna, leaseMs: LEASE_MS })));
    await clock.advance(LEASE_MS);
    refuseWrites(aws);
    await assert.rejects(aws.queue.settle(delivered));
    aws.faults.heal();
    await clock.advance(LAST_CALL_MS - 1);
    assert.deepEqual(await aws.queue.take(takeRequest({ worker: anna })), []);
    assert.deepEqual(await aws.queue.settle(delivered), [true]);
  });
});

describe("two takers that read a row at the same moment", { skip: noLocalAws() }, () => {
  for (const aheadMs of [0, 5 * SECOND, -5 * SECOND]) {
    test(`get one lease between them, where the clock of one is ${aheadMs / SECOND} s ahead`, async () => {
      const clock = fakeClock();
      await using aws = await faultyAwsQueue(clock);
      const { clients, names } = aws;
      const ahead: Clock = { ...clock, now: () => later(clock.now(), aheadMs) };
      const { rows } = await acceptMail(aws as unknown as Backend, clock, {
        fields: { dueAt: clock.in(-60_000) },
      });
      const takers = [
        openAwsQueue({ clients, names, clock }),
        openAwsQueue({ clients, names, clock: ahead }),
      ];
      const bothHaveRead = atTheSameMoment(2);
      for (const command of WRITES) aws.faults.before(command, bothHaveRead.arrive);
      const take = ({ queue }: AwsQueue, i: number): Promise<Taken[]> =>
        queue.take(takeRequest({ worker: i === 0 ? anna : ben, leaseMs: LEASE_MS }));
      try {
        const taken = await Promise.all(takers.map(take));
        assert.equal(bothHaveRead.arrived >= 2, true, "each wanted the row");
        assert.deepEqual(taken.flatMap(rowsOf), [rows[0]?.id]);
        const loser = taken.findIndex((one) => one.length === 0);
        await clock.advance(LEASE_MS - 1);
        assert.deepEqual(
          await take(takers[loser] as AwsQueue, loser),
          [],
          "while the lease lives it is left alone",
        );
        const winner = takers[1 - loser] as AwsQueue;
        assert.deepEqual(await winner.queue.settle(deliveryOf(taken.flat())), [true]);
      } finally {
        await Promise.all(takers.map((taker) => taker.close()));
      }
    });
  }
});

/** `arrive` resolves when so many have come. */
function atTheSameMoment(count: number) {
  const all = Promise.withResolvers<void>();
  const meeting = {
    arrived: 0,
    arrive: (): Promise<void> => {
      meeting.arrived++;
      if (meeting.arrived >= count) all.resolve();
      return all.promise;
    },
  };
  return meeting;
}
