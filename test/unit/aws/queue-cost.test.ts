/** What mail costs on DynamoDB and SQS, counted at the wire: consumed capacity and calls. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Message } from "#shared/domain/message.ts";
import type { AttemptRecord, QueueRow } from "#shared/domain/queue-row.ts";
import { MINUTE } from "#shared/domain/units.ts";
import { noLocalStatements, stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import type { FaultyAwsQueue } from "../../support/aws-queue.ts";
import { takeRequest } from "../../support/backend.ts";
import { address, attempt, message, queueRow } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { countsUnits, noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

const noUnits =
  noLocalAws() || (countsUnits() ? false : "another local AWS, which may count no units of indexes");

/** As long in all its parts as those of ordinary mail are. */
function ordinaryMail(fields: Partial<Message> = {}): Message {
  return message({
    returnPath: address("bounces+customer-20413@mail.customer.example"),
    from: address("newsletter@customer.example"),
    messageIdHeader: "<0102018f3c5a7b1e-4f6d2c1a-9b8e-4d7f-a1c2-3e4f5a6b7c8d@mail.customer.example>",
    subject: "Your order 4711-0815 has been sent and arrives on Thursday",
    body: {
      bytes: 10_240,
      headerBytes: 1_480,
      dkimBodyHash: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
      eightBit: true,
    },
    origin: {
      interface: "feeder",
      protocol: "ESMTPSA",
      ip: "203.0.113.112",
      host: "app-17.eu-west.customer.example",
      helo: "app-17.eu-west.customer.example",
      user: "customer-production",
      tls: "TLSv1.3 TLS_AES_256_GCM_SHA384",
    },
    ...fields,
  });
}

const delivered: AttemptRecord = attempt({
  at: 1_767_322_000_000 as AttemptRecord["at"],
  durationMs: 1_240,
  reply: {
    code: 250,
    enhanced: "2.0.0",
    text: "OK  1767322000 5b1f17b1804b1-4770a8b2c1fsi61234165e9.1 - gsmtp",
  },
  detail: "250 2.0.0 OK  1767322000 5b1f17b1804b1-4770a8b2c1fsi61234165e9.1 - gsmtp",
  route: { mx: "gmail-smtp-in.l.google.example", peer: "2001:db8:4023:c01::1b", egress: "2001:db8::25" },
});

const worker = "ip-10-0-12-34.eu-west-1.compute.internal:4711:0f1e2d3c" as ReturnType<
  typeof takeRequest
>["worker"];

async function deliverAll(aws: FaultyAwsQueue, record = delivered): Promise<number> {
  const taken = await aws.queue.take(takeRequest({ worker }));
  const leases = taken.flatMap((group) => group.leases);
  const written = await aws.queue.settle(
    leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: record })),
  );
  return written.filter((done) => done).length;
}

describe("what mail costs in units", { skip: noUnits }, () => {
  test("mail to one recipient takes 5 write units and 1 read unit from accept to its delivery at the first try", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = ordinaryMail({ acceptedAt: clock.now() });
    await aws.queue.accept(mail, [queueRow(mail, 1, { recipient: address("a.customer@gmail.example") })]);
    assert.equal(await deliverAll(aws), 1);
    assert.equal(aws.faults.capacity.write, 5);
    assert.equal(aws.faults.capacity.read, 1);
  });

  test("an item of more than 1 KiB takes a unit more for each of its three writes, and nothing else changes", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = ordinaryMail({ acceptedAt: clock.now(), subject: "long ".repeat(150) });
    await aws.queue.accept(mail, [queueRow(mail, 1)]);
    assert.equal(await deliverAll(aws), 1);
    assert.equal(aws.faults.capacity.write, 8);
    assert.deepEqual((await aws.queue.get(mail.id))?.message, mail);
  });

  test("a lease and its renewal touch no index", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = ordinaryMail({ acceptedAt: clock.now() });
    await aws.queue.accept(mail, [queueRow(mail, 1)]);
    aws.faults.reset();
    const [taken] = await aws.queue.take(takeRequest({ worker }));
    assert.equal(aws.faults.capacity.write, 1);
    await aws.queue.renew(taken?.leases ?? [], clock.in(2 * MINUTE));
    assert.equal(aws.faults.capacity.write, 2);
  });

  test("each further recipient of a message takes 5 write units, and the message 1 more", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = ordinaryMail({ acceptedAt: clock.now(), recipientCount: 10 });
    const rows = Array.from({ length: 10 }, (_, i) => queueRow(mail, i + 1));
    await aws.queue.accept(mail, rows);
    assert.equal(await deliverAll(aws), 10);
    assert.equal(aws.faults.capacity.write, 10 * 5 + 1, "the date at which to look whether it is over");
  });
});

describe("what mail costs in calls", { skip: await noLocalStatements() }, () => {
  test("mails that come together share their calls: under one call a mail from accept to settled", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mails = Array.from({ length: 200 }, () => ordinaryMail({ acceptedAt: clock.now() }));
    const rowOf = (mail: Message): QueueRow => queueRow(mail, 1);
    aws.faults.reset();
    await Promise.all(mails.map((mail) => aws.queue.accept(mail, [rowOf(mail)])));
    assert.equal(await deliverAll(aws), 200);
    const { sent } = aws.faults;
    const writes = sent.get("BatchExecuteStatement") ?? 0;
    const sqs = ["SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"];
    const requests = sqs.reduce((sum, command) => sum + (sent.get(command) ?? 0), 0);
    assert.ok(writes <= 3 * (200 / 25) + 6, `${writes} calls for 600 writes`);
    assert.ok(requests <= 0.5 * 200, `${requests} SQS requests for 200 mails`);
    const calls = [...sent.values()].reduce((sum, count) => sum + count, 0);
    assert.ok(calls < 200, `${calls} calls for 200 mails: ${JSON.stringify([...sent])}`);
    if (noUnits === false) assert.equal(aws.faults.capacity.write, 200 * 5);
  });
});
