/** Signals of new mail that the reader of the table's stream sends: which records ask for one, how many calls, and what fails. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DeleteQueueCommand, GetQueueAttributesCommand, GetQueueUrlCommand } from "@aws-sdk/client-sqs";

import { eventsOfRecord } from "#shared/aws/event-stream.ts";
import type { StreamRecord } from "#shared/aws/event-stream.ts";
import { marshal } from "#shared/aws/items.ts";
import { queueName } from "#shared/aws/names.ts";
import { AUDIT_AFTER_MS } from "#shared/aws/queue-sweep.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import type { FaultyAwsQueue } from "../../support/aws-queue.ts";
import { takeRequest } from "../../support/backend.ts";
import { address, attempt, message, queueRow, zoneA, zoneB } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { streamRecords } from "../../support/stream-events.ts";

stopLocalAwsAtEnd();

const OUT = Object.assign(new Error("out of order"), { $fault: "server" });

/** An installation whose mail is accepted as a Lambda accepts it, and its stream so far. */
async function installation() {
  const clock = fakeClock();
  const aws = await faultyAwsQueue(clock, { signals: "streamed", stream: true });
  let read = 0;
  return {
    clock,
    aws,
    async accept(fields: Partial<QueueRow> = {}, recipients = 1): Promise<void> {
      const mail = message({ acceptedAt: clock.now(), recipientCount: recipients });
      const rows = Array.from({ length: recipients }, (_, i) =>
        queueRow(mail, i + 1, { createdAt: clock.now(), dueAt: clock.now(), ...fields }),
      );
      await aws.queue.accept(mail, rows);
    },
    /** What the stream has brought since the last time. */
    async batch(): Promise<StreamRecord[]> {
      const records = await streamRecords(aws.clients, aws.names.table);
      const news = records.slice(read);
      read = records.length;
      return news;
    },
    [Symbol.asyncDispose]: () => aws[Symbol.asyncDispose](),
  };
}

/** Signals to be had now, and delayed ones. */
async function signalsIn(
  { clients: { sqs }, names }: FaultyAwsQueue,
  zone = zoneA,
): Promise<[number, number]> {
  const QueueName = queueName(names.queuePrefix, zone);
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }));
  const { ApproximateNumberOfMessages: ready, ApproximateNumberOfMessagesDelayed: delayed } =
    Attributes ?? {};
  return [Number(ready), Number(delayed)];
}

describe("signals of new mail from the table's stream", { skip: noLocalAws() }, () => {
  test("are not sent with the mail but from its record, in tens", async () => {
    await using it = await installation();
    for (let i = 0; i < 20; i++) await it.accept();
    assert.deepEqual(await signalsIn(it.aws), [0, 0]);
    const batch = await it.batch();
    it.aws.faults.reset();
    assert.equal(await it.aws.queue.signalStreamed(batch), null);
    assert.deepEqual(await signalsIn(it.aws), [20, 0]);
    assert.equal(it.aws.faults.sent.get("SendMessageBatch"), 2);
    assert.equal((await it.aws.queue.take(takeRequest())).length, 20);
  });

  test("are delayed until the mail is due, when that is as soon as a signal can wait", async () => {
    await using it = await installation();
    await it.accept({ state: "deferred", dueAt: it.clock.in(5 * MINUTE) });
    await it.accept({ state: "deferred", dueAt: it.clock.in(20 * MINUTE) });
    await it.aws.queue.signalStreamed(await it.batch());
    assert.deepEqual(await signalsIn(it.aws), [0, 1]);
  });

  test("of mail to many are sent by who accepts it, once, and of suppressed mail by nobody", async () => {
    await using it = await installation();
    await it.accept({}, 3);
    await it.accept({ state: "suppressed", finishedAt: it.clock.now(), lastAttempt: attempt() });
    assert.deepEqual(await signalsIn(it.aws), [1, 0]);
    await it.aws.queue.signalStreamed(await it.batch());
    assert.deepEqual(await signalsIn(it.aws), [1, 0]);
  });

  test("are asked for by the record of the accept alone: not by that of a lease, an outcome or an operator's hand", async () => {
    await using it = await installation();
    await it.accept();
    await it.accept({ recipient: address("other@two.example") });
    await it.aws.queue.signalStreamed(await it.batch());
    const [first, second] = await it.aws.queue.take(takeRequest());
    assert.ok(first && second);
    const settled = { state: "deferred", dueAt: it.clock.in(SECOND) } as const;
    await it.aws.queue.settle(first.leases.map((lease) => ({ lease, settled, attempt: attempt() })));
    await it.aws.queue.release(second.leases, it.clock.now());
    const rows = second.leases.map(({ row }) => row.id);
    await it.aws.queue.operate("hold", rows);
    await it.aws.queue.operate("release", rows);
    const batch = await it.batch();
    assert.ok(batch.length >= 6, `${batch.length} records`);
    const before = await signalsIn(it.aws);
    assert.equal(await it.aws.queue.signalStreamed(batch), null);
    assert.deepEqual(await signalsIn(it.aws), before);
  });

  test("that SQS could not take are asked for again, from the first of them on, and told once", async () => {
    await using it = await installation();
    for (let i = 0; i < 3; i++) await it.accept();
    const batch = await it.batch();
    it.aws.faults.fail("SendMessageBatch", 3, OUT);
    assert.equal(await it.aws.queue.signalStreamed(batch), 0);
    assert.deepEqual(
      it.aws.troubles.map((trouble) => [trouble.kind, "rows" in trouble && trouble.rows]),
      [["signal-not-sent", 3]],
    );
    it.aws.faults.heal();
    assert.equal(await it.aws.queue.signalStreamed(batch), null);
    assert.deepEqual(await signalsIn(it.aws), [3, 0]);
  });

  test("of which SQS took a part are asked for again from the first that it did not take", async () => {
    await using it = await installation();
    for (let i = 0; i < 8; i++) await it.accept();
    const batch = await it.batch();
    it.aws.faults.leaveHalf("SendMessageBatch", 1_000); // three tries take 4, 2 and 1
    const again = await it.aws.queue.signalStreamed(batch);
    assert.equal(again, 7);
    it.aws.faults.heal();
    assert.equal(await it.aws.queue.signalStreamed(batch.slice(again)), null);
    assert.deepEqual(await signalsIn(it.aws), [8, 0]);
  });

  test("are left to the sweep when it would send them itself", async () => {
    await using it = await installation();
    await it.accept();
    const batch = await it.batch();
    it.aws.faults.fail("SendMessageBatch", 1_000, OUT);
    await it.clock.advance(AUDIT_AFTER_MS - 1);
    assert.equal(await it.aws.queue.signalStreamed(batch), 0);
    await it.clock.advance(1);
    assert.equal(await it.aws.queue.signalStreamed(batch), null);
    it.aws.faults.heal();
    assert.equal((await it.aws.queue.sweep()).fed, 1);
    assert.deepEqual(await signalsIn(it.aws), [1, 0]);
  });

  test("of a zone whose queue is not there hold up nobody's", async () => {
    await using it = await installation();
    const { sqs } = it.aws.clients;
    const QueueName = queueName(it.aws.names.queuePrefix, zoneB);
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));
    await sqs.send(new DeleteQueueCommand({ QueueUrl }));
    await it.accept({ zone: zoneB });
    await it.accept();
    assert.equal(await it.aws.queue.signalStreamed(await it.batch()), null);
    assert.deepEqual(await signalsIn(it.aws), [1, 0]);
    assert.deepEqual(
      it.aws.troubles.map((trouble) => [trouble.kind, "zone" in trouble && trouble.zone]),
      [["signal-not-sent", "b" as ZoneName]],
    );
  });

  test("are not held up by a record that cannot be read", async () => {
    await using it = await installation();
    await it.accept();
    const broken = { PK: "m#01kdymwp080z0rksam01d0gth7", SK: "m", k: "Rmark", st: "no such state" };
    const unreadable: StreamRecord = { dynamodb: { NewImage: marshal(broken) } };
    assert.throws(() => eventsOfRecord(unreadable), /cannot read/);
    assert.equal(await it.aws.queue.signalStreamed([unreadable, ...(await it.batch())]), null);
    assert.deepEqual(await signalsIn(it.aws), [1, 0]);
  });

  test("that are lost with the whole stream cost seconds: a look at the index finds the row", async () => {
    await using it = await installation();
    await it.accept();
    assert.deepEqual(await it.aws.queue.take(takeRequest()), []);
    await it.clock.advance(5 * SECOND);
    assert.equal((await it.aws.queue.take(takeRequest())).length, 1);
  });
});
