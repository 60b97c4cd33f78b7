/** One queue and several processes: whose a row is, and what one that stops or starts again leaves to the others. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { CLOCK_SKEW_MS } from "#shared/aws/queue-context.ts";
import { LAST_CALL_MS } from "#shared/aws/queue-lapse.ts";
import type { Domain } from "#shared/domain/address.ts";
import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import { takeRequest } from "../../support/backend.ts";
import { ben } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { acceptSome, deliver, idsOf, mailOf, rowIdsOf } from "../../support/queue-mails.ts";

stopLocalAwsAtEnd();

const skip = noLocalAws();

describe("several processes", { skip }, () => {
  test("a row that one leases is not taken by another, and comes to it when the lease is over by any clock", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const ahead = fakeClock(clock.now() + 5 * SECOND);
    const other = aws.openAnother(ahead);
    const mails = await acceptSome(aws.queue, clock, 1);
    await aws.queue.take(takeRequest({ leaseMs: 30 * SECOND }));
    const passed = async (ms: number): Promise<void> => {
      await clock.advance(ms);
      await ahead.advance(ms);
    };
    await passed(30 * SECOND - 1);
    assert.deepEqual(
      await other.queue.take(takeRequest({ worker: ben })),
      [],
      "over by its clock, not by ours",
    );
    await passed(1);
    assert.deepEqual(await other.queue.take(takeRequest({ worker: ben })), [], "it has its last call now");
    await passed(LAST_CALL_MS + CLOCK_SKEW_MS);
    assert.deepEqual(idsOf(await other.queue.take(takeRequest({ worker: ben }))), rowIdsOf(mails));
  });

  test("what one has received and not leased when it stops goes to another at once", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mails = await acceptSome(aws.queue, clock, 15);
    const avoid = new Set(["one.example" as Domain]);
    assert.deepEqual(await aws.queue.take(takeRequest({ avoid })), []);
    await aws.queue.stop();
    assert.deepEqual(idsOf(await aws.openAnother().queue.take(takeRequest())), rowIdsOf(mails));
  });

  test("what a poll brings after its take has gone is there for the next take", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const process = aws.openAnother(systemClock);
    const abort = new AbortController();
    const waiting = process.queue.take(takeRequest({ waitMs: 20 * SECOND, signal: abort.signal }));
    abort.abort();
    assert.deepEqual(await waiting, []);
    const mails = await acceptSome(aws.queue, clock, 1);
    const next = await process.queue.take(takeRequest({ waitMs: 10 * SECOND }));
    assert.deepEqual(idsOf(next), rowIdsOf(mails));
  });

  test("a process that has forgotten its leases, as one that was started again, still settles what it holds", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = mailOf(clock, 2);
    await aws.queue.accept(mail.message, mail.rows);
    const taken = await aws.queue.take(takeRequest());
    const other = aws.openAnother();
    assert.deepEqual(await deliver(other.queue, taken), [true, true]);
    assert.deepEqual(await deliver(aws.queue, taken), [false, false]);
  });
});
