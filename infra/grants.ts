/**
 * What each Lambda and the senders may do, and nothing more: kinds of item in the one table (known by the first letters of their
 * keys), prefixes in the bucket, queues. test/infra/grants.test.ts compares it with what they are seen to do.
 */

import type { Stack } from "aws-cdk-lib";
import { ArnFormat } from "aws-cdk-lib";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { Role } from "aws-cdk-lib/aws-iam";

import { BY_TIME, BY_ZONE, KINDS } from "#shared/aws/keys.ts";
import { queueName } from "#shared/aws/names.ts";
import { BODY_PREFIX, UPLOAD_PREFIX } from "#shared/aws/storage-terms.ts";

import { acceptWildcard } from "./accepted-findings.ts";
import type { Installation } from "./installation.ts";

export type ItemKind = keyof typeof KINDS;

export interface Needs {
  readonly reads?: readonly ItemKind[];
  /** Writing takes reading along: conditions, and what lies there when one did not hold. */
  readonly writes?: readonly ItemKind[];
  /** Open rows, in the indexes. */
  readonly queries?: readonly ("by zone" | "by time")[];
  readonly bodies?: readonly BodyUse[];
  /** Mail that clients put into the bucket themselves. */
  readonly uploads?: true;
  /** Signals are sent by who takes mail in, and received by senders. */
  readonly signals?: "send" | "send and receive";
  readonly secret?: true;
}

type BodyUse = "read" | "put" | "put in parts" | "delete";

const BODY_ACTIONS: Readonly<Record<BodyUse, readonly string[]>> = {
  read: ["s3:GetObject"],
  put: ["s3:PutObject"],
  // What is put in parts is given up when its client goes.
  "put in parts": ["s3:PutObject", "s3:AbortMultipartUpload"],
  delete: ["s3:DeleteObject"],
};
const READ = ["GetItem", "BatchGetItem", "Query"];
const WRITE = [
  "PutItem",
  "UpdateItem",
  "DeleteItem",
  "BatchWriteItem",
  "ConditionCheckItem",
  "PartiQLInsert",
  "PartiQLUpdate",
  "PartiQLDelete",
];
/** How partitions of the two indexes begin (shared/aws/keys.ts). */
const INDEX_PARTITIONS = {
  "by zone": { index: BY_ZONE.name, partitions: ["z#*"] },
  "by time": { index: BY_TIME.name, partitions: ["t#*", "p#*"] },
} as const;

export function statementsFor(stack: Stack, names: Installation, needs: Needs): PolicyStatement[] {
  return [
    ...tableStatements(stack, names, needs),
    ...bucketStatements(stack, names, needs),
    ...signalStatements(stack, names, needs),
    ...(needs.secret ? [secretStatement(stack, names)] : []),
  ];
}

/** For cdk-nag: what may be done to all objects below a prefix. */
export function acceptWildcards(role: Role, statements: readonly PolicyStatement[]): void {
  const resources = new Set(statements.flatMap(({ resources }) => resources));
  for (const resource of resources)
    if (resource.endsWith("/*"))
      acceptWildcard(
        role,
        resource,
        "Objects have names of their own below this prefix, and this is all of it.",
      );
}

function tableStatements(stack: Stack, names: Installation, needs: Needs): PolicyStatement[] {
  const { reads = [], writes = [], queries = [] } = needs;
  const table = stack.formatArn({ service: "dynamodb", resource: "table", resourceName: names.table });
  const onItems = (actions: readonly string[], kinds: readonly ItemKind[]) =>
    kinds.length === 0 ? [] : [onKeys(actions, [table], partitionsOf(kinds))];
  return [
    ...onItems(READ, reads),
    ...onItems([...READ, ...WRITE], writes),
    ...queries.map((how) => {
      const { index, partitions } = INDEX_PARTITIONS[how];
      return onKeys(["Query"], [`${table}/index/${index}`], partitions);
    }),
  ];
}

function partitionsOf(kinds: readonly ItemKind[]): string[] {
  return kinds.map((kind) => `${KINDS[kind]}*`);
}

function onKeys(
  actions: readonly string[],
  resources: string[],
  partitions: readonly string[],
): PolicyStatement {
  return new PolicyStatement({
    actions: actions.map((action) => `dynamodb:${action}`),
    resources,
    conditions: { "ForAllValues:StringLike": { "dynamodb:LeadingKeys": partitions } },
  });
}

function bucketStatements(
  stack: Stack,
  names: Installation,
  { bodies = [], uploads }: Needs,
): PolicyStatement[] {
  const bucket = `arn:${stack.partition}:s3:::${names.bucket}`;
  const statements: PolicyStatement[] = [];
  if (bodies.length > 0) {
    const actions = new Set(bodies.flatMap((use) => BODY_ACTIONS[use]));
    statements.push(new PolicyStatement({ actions: [...actions], resources: [`${bucket}/${BODY_PREFIX}*`] }));
  }
  // What signs a URL must itself be allowed what the URL allows.
  if (uploads) {
    const actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"];
    statements.push(new PolicyStatement({ actions, resources: [`${bucket}/${UPLOAD_PREFIX}*`] }));
  }
  // Without it S3 answers 403 in place of 404 for an object that is not there.
  if (bodies.includes("read") || uploads)
    statements.push(new PolicyStatement({ actions: ["s3:ListBucket"], resources: [bucket] }));
  return statements;
}

function signalStatements(stack: Stack, names: Installation, { signals }: Needs): PolicyStatement[] {
  if (!signals) return [];
  const receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];
  const actions = ["sqs:GetQueueUrl", "sqs:SendMessage", ...(signals === "send and receive" ? receive : [])];
  const queues = names.zones.map((zone) => queueName(names.queuePrefix, zone));
  return queueStatements(stack, actions, queues);
}

/** A policy takes some 6,000 characters: so many queues are a statement of their own, which CDK may put into another policy. */
const QUEUES_TOGETHER = 20;

/** By name: what one stack takes from another cannot be taken away. */
export function queueStatements(
  stack: Stack,
  actions: string[],
  queues: readonly string[],
): PolicyStatement[] {
  const statements: PolicyStatement[] = [];
  for (let from = 0; from < queues.length; from += QUEUES_TOGETHER) {
    const some = queues.slice(from, from + QUEUES_TOGETHER);
    const resources = some.map((resource) => stack.formatArn({ service: "sqs", resource }));
    // With an id of its own it is not put together with the others again.
    statements.push(new PolicyStatement({ sid: `Queues${statements.length + 1}`, actions, resources }));
  }
  return statements;
}

/** Secrets Manager adds six characters of its own to the name. */
function secretStatement(stack: Stack, names: Installation): PolicyStatement {
  const arn = stack.formatArn({
    service: "secretsmanager",
    resource: "secret",
    resourceName: `${names.secret}-??????`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  return new PolicyStatement({ actions: ["secretsmanager:GetSecretValue"], resources: [arn] });
}
