/** The contract of IdempotencyStore on DynamoDB, and what only a store behind a network meets: answers that are lost. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";

import { dynamoIdempotencyStore } from "#shared/aws/idempotency-store.ts";
import { DAY, later, MINUTE } from "#shared/domain/units.ts";
import type { ClaimRequest, Claimed, IdempotencyClaim } from "#shared/ports/idempotency-store.ts";
import { newInstallation, onOwnTable, sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { newMessageId } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { idempotencyStoreContract } from "./idempotency-store.contract.ts";

const skip = noLocalAws();
stopLocalAwsAtEnd();

describe("on the local AWS", { skip }, () => {
  idempotencyStoreContract("DynamoDB", (clock) => onOwnTable(clock, dynamoIdempotencyStore));

  test("a write whose answer was lost is known again as one's own", async () => {
    const clock = fakeClock();
    const aws = await sharedLocalAws();
    const { table, ...names } = aws.newNames();
    await newInstallation(aws.clients, { table, ...names });
    const { dynamo } = aws.newClients();
    const store = dynamoIdempotencyStore({ dynamo, table, clock });
    const request = (): ClaimRequest => ({
      messageId: newMessageId(),
      fingerprint: "f",
      until: later(clock.now(), MINUTE),
      keepUntil: later(clock.now(), DAY),
    });
    const lost = loseAnswers(dynamo);

    const first = claimOf(await store.claim("k", request()));
    assert.equal(first.first, true);
    assert.equal(await store.release(first, "retry"), true);
    const second = claimOf(await store.claim("k", request()));
    assert.equal(second.first, false);
    assert.equal(await store.finish(second, "answer"), true);
    assert.equal(await store.finish(second, "another answer"), false);
    assert.ok(lost.count >= 4, "answers were lost");
  });
});

function claimOf(claimed: Claimed): IdempotencyClaim {
  assert.equal(claimed.kind, "claimed");
  return claimed.claim;
}

/** Every write is done, its first answer is lost, and the SDK sends it again. */
function loseAnswers(dynamo: DynamoDBClient): { count: number } {
  const lost = { count: 0 };
  const seen = new WeakSet<object>();
  dynamo.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      if (seen.has(args.input)) return result;
      seen.add(args.input);
      lost.count++;
      throw Object.assign(new Error("the connection was cut"), { name: "TimeoutError", $retryable: {} });
    },
    { step: "finalizeRequest", priority: "low", name: "loseAnswers" },
  );
  return lost;
}
