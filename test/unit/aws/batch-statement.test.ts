/** Which servers are given many writes in one call: those that refuse what DynamoDB refuses. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";

import { statementCheck } from "#shared/aws/batch-statement.ts";
import { makeTable } from "#shared/aws/bootstrap.ts";
import { awsClients } from "#shared/aws/clients.ts";
import type { AwsClients } from "#shared/aws/clients.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { noLocalStatements, sharedLocalAws, stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { sdkFaults } from "../../support/sdk-faults.ts";
import type { SdkFaults } from "../../support/sdk-faults.ts";

stopLocalAwsAtEnd();

const BATCH = "BatchExecuteStatement";
const skip = await noLocalStatements();

async function onTable(): Promise<{ clients: AwsClients; faults: SdkFaults; table: string }> {
  const local = await sharedLocalAws();
  const { table } = local.newNames();
  await makeTable(local.clients.dynamo, table, { stream: false });
  const clients = local.newClients();
  return { clients, faults: sdkFaults(clients), table };
}

/** As a server that does every statement, whether its conditions hold or not. */
function withoutConditions({ middlewareStack }: DynamoDBClient): void {
  const stack = middlewareStack as unknown as {
    add(middleware: () => () => Promise<object>, options: { step: "initialize" }): void;
  };
  stack.add(() => () => Promise.resolve({ output: { Responses: [{}, {}] } }), { step: "initialize" });
}

describe("statements are sent", { skip: noLocalAws() }, () => {
  test("to a server that refuses what does not hold, also when it was asked before", { skip }, async () => {
    const { clients, faults, table } = await onTable();
    const deps = { dynamo: clients.dynamo, table, clock: systemClock };
    const check = statementCheck(deps);
    assert.deepEqual(await Promise.all([check(), check()]), [true, true]);
    assert.equal(await check(), true);
    assert.equal(faults.sent.get(BATCH), 2, "it is asked once");
    assert.equal(await statementCheck(deps)(), true);
  });

  test("not to one that has no such call, or answers it with a page", async () => {
    for (const error of [
      Object.assign(new Error("unknown"), { name: "UnknownOperationException" }),
      new SyntaxError("Unexpected token '<'"),
    ]) {
      const { clients, faults, table } = await onTable();
      faults.fail(BATCH, 3, error);
      assert.equal(await statementCheck({ dynamo: clients.dynamo, table, clock: systemClock })(), false);
    }
  });

  test("not to one that writes without looking at conditions", async () => {
    const { clients, table } = await onTable();
    withoutConditions(clients.dynamo);
    assert.equal(await statementCheck({ dynamo: clients.dynamo, table, clock: systemClock })(), false);
  });

  test("to nobody while it is out of order, and it is asked again", { skip }, async () => {
    const { clients, faults, table } = await onTable();
    faults.fail(BATCH, 3);
    const check = statementCheck({ dynamo: clients.dynamo, table, clock: systemClock });
    await assert.rejects(check());
    assert.equal(await check(), true);
  });

  test("to AWS itself, which is not asked", async () => {
    const clients = awsClients({
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test" },
    });
    const faults = sdkFaults(clients);
    assert.equal(await statementCheck({ dynamo: clients.dynamo, table: "any", clock: systemClock })(), true);
    assert.equal(faults.sent.size, 0);
    clients.close();
  });
});
