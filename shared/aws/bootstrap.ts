/**
 * Makes what an installation needs on AWS: the table with its TTL, the bucket, and for each zone a queue with its dead letters.
 * For local servers and tests; a deployed installation is made by its stacks. What is there already is left as it is, but for
 * the settings of queues and bucket, which are set again.
 */

import {
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, PutBucketLifecycleConfigurationCommand } from "@aws-sdk/client-s3";
import type { BucketLocationConstraint, S3Client } from "@aws-sdk/client-s3";
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  SetQueueAttributesCommand,
} from "@aws-sdk/client-sqs";
import type { SQSClient } from "@aws-sdk/client-sqs";

import { SECOND } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import { hasName } from "./aws-errors.ts";
import type { AwsClients } from "./clients.ts";
import { INDEXES, TTL_ATTRIBUTE } from "./keys.ts";
import type { AwsNames } from "./names.ts";
import { deadLetterQueueName, queueName } from "./names.ts";
import {
  BODIES_AFTER_DAYS,
  BODY_PREFIX,
  CUT_OFF_AFTER_DAYS,
  MAX_RECEIVES,
  RETENTION_MS,
  UPLOAD_PREFIX,
  UPLOADS_AFTER_DAYS,
} from "./storage-terms.ts";
import { tableInput } from "./table.ts";

export interface BootstrapOptions {
  readonly clients: AwsClients;
  readonly names: AwsNames;
  readonly zones: Iterable<ZoneName>;
  /** How long a signal stays unseen while its rows are worked on: a little longer than a lease. */
  readonly visibilityMs: number;
  /** True: with the stream of changes, from which events are read. */
  readonly stream: boolean;
}

const TABLE_READY_SECONDS = 60;
/** Of another account it would be `BucketAlreadyExists`. */
const OURS_ALREADY = "BucketAlreadyOwnedByYou";

export async function bootstrapAws(options: BootstrapOptions): Promise<void> {
  const { clients, names } = options;
  await Promise.all([
    makeTable(clients.dynamo, names.table, { stream: options.stream }),
    makeBucket(clients.s3, names.bucket),
    makeQueues(clients.sqs, options),
  ]);
}

export async function makeTable(
  dynamo: DynamoDBClient,
  name: string,
  { stream }: { stream: boolean },
): Promise<void> {
  await unlessNamed(
    dynamo.send(new CreateTableCommand(tableInput(name, { stream }))),
    "ResourceInUseException",
  );
  const waiting = { client: dynamo, maxWaitTime: TABLE_READY_SECONDS, minDelay: 1, maxDelay: 5 };
  await waitUntilTableExists(waiting, { TableName: name });
  await assertIndexes(dynamo, name);
  const { TimeToLiveDescription } = await dynamo.send(new DescribeTimeToLiveCommand({ TableName: name }));
  if (["ENABLED", "ENABLING"].includes(TimeToLiveDescription?.TimeToLiveStatus ?? "")) return;
  await dynamo.send(
    new UpdateTimeToLiveCommand({
      TableName: name,
      TimeToLiveSpecification: { Enabled: true, AttributeName: TTL_ATTRIBUTE },
    }),
  );
}

/** A table of that name that was made for something else, or for another version, would fail later and less clearly. */
async function assertIndexes(dynamo: DynamoDBClient, name: string): Promise<void> {
  const { Table } = await dynamo.send(new DescribeTableCommand({ TableName: name }));
  const there = (Table?.GlobalSecondaryIndexes ?? []).map(({ IndexName }) => IndexName);
  const missing = INDEXES.filter((index) => !there.includes(index.name)).map((index) => index.name);
  if (missing.length > 0)
    throw new Error(`the table ${name} has no index ${missing.join(", ")}: use another name`);
}

async function makeBucket(s3: S3Client, name: string): Promise<void> {
  const region = await s3.config.region();
  const creating = s3.send(
    new CreateBucketCommand({
      Bucket: name,
      // The first region is the one that must not be named.
      ...(region === "us-east-1"
        ? {}
        : { CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint } }),
    }),
  );
  await unlessNamed(creating, OURS_ALREADY);
  await s3.send(
    new PutBucketLifecycleConfigurationCommand({
      Bucket: name,
      LifecycleConfiguration: {
        Rules: [
          {
            ID: "cut-off",
            Status: "Enabled",
            Filter: { Prefix: "" },
            AbortIncompleteMultipartUpload: { DaysAfterInitiation: CUT_OFF_AFTER_DAYS },
          },
          expiry("uploads", UPLOAD_PREFIX, UPLOADS_AFTER_DAYS),
          expiry("bodies", BODY_PREFIX, BODIES_AFTER_DAYS),
        ],
      },
    }),
  );
}

function expiry(ID: string, Prefix: string, Days: number) {
  return { ID, Status: "Enabled" as const, Filter: { Prefix }, Expiration: { Days } };
}

async function makeQueues(sqs: SQSClient, { names, zones, visibilityMs }: BootstrapOptions): Promise<void> {
  for (const zone of zones) {
    const retention = { MessageRetentionPeriod: String(RETENTION_MS / SECOND) };
    const dead = await makeQueue(sqs, deadLetterQueueName(names.queuePrefix, zone), retention);
    await makeQueue(sqs, queueName(names.queuePrefix, zone), {
      ...retention,
      VisibilityTimeout: String(Math.ceil(visibilityMs / SECOND)),
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: MAX_RECEIVES }),
    });
  }
}

/** Made without settings, for SQS refuses to make again a queue that has others. */
async function makeQueue(
  sqs: SQSClient,
  name: string,
  settings: Record<string, string>,
): Promise<{ arn: string }> {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name }));
  await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: settings }));
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }),
  );
  const arn = Attributes?.["QueueArn"];
  if (arn === undefined) throw new Error(`the queue ${name} has no ARN`);
  return { arn };
}

async function unlessNamed(sending: Promise<unknown>, name: string): Promise<void> {
  try {
    await sending;
  } catch (error) {
    if (!hasName(error, name)) throw error;
  }
}
