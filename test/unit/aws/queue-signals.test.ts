/** What lies in a zone's queue of signals after each thing that happens to rows, as SQS counts it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { GetQueueAttributesCommand, GetQueueUrlCommand } from "@aws-sdk/client-sqs";

import type { AwsClients } from "#shared/aws/clients.ts";
import { queueName } from "#shared/aws/names.ts";
import { GATHER_MS } from "#shared/aws/queue-take.ts";
import { readSignal, signalsOf } from "#shared/aws/signals.ts";
import type { Domain } from "#shared/domain/address.ts";
import type { Settled } from "#shared/domain/queue-row.ts";
import { HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import { MAX_ROWS_TOGETHER } from "#shared/ports/queue-store.ts";
import type { Taken } from "#shared/ports/queue-store.ts";
import { newInstallation, sharedLocalAws, stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue, openAwsQueue } from "../../support/aws-queue.ts";
import type { AwsQueue, FaultyAwsQueue } from "../../support/aws-queue.ts";
import { takeRequest } from "../../support/backend.ts";
import { address, attempt, message, queueRow, zoneA, zoneB } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { sdkFaults } from "../../support/sdk-faults.ts";
import { noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

/** Signals to be had now, received and not yet deleted, and delayed. */
async function signalsIn(aws: FaultyAwsQueue): Promise<[number, number, number]> {
  const { sqs } = aws.clients;
  const { QueueUrl } = await sqs.send(
    new GetQueueUrlCommand({ QueueName: queueName(aws.names.queuePrefix, zoneA) }),
  );
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }));
  const { ApproximateNumberOfMessages: ready, ApproximateNumberOfMessagesNotVisible: hidden } =
    Attributes ?? {};
  return [Number(ready), Number(hidden), Number(Attributes?.ApproximateNumberOfMessagesDelayed)];
}

async function acceptOne(aws: AwsQueue, clock: FakeClock, recipients = 1): Promise<void> {
  const mail = message({ acceptedAt: clock.now(), recipientCount: recipients });
  await aws.queue.accept(
    mail,
    Array.from({ length: recipients }, (_, i) => queueRow(mail, i + 1)),
  );
}

async function settleAll(aws: FaultyAwsQueue, taken: readonly Taken[], settled: Settled): Promise<void> {
  const leases = taken.flatMap((group) => group.leases);
  await aws.queue.settle(leases.map((lease) => ({ lease, settled, attempt: attempt() })));
}

/** As servers do that know groups on FIFO queues only and look at each message for itself. */
function refuseGroups({ sqs }: AwsClients): void {
  sqs.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const { Entries = [] } = args.input as { Entries?: { Id?: string; MessageGroupId?: string }[] };
        const refused = Entries.filter(({ MessageGroupId }) => MessageGroupId !== undefined);
        if (commandName !== "SendMessageBatchCommand" || refused.length === 0) return await next(args);
        const Message = "Value for parameter MessageGroupId is invalid for this queue type";
        const Failed = refused.map(({ Id }) => ({
          Id,
          SenderFault: true,
          Code: "InvalidParameterValue",
          Message,
        }));
        return { output: { $metadata: {}, Successful: [], Failed }, response: {} };
      },
    { step: "initialize", name: "refusedGroups" },
  );
}

describe("the queue of signals", { skip: noLocalAws() }, () => {
  test("has one signal for the rows of a message and domain, and none when the last of them has ended", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    await acceptOne(aws, clock, 3);
    assert.deepEqual(await signalsIn(aws), [1, 0, 0]);
    const [taken] = await aws.queue.take(takeRequest());
    assert.ok(taken);
    const [first, ...others] = taken.leases;
    assert.ok(first);
    await settleAll(aws, [{ ...taken, leases: [first] }], { state: "delivered" });
    assert.deepEqual(await signalsIn(aws), [0, 1, 0], "it comes again if we die now");
    await settleAll(aws, [{ ...taken, leases: others }], { state: "bounced" });
    assert.deepEqual(await signalsIn(aws), [0, 0, 0]);
  });

  test("has its signals without a group where a server refuses the group of each", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    refuseGroups(aws.clients);
    await acceptOne(aws, clock);
    assert.deepEqual(await signalsIn(aws), [1, 0, 0]);
  });

  test("has a delayed signal for what is due within 15 minutes, and none for what is due later", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    await acceptOne(aws, clock);
    await settleAll(aws, await aws.queue.take(takeRequest()), {
      state: "deferred",
      dueAt: clock.in(15 * MINUTE),
    });
    assert.deepEqual(await signalsIn(aws), [0, 0, 1]);
    await acceptOne(aws, clock);
    await settleAll(aws, await aws.queue.take(takeRequest()), { state: "deferred", dueAt: clock.in(HOUR) });
    assert.deepEqual(await signalsIn(aws), [0, 0, 1]);
  });

  test("gets a signal from the sweep a minute before a row is due, once", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = message({ acceptedAt: clock.now() });
    await aws.queue.accept(mail, [queueRow(mail, 1, { state: "deferred", dueAt: clock.in(HOUR) })]);
    await clock.advance(HOUR - MINUTE);
    assert.equal((await aws.queue.sweep()).fed, 0);
    await clock.advance(SECOND);
    assert.equal((await aws.queue.sweep()).fed, 1);
    assert.equal((await aws.queue.sweep()).fed, 0);
    assert.deepEqual(await signalsIn(aws), [0, 0, 1]);
    assert.deepEqual(await aws.queue.take(takeRequest()), [], "it is not due yet");
    await clock.advance(MINUTE + 4 * SECOND);
    assert.equal(
      (await aws.queue.take(takeRequest())).length,
      1,
      "the signal is late, and a look finds the row",
    );
  });

  test("has a signal that can be had at once for rows that are given back", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    await acceptOne(aws, clock, 2);
    const taken = await aws.queue.take(takeRequest());
    await aws.queue.release(
      taken.flatMap(({ leases }) => leases),
      clock.now(),
    );
    assert.deepEqual(await signalsIn(aws), [1, 0, 0]);
  });

  test("keeps a signal hidden for as long as its leases are renewed", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    await acceptOne(aws, clock);
    const taken = await aws.queue.take(takeRequest({ leaseMs: MINUTE }));
    const leases = taken.flatMap((group) => group.leases);
    const hides = (): number => aws.faults.sent.get("ChangeMessageVisibilityBatch") ?? 0;
    assert.equal(hides(), 0, "it was hidden for long enough when it was received");
    await aws.queue.renew(leases, clock.in(HOUR));
    assert.equal(hides(), 1);
    await aws.queue.renew(leases, clock.in(HOUR));
    assert.equal(hides(), 1);
  });

  test("is asked for the first signal at once, and for those that follow it together", async () => {
    const clock = fakeClock();
    const local = await sharedLocalAws();
    const names = local.newNames();
    await newInstallation(local.clients, names);
    const clients = local.newClients();
    const faults = sdkFaults(clients);
    const aws = { ...openAwsQueue({ clients, names, clock }), clients, names };
    try {
      await acceptOne(aws, clock);
      const request = takeRequest({ waitMs: 10 * SECOND });
      assert.equal((await aws.queue.take(request)).length, 1);
      faults.reset();
      const taking = aws.queue.take(request);
      while (clock.sleepers < 2) await new Promise((resolve) => void setImmediate(resolve));
      for (let i = 0; i < 5; i++) await acceptOne(aws, clock);
      assert.equal(faults.sent.get("ReceiveMessage"), undefined);
      await clock.advance(GATHER_MS);
      assert.equal((await taking).length, 5);
      assert.equal(faults.sent.get("ReceiveMessage"), 1);
    } finally {
      await aws.close();
    }
  });

  test("is not emptied into one process by a domain of which it takes a share only", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 50 }, () => acceptOne(aws, clock)));
    await aws.queue.take(takeRequest({ max: 200, maxPerDomain: 10 }));
    const [left] = await signalsIn(aws);
    assert.ok(left >= 100, `${left} are left for others`);
  });

  test("gives other domains' rows from behind a backlog to be avoided, however many signals it has", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 50 }, () => acceptOne(aws, clock)));
    const mail = message({ acceptedAt: clock.now() });
    const recipient = address("rcpt@two.example");
    await aws.queue.accept(mail, [queueRow(mail, 1, { recipient })]);
    const taken = await aws.queue.take(takeRequest({ avoid: new Set(["one.example" as Domain]) }));
    assert.deepEqual(
      taken.map(({ domain }) => domain),
      ["two.example"],
    );
  });
});

describe("signals", () => {
  test("are of one zone, message and domain, and of as many rows as go together", () => {
    const mail = message();
    const many = Array.from({ length: MAX_ROWS_TOGETHER + 1 }, (_, i) => queueRow(mail, i + 1));
    const others = [
      queueRow(mail, 500, { zone: zoneB }),
      queueRow(mail, 501, { recipient: address("rcpt@two.example") }),
      queueRow(message(), 1),
    ];
    const signals = signalsOf([...others, ...many.toReversed()]);
    const sizes = signals.map(({ seqs }) => seqs.length).toSorted((a, b) => a - b);
    assert.deepEqual(sizes, [1, 1, 1, 1, MAX_ROWS_TOGETHER]);
    assert.deepEqual(signals.find(({ seqs }) => seqs.length > 1)?.seqs[0], 1);
  });

  test("are read when they are ours, and nothing else is", () => {
    const { id } = message();
    const body = { m: id, d: "one.example", u: 5, q: [1, 2], fromTheFuture: true };
    assert.deepEqual(readSignal(JSON.stringify(body)), {
      messageId: id,
      domain: "one.example",
      dueAt: 5,
      seqs: [1, 2],
    });
    for (const wrong of [
      "",
      "null",
      "{}",
      JSON.stringify({ ...body, m: "x" }),
      JSON.stringify({ ...body, q: [] }),
    ]) {
      assert.equal(readSignal(wrong), null, wrong);
    }
  });
});
