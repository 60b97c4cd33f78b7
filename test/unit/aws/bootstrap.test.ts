import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
} from "@aws-sdk/client-dynamodb";
import { GetBucketLifecycleConfigurationCommand } from "@aws-sdk/client-s3";
import { GetQueueAttributesCommand, GetQueueUrlCommand } from "@aws-sdk/client-sqs";
import type { SQSClient } from "@aws-sdk/client-sqs";

import { bootstrapAws } from "#shared/aws/bootstrap.ts";
import { deadLetterQueueName, queueName } from "#shared/aws/names.ts";
import { MINUTE } from "#shared/domain/units.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { zoneA, zoneB } from "../../support/builders.ts";
import { noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

async function attributesOf(sqs: SQSClient, QueueName: string): Promise<Record<string, string>> {
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }),
  );
  return Attributes;
}

describe("the bootstrap of an installation", { skip: noLocalAws() }, () => {
  test("makes table, bucket and queues, and changes nothing of what is there when it runs again", async () => {
    const { clients, newNames } = await sharedLocalAws();
    const { dynamo, s3, sqs } = clients;
    const names = newNames();
    const options = { clients, names, zones: [zoneA, zoneB], visibilityMs: 2 * MINUTE, stream: true };
    for (let times = 0; times < 2; times++) await bootstrapAws(options);

    const { Table } = await dynamo.send(new DescribeTableCommand({ TableName: names.table }));
    assert.deepEqual(Table?.GlobalSecondaryIndexes?.map(({ IndexName }) => IndexName).toSorted(), [
      "byTime",
      "byZone",
    ]);
    assert.equal(Table.StreamSpecification?.StreamViewType, "NEW_IMAGE");
    const { TimeToLiveDescription } = await dynamo.send(
      new DescribeTimeToLiveCommand({ TableName: names.table }),
    );
    assert.equal(TimeToLiveDescription?.AttributeName, "ttl");

    const { Rules = [] } = await s3.send(
      new GetBucketLifecycleConfigurationCommand({ Bucket: names.bucket }),
    );
    assert.equal(Rules.length, 3);

    for (const zone of [zoneA, zoneB]) {
      const queue = await attributesOf(sqs, queueName(names.queuePrefix, zone));
      const dead = await attributesOf(sqs, deadLetterQueueName(names.queuePrefix, zone));
      assert.equal(queue["VisibilityTimeout"], "120");
      const redrive = JSON.parse(queue["RedrivePolicy"] ?? "{}") as { deadLetterTargetArn?: string };
      assert.equal(redrive.deadLetterTargetArn, dead["QueueArn"]);
    }
  });

  test("a zone that comes later gets its queue, and a longer visibility is set", async () => {
    const { clients, newNames } = await sharedLocalAws();
    const names = newNames();
    const options = { clients, names, zones: [zoneA], visibilityMs: MINUTE, stream: false };
    await bootstrapAws(options);
    await bootstrapAws({ ...options, zones: [zoneA, zoneB], visibilityMs: 3 * MINUTE });
    for (const zone of [zoneA, zoneB]) {
      const queue = await attributesOf(clients.sqs, queueName(names.queuePrefix, zone));
      assert.equal(queue["VisibilityTimeout"], "180");
    }
  });

  test("a table of that name that is not ours is refused by what it lacks", async () => {
    const { clients, newNames } = await sharedLocalAws();
    const names = newNames();
    await clients.dynamo.send(
      new CreateTableCommand({
        TableName: names.table,
        BillingMode: "PAY_PER_REQUEST",
        AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
        KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
      }),
    );
    const options = { clients, names, zones: [], visibilityMs: MINUTE, stream: false };
    await assert.rejects(bootstrapAws(options), /no index byZone, byTime/);
  });
});
