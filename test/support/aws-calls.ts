/**
 * What a request to AWS asks for, as IAM sees it: actions on resources, and for DynamoDB the partitions of the items that are touched.
 * Names of the installation that a test runs on are put in terms of another one, so that templates can be asked about it.
 */

import assert from "node:assert/strict";

import { INDEXES, KINDS, PARTITION_KEY } from "#shared/aws/keys.ts";
import type { AwsNames } from "#shared/aws/names.ts";
import type { AwsAnswer, AwsRequest } from "./aws-proxy.ts";

export interface AwsCall {
  /** `dynamodb:PutItem`. */
  readonly action: string;
  /** The last part of an ARN: `table/<name>/index/<index>`, `<bucket>/<key>`, the name of a queue. */
  readonly resource: string;
  /** Partition keys of the items; null: the service has none. */
  readonly partitions: readonly string[] | null;
}

/** An attribute as it is on the wire. */
type WireValue = { readonly S?: string };
type WireItem = Readonly<Record<string, WireValue>>;

interface DynamoInput {
  readonly TableName?: string;
  readonly IndexName?: string;
  readonly Item?: WireItem;
  readonly Key?: WireItem;
  readonly KeyConditionExpression?: string;
  readonly ExpressionAttributeNames?: Readonly<Record<string, string>>;
  readonly ExpressionAttributeValues?: WireItem;
  readonly RequestItems?: Readonly<Record<string, unknown>>;
  readonly TransactItems?: readonly Readonly<Record<string, DynamoInput>>[];
  readonly Statements?: readonly Statement[];
}

interface Statement {
  readonly Statement: string;
  readonly Parameters: readonly WireValue[];
}

export function callsOf(request: AwsRequest, answer: AwsAnswer, names: AwsNames): AwsCall[] {
  switch (request.service) {
    case "dynamo":
      return dynamoCalls(request.operation, JSON.parse(request.body.toString("utf8")) as DynamoInput, names);
    case "sqs":
      return [sqsCall(request, names)];
    case "s3":
      return s3Calls(request, answer, names);
  }
}

function dynamoCalls(operation: string, input: DynamoInput, names: AwsNames): AwsCall[] {
  const { TransactItems, Statements, RequestItems, TableName = "" } = input;
  if (Statements) return Statements.map((statement) => statementCall(statement, names)).filter(isOurs);
  if (TransactItems)
    return TransactItems.flatMap((one) =>
      Object.entries(one).flatMap(([kind, each]) =>
        dynamoCalls(kind === "ConditionCheck" ? "ConditionCheckItem" : `${kind}Item`, each, names),
      ),
    );
  if (RequestItems)
    return Object.entries(RequestItems).map(([table, asked]) => ({
      action: `dynamodb:${operation}`,
      resource: tableIn(table, names),
      partitions: keysWithin(asked),
    }));
  const index = input.IndexName === undefined ? "" : `/index/${input.IndexName}`;
  return [
    {
      action: `dynamodb:${operation}`,
      resource: tableIn(TableName, names) + index,
      partitions: input.KeyConditionExpression === undefined ? keysWithin(input) : [queried(input)],
    },
  ];
}

/** The check that only stand-ins for DynamoDB are asked (shared/aws/batch-statement.ts). */
function isOurs({ partitions }: AwsCall): boolean {
  return !partitions?.some((partition) => partition.startsWith(KINDS.check));
}

function statementCall({ Statement: text, Parameters }: Statement, names: AwsNames): AwsCall {
  const [, verb = "", table = ""] = /^(INSERT|UPDATE|DELETE)[^"]*"([^"]+)"/.exec(text) ?? [];
  assert.ok(verb, text);
  const place = text.split("?").findIndex((before) => /["']PK["'](?: =|:) $/.test(before));
  const partition = Parameters[place]?.S;
  assert.ok(partition, `no partition in ${text}`);
  const action = `dynamodb:PartiQL${verb.charAt(0)}${verb.slice(1).toLowerCase()}`;
  return { action, resource: tableIn(table, names), partitions: [partition] };
}

/** Wherever they stand in a request: in keys, items, and lists of both. */
function keysWithin(value: unknown): string[] {
  if (value === null || typeof value !== "object") return [];
  const own = (value as WireItem)[PARTITION_KEY]?.S;
  if (own !== undefined) return [own];
  return Object.values(value).flatMap(keysWithin);
}

/** The partition of a query. */
function queried({
  IndexName,
  KeyConditionExpression = "",
  ExpressionAttributeNames = {},
  ExpressionAttributeValues = {},
}: DynamoInput): string {
  const wanted = INDEXES.find(({ name }) => name === IndexName)?.partition ?? PARTITION_KEY;
  const [, name = "", placeholder = ""] = /^(\S+) = (:\w+)/.exec(KeyConditionExpression) ?? [];
  assert.equal(ExpressionAttributeNames[name] ?? name, wanted, KeyConditionExpression);
  return ExpressionAttributeValues[placeholder]?.S ?? assert.fail(`no value of ${placeholder}`);
}

function tableIn(table: string, names: AwsNames): string {
  assert.equal(table, names.table);
  return `table/${TABLE}`;
}

/** IAM knows no batches. */
function sqsCall({ operation, body }: AwsRequest, names: AwsNames): AwsCall {
  const { QueueUrl, QueueName } = JSON.parse(body.toString("utf8")) as Record<string, string>;
  const queue = QueueName ?? QueueUrl?.split("/").at(-1) ?? "";
  assert.ok(queue.startsWith(names.queuePrefix), queue);
  return {
    action: `sqs:${operation.replace(/Batch$/, "")}`,
    resource: QUEUE_PREFIX + queue.slice(names.queuePrefix.length),
    partitions: null,
  };
}

const S3_ACTIONS: Readonly<Record<string, string>> = {
  GetObject: "s3:GetObject",
  HeadObject: "s3:GetObject",
  PutObject: "s3:PutObject",
  PutPart: "s3:PutObject",
  PostPart: "s3:PutObject",
  DeletePart: "s3:AbortMultipartUpload",
  DeleteObject: "s3:DeleteObject",
};

function s3Calls({ operation, path, body }: AwsRequest, { status }: AwsAnswer, names: AwsNames): AwsCall[] {
  const [bucket = "", ...key] = decodeURIComponent(path.split("?")[0] ?? "")
    .split("/")
    .filter(Boolean);
  assert.equal(bucket, names.bucket);
  const call = (action: string, object: string): AwsCall => ({
    action,
    resource: `${BUCKET}/${object}`,
    partitions: null,
  });
  if (operation === "DeleteObjects") {
    const keys = [...body.toString("utf8").matchAll(/<Key>([^<]+)<\/Key>/g)];
    return keys.map(([, each = ""]) => call("s3:DeleteObject", each));
  }
  const action = S3_ACTIONS[operation] ?? assert.fail(`${operation} is not known`);
  const own = call(action, key.join("/"));
  // Who may not list a bucket is told 403 of what is not there.
  const isMissing = status === 404 && action === "s3:GetObject";
  return isMissing ? [own, { action: "s3:ListBucket", resource: BUCKET, partitions: null }] : [own];
}

/** What calls are put in terms of: the installation `test` (test/support/stacks.ts). */
export const TABLE = "zonefleet-test";
export const QUEUE_PREFIX = "zonefleet-test-";
export const BUCKET = "zonefleet-test-<AccountId>-<Region>";
export const SECRET = "zonefleet-test";
/** AWS adds six characters of its own to the name. */
export const SECRET_RESOURCE = `secret:${SECRET}-a1B2c3`;
