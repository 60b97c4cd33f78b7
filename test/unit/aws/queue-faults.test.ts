/** The queue when DynamoDB refuses, loses answers or does half of what was asked: no mail lost, none taken twice. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { HOUR, MINUTE } from "#shared/domain/units.ts";
import { noLocalStatements, stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import type { FaultyAwsQueue } from "../../support/aws-queue.ts";
import { takeRequest } from "../../support/backend.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { acceptSome, deliver, idsOf, mailOf, rowIdsOf, statesOf } from "../../support/queue-mails.ts";
import type { Mail } from "../../support/queue-mails.ts";

stopLocalAwsAtEnd();

const BATCH = "BatchExecuteStatement";
const skip = noLocalAws();
const noStatements = await noLocalStatements();
/** The calls that the writes of this server go by. */
const WRITES = noStatements === false ? [BATCH] : ["PutItem", "UpdateItem", "DeleteItem"];

function loseAnswers({ faults }: FaultyAwsQueue, times?: number): void {
  for (const command of WRITES) faults.loseAnswer(command, times);
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
