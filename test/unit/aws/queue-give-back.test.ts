/** Rows that go back to the queue: their new signals, and signals of rows that are for others. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { AwsClients } from "#shared/aws/clients.ts";
import type { Domain } from "#shared/domain/address.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import { acceptMail, takeRequest } from "../../support/backend.ts";
import { ben } from "../../support/builders.ts";
import { noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

/** Longer than a test may take to receive a signal, shorter than a look at the index is apart from the next. */
const WAIT_MS = 5 * SECOND;

/** What the command asks for is done, and its caller learns of it later. */
function delayAnswers({ sqs }: AwsClients, command: string, until: Promise<void>): void {
  sqs.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const result = await next(args);
        if (commandName === command) await until;
        return result;
      },
    { step: "initialize", name: "delayedAnswers" },
  );
}

describe("rows that are given back", { skip: noLocalAws() }, () => {
  test("can be taken again by a signal that comes before the answer to its sending", async () => {
    await using aws = await faultyAwsQueue(systemClock);
    const { queue } = aws;
    const mail = await acceptMail(aws as unknown as Backend, systemClock);
    const [taken] = await queue.take(takeRequest({ waitMs: WAIT_MS }));
    assert.ok(taken);
    const answered = Promise.withResolvers<void>();
    delayAnswers(aws.clients, "SendMessageBatchCommand", answered.promise);
    const releasing = queue.release(taken.leases, systemClock.now());
    const again = await queue.take(takeRequest({ waitMs: WAIT_MS }));
    answered.resolve();
    assert.deepEqual(await releasing, [true]);
    assert.equal(again[0]?.leases[0]?.row.messageId, mail.message.id);
  });

  test("and rows that are left to others are soon taken by them", async () => {
    await using aws = await faultyAwsQueue(systemClock);
    const { queue } = aws;
    const mail = await acceptMail(aws as unknown as Backend, systemClock);
    const { domain, zone } = mail.rows[0] ?? assert.fail();
    const avoid = new Set<Domain>([domain]);
    assert.deepEqual(await queue.take(takeRequest({ waitMs: SECOND, avoid })), [], "its signal is kept here");
    queue.leave?.(zone, avoid);
    const taken = await aws.openAnother().queue.take(takeRequest({ worker: ben, waitMs: WAIT_MS }));
    assert.equal(taken[0]?.leases[0]?.row.messageId, mail.message.id);
  });
});
