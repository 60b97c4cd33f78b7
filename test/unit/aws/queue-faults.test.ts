/** The queue on AWS when AWS refuses, loses answers, does half of a batch, or says things twice: no mail lost, none taken twice. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { GetQueueUrlCommand, SendMessageCommand } from "@aws-sdk/client-sqs";

import { queueName } from "#shared/aws/names.ts";
import { CLOCK_SKEW_MS } from "#shared/aws/queue-context.ts";
import { LAST_CALL_MS } from "#shared/aws/queue-lapse.ts";
import { zoneQueues } from "#shared/aws/signals.ts";
import type { Domain } from "#shared/domain/address.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import type { Message } from "#shared/domain/message.ts";
import { HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { QueueStore, Taken } from "#shared/ports/queue-store.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { noLocalStatements, stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import type { FaultyAwsQueue } from "../../support/aws-queue.ts";
import { takeRequest } from "../../support/backend.ts";
import { anna, attempt, ben, message, queueRow, zoneA } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

const BATCH = "BatchExecuteStatement";
const skip = noLocalAws();
const noStatements = await noLocalStatements();
/** The calls that the writes of this server go by. */
const WRITES = noStatements === false ? [BATCH] : ["PutItem", "UpdateItem", "DeleteItem"];

interface Mail {
  readonly message: Message;
  readonly rows: readonly QueueRow[];
}

function mailOf(clock: FakeClock, recipients = 1, fields: Partial<QueueRow> = {}): Mail {
  const mail = message({ acceptedAt: clock.now(), recipientCount: recipients });
  const rows = Array.from({ length: recipients }, (_, i) => queueRow(mail, i + 1, fields));
  return { message: mail, rows };
}

async function acceptSome(queue: QueueStore, clock: FakeClock, count: number): Promise<Mail[]> {
  const mails = Array.from({ length: count }, () => mailOf(clock));
  const answers = await Promise.all(mails.map((mail) => queue.accept(mail.message, mail.rows)));
  assert.ok(answers.every((answer) => answer === "accepted"));
  return mails;
}

const idsOf = (taken: readonly Taken[]): string[] =>
  taken.flatMap(({ leases }) => leases.map(({ row }) => row.id)).toSorted();
const rowIdsOf = (mails: readonly Mail[]): string[] =>
  mails.flatMap(({ rows }) => rows.map(({ id }) => id as string)).toSorted();

async function deliver(queue: QueueStore, taken: readonly Taken[]): Promise<boolean[]> {
  const leases = taken.flatMap((group) => group.leases);
  return await queue.settle(
    leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() })),
  );
}

function loseAnswers({ faults }: FaultyAwsQueue, times?: number): void {
  for (const command of WRITES) faults.loseAnswer(command, times);
}

async function statesOf({ queue }: Pick<FaultyAwsQueue, "queue">, mails: readonly Mail[]): Promise<string[]> {
  const stored = await Promise.all(mails.map((mail) => queue.get(mail.message.id)));
  return stored.flatMap((found) => found?.rows.map(({ state }) => state) ?? ["missing"]);
}

describe("DynamoDB fails", { skip }, () => {
  for (const recipients of [1, 3]) {
    test(`an accept of ${recipients} whose answer was lost is accepted, not refused as known`, async () => {
      const clock = fakeClock();
      await using aws = await faultyAwsQueue(clock);
      const mail = mailOf(clock, recipients);
      loseAnswers(aws, 2);
      assert.equal(await aws.queue.accept(mail.message, mail.rows), "accepted");
      const tries = WRITES.reduce((sum, command) => sum + (aws.faults.sent.get(command) ?? 0), 0);
      assert.ok(tries > recipients, "some were sent again");
      assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf([mail]), "it was signalled");
    });
  }

  test("an accept, a lease and a settle are found done when no try brought an answer", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = mailOf(clock);
    loseAnswers(aws, 3);
    assert.equal(await aws.queue.accept(mail.message, mail.rows), "accepted");
    loseAnswers(aws, 3);
    const taken = await aws.queue.take(takeRequest());
    assert.deepEqual(idsOf(taken), rowIdsOf([mail]));
    loseAnswers(aws, 3);
    assert.deepEqual(await deliver(aws.queue, taken), [true]);
  });

  test("a lease and a settle whose answers were lost hold, and are not made twice", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mails = await acceptSome(aws.queue, clock, 3);
    loseAnswers(aws);
    const taken = await aws.queue.take(takeRequest());
    assert.deepEqual(idsOf(taken), rowIdsOf(mails));
    assert.ok(taken.every(({ leases }) => leases[0]?.token === 1));
    loseAnswers(aws);
    assert.deepEqual(await deliver(aws.queue, taken), [true, true, true]);
    assert.deepEqual(
      await deliver(aws.queue, taken),
      [false, false, false],
      "a second settle is not the first",
    );
  });

  for (const code of ["ThrottlingError", "ProvisionedThroughputExceeded", "TransactionConflict"] as const) {
    test(
      `a statement of a batch that met a ${code} is tried again, and the others are not`,
      { skip: noStatements },
      async () => {
        const clock = fakeClock();
        await using aws = await faultyAwsQueue(clock);
        const mails = Array.from({ length: 5 }, () => mailOf(clock));
        const [first] = mails;
        assert.ok(first);
        aws.statements.refuse(first.message.id, code, 2);
        const answers = await Promise.all(mails.map((mail) => aws.queue.accept(mail.message, mail.rows)));
        assert.deepEqual(new Set(answers), new Set(["accepted"]));
        assert.equal(aws.faults.capacity.write, 5 * 2, "put and index entry, once each");
      },
    );
  }

  test("while it throttles an accept fails and leaves nothing, and the next try is accepted", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = mailOf(clock);
    for (const command of WRITES) aws.faults.throttle(command, 100);
    await assert.rejects(aws.queue.accept(mail.message, mail.rows));
    aws.faults.heal();
    assert.equal(await aws.queue.get(mail.message.id), null);
    assert.equal(await aws.queue.accept(mail.message, mail.rows), "accepted");
  });

  for (const command of [noStatements === false ? BATCH : "UpdateItem", "BatchGetItem"]) {
    test(`rows that could not be taken while ${command} failed are taken afterwards`, async () => {
      const clock = fakeClock();
      await using aws = await faultyAwsQueue(clock);
      const mails = await acceptSome(aws.queue, clock, 4);
      aws.faults.throttle(command, 100);
      await assert.rejects(aws.queue.take(takeRequest()));
      aws.faults.heal();
      assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf(mails));
    });
  }

  test("keys that are left unread are asked for again", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mails = await acceptSome(aws.queue, clock, 8);
    aws.faults.leaveHalf("BatchGetItem", 2);
    assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf(mails));
  });

  test(
    "a settle that failed for one row is made again, and says of the others that they were written",
    { skip: noStatements },
    async () => {
      const clock = fakeClock();
      await using aws = await faultyAwsQueue(clock);
      const mails = await acceptSome(aws.queue, clock, 3);
      const taken = await aws.queue.take(takeRequest());
      aws.statements.refuse(mails[1]?.message.id ?? "", "InternalServerError", 100);
      await assert.rejects(deliver(aws.queue, taken));
      assert.deepEqual((await statesOf(aws, mails)).toSorted(), ["delivered", "delivered", "leased"]);
      aws.statements.heal();
      assert.deepEqual(await deliver(aws.queue, taken), [true, true, true]);
      assert.deepEqual(await statesOf(aws, mails), ["delivered", "delivered", "delivered"]);
    },
  );

  test("a server that takes no statements gets the same writes one by one", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock, { takesStatements: () => Promise.resolve(false) });
    const mails = await acceptSome(aws.queue, clock, 3);
    const [known] = mails;
    assert.ok(known);
    assert.equal(await aws.queue.accept(known.message, known.rows), "exists");
    const taken = await aws.queue.take(takeRequest());
    assert.deepEqual(idsOf(taken), rowIdsOf(mails));
    assert.deepEqual(await deliver(aws.queue, taken), [true, true, true]);
    assert.deepEqual(await deliver(aws.queue, taken), [false, false, false]);
    assert.equal(aws.faults.sent.get(BATCH), undefined);
  });
});

describe("an accept that ends between its rows and its message", { skip }, () => {
  async function cutOff(aws: FaultyAwsQueue, mail: Mail): Promise<void> {
    const [command = "", calls] = noStatements === false ? [BATCH, 1] : ["PutItem", mail.rows.length - 1];
    let sent = 0;
    aws.faults.before(command, () => {
      sent++;
      if (sent > calls) aws.faults.fail(command); // the first have the other rows
    });
    await assert.rejects(aws.queue.accept(mail.message, mail.rows));
    aws.faults.heal();
  }

  test("leaves nothing that is delivered, and the same accept may be made again", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = mailOf(clock, 3);
    await cutOff(aws, mail);
    assert.equal(await aws.queue.get(mail.message.id), null);
    await clock.advance(MINUTE);
    assert.deepEqual(await aws.queue.take(takeRequest()), [], "the look finds the rows, and no message");
    assert.equal(await aws.queue.accept(mail.message, mail.rows), "accepted");
    assert.deepEqual(idsOf(await aws.queue.take(takeRequest())), rowIdsOf([mail]));
  });

  test("is given up by the audit, which removes the rows, and can then not be finished any more", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = mailOf(clock, 3);
    await cutOff(aws, mail);
    await clock.advance(10 * MINUTE - 1);
    await aws.queue.sweep();
    assert.equal((await aws.queue.counts())[0]?.queued, 2, "it might still come");
    await clock.advance(1);
    await aws.queue.sweep();
    assert.deepEqual(await aws.queue.counts(), []);
    assert.equal(await aws.queue.get(mail.message.id), null);
    await assert.rejects(aws.queue.accept(mail.message, mail.rows), { name: "GivenUpError" });
  });

  test("is given up when its rows come due, if they are to be sent later", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = mailOf(clock, 3, { state: "deferred", dueAt: clock.in(2 * HOUR) });
    await cutOff(aws, mail);
    await clock.advance(2 * HOUR);
    assert.equal((await aws.queue.sweep()).fed, 0);
    assert.deepEqual(await aws.queue.counts(), []);
  });
});

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
