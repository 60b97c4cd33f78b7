/** The queue when SQS fails, and when signals are doubled, late or of nothing: the row is the truth. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { GetQueueUrlCommand, SendMessageCommand } from "@aws-sdk/client-sqs";

import { queueName } from "#shared/aws/names.ts";
import { zoneQueues } from "#shared/aws/signals.ts";
import type { Domain } from "#shared/domain/address.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import type { FaultyAwsQueue } from "../../support/aws-queue.ts";
import { takeRequest } from "../../support/backend.ts";
import { anna, ben, queueRow, zoneA } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { acceptSome, deliver, idsOf, mailOf, rowIdsOf, statesOf } from "../../support/queue-mails.ts";
import type { Mail } from "../../support/queue-mails.ts";

stopLocalAwsAtEnd();

const skip = noLocalAws();

describe("SQS fails", { skip }, () => {
  test("mail whose signal could not be sent is accepted, told of, and found by the next look", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    aws.faults.fail("SendMessageBatch", 100);
    const mails = await acceptSome(aws.queue, clock, 2);
    aws.faults.heal();
    assert.deepEqual(
      aws.troubles.map(({ kind }) => kind),
      ["signal-not-sent", "signal-not-sent"],
    );
    assert.deepEqual(await aws.queue.take(takeRequest()), [], "it might be under way");
    await clock.advance(5 * SECOND);
    assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf(mails));
  });

  test("the audit signals again what nobody took for ten minutes, once in that time", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    aws.faults.fail("SendMessageBatch", 100);
    await acceptSome(aws.queue, clock, 2);
    aws.faults.heal();
    await clock.advance(10 * MINUTE - 1);
    assert.equal((await aws.queue.sweep()).fed, 0);
    await clock.advance(1);
    assert.equal((await aws.queue.sweep()).fed, 2);
    assert.equal((await aws.queue.sweep()).fed, 0);
  });

  test("while no signal can be sent the audit marks nothing as fed", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = mailOf(clock);
    const later = { state: "deferred", dueAt: clock.in(HOUR) } as const;
    await aws.queue.accept(mail.message, [queueRow(mail.message, 1, later)]);
    await clock.advance(HOUR);
    aws.faults.fail("SendMessageBatch", 100);
    assert.equal((await aws.queue.sweep()).fed, 0);
    aws.faults.heal();
    assert.equal((await aws.queue.sweep()).fed, 1);
  });

  test("entries of a batch that failed are sent again, and the others are not", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    aws.faults.leaveHalf("SendMessageBatch", 1);
    const mails = await acceptSome(aws.queue, clock, 10);
    assert.deepEqual(aws.troubles, []);
    assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf(mails));
    assert.equal(aws.faults.sent.get("SendMessageBatch"), 2);
  });

  test("signals that cannot be deleted or kept hidden make no settle fail", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mails = await acceptSome(aws.queue, clock, 3);
    const taken = await aws.queue.take(takeRequest());
    aws.faults.fail("DeleteMessageBatch", 100);
    aws.faults.fail("ChangeMessageVisibilityBatch", 100);
    const leases = taken.flatMap((group) => group.leases);
    assert.deepEqual(await aws.queue.renew(leases, clock.in(HOUR)), [true, true, true]);
    assert.deepEqual(await deliver(aws.queue, taken), [true, true, true]);
    assert.deepEqual(await statesOf(aws, mails), ["delivered", "delivered", "delivered"]);
  });

  test("a take that a stop cuts off ends empty", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const waiting = aws.queue.take(takeRequest({ waitMs: HOUR }));
    await aws.queue.take(takeRequest()); // by now the first one polls
    await aws.queue.stop();
    assert.deepEqual(await waiting, []);
    assert.deepEqual(await aws.queue.take(takeRequest()), []);
  });

  test("a message in the queue that is no signal is taken away and told of", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const QueueName = queueName(aws.names.queuePrefix, zoneA);
    const { QueueUrl } = await aws.clients.sqs.send(new GetQueueUrlCommand({ QueueName }));
    await aws.clients.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: '{"m":"nobody"}' }));
    const mails = await acceptSome(aws.queue, clock, 1);
    assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf(mails));
    assert.deepEqual(aws.troubles, [{ kind: "foreign-signal", zone: zoneA, body: '{"m":"nobody"}' }]);
    assert.ok((aws.faults.sent.get("DeleteMessageBatch") ?? 0) > 0);
  });

  test("a server that knows no message groups gets signals without", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    aws.faults.fail("SendMessageBatch", 1, new Error("MessageGroupId is not valid for this queue type"));
    const mails = await acceptSome(aws.queue, clock, 2);
    assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf(mails));
  });
});

describe("signals that lie", { skip }, () => {
  function signalsFor(aws: FaultyAwsQueue) {
    const { sqs } = aws.clients;
    return zoneQueues({
      sqs,
      queuePrefix: aws.names.queuePrefix,
      clock: systemClock,
      onForeign: () => undefined,
    });
  }

  const signalOf = ({ message: { id }, rows }: Mail) => ({
    zone: zoneA,
    messageId: id,
    domain: rows[0]?.domain as Domain,
    dueAt: rows[0]?.dueAt ?? (0 as QueueRow["dueAt"]),
    seqs: rows.map(({ seq }) => seq),
  });

  test("twice as many signals as rows lease each row once, for one process and for two", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mails = await acceptSome(aws.queue, clock, 20);
    await Promise.all(mails.map((mail) => signalsFor(aws).send(signalOf(mail), 0)));
    const other = aws.openAnother();
    const takes = [aws.queue, other.queue, aws.queue, other.queue].map((queue, i) =>
      queue.take(takeRequest({ worker: i % 2 ? ben : anna, max: 8 })),
    );
    const rest = [aws.queue, other.queue].map((queue) => queue.take(takeRequest()));
    const taken = await Promise.all([...takes, ...rest]);
    assert.deepEqual(idsOf(taken.flat()), rowIdsOf(mails));
  });

  test("a late signal for a row that is done leases nothing and is taken away", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const [mail] = await acceptSome(aws.queue, clock, 1);
    assert.ok(mail);
    await deliver(aws.queue, await aws.queue.take(takeRequest()));
    await signalsFor(aws).send(signalOf(mail), 0);
    aws.faults.reset();
    assert.deepEqual(await aws.queue.take(takeRequest()), []);
    assert.equal(aws.faults.sent.get("DeleteMessageBatch"), 1);
    assert.equal(aws.faults.capacity.write, 0);
  });

  test("a signal for mail that was never accepted leases nothing", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    await signalsFor(aws).send(signalOf(mailOf(clock)), 0);
    assert.deepEqual(await aws.queue.take(takeRequest()), []);
  });
});
