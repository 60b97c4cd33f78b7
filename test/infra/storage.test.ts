/** What an operator relies on in the storage stack. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Match } from "aws-cdk-lib/assertions";

import { tableInput } from "#shared/aws/table.ts";
import { templates } from "../support/stacks.ts";
import { resourcesIn } from "../support/template-resources.ts";

const ZONES = { zones: { bulk: {} } };
const { storage } = await templates({ config: ZONES });

test("the table has the keys, indexes and stream that the adapters work with", () => {
  const { KeySchema, GlobalSecondaryIndexes, StreamSpecification } = tableInput("t", { stream: true });
  const { StreamViewType } = StreamSpecification ?? {};
  storage.hasResourceProperties("AWS::DynamoDB::Table", {
    KeySchema,
    GlobalSecondaryIndexes,
    StreamSpecification: { StreamViewType },
    BillingMode: "PAY_PER_REQUEST",
    TimeToLiveSpecification: { AttributeName: "ttl", Enabled: true },
  });
});

test("the table can be restored, and cannot be deleted by mistake", () => {
  storage.hasResourceProperties("AWS::DynamoDB::Table", {
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    DeletionProtectionEnabled: true,
  });
});

test("nothing that holds mail or keys goes with the stack", () => {
  const kept = ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SecretsManager::Secret"];
  const found = [...resourcesIn(storage).values()].filter(({ Type }) => kept.includes(Type));
  assert.equal(new Set(found.map(({ Type }) => Type)).size, kept.length);
  for (const { Type, DeletionPolicy, UpdateReplacePolicy } of found) {
    assert.equal(DeletionPolicy, "RetainExceptOnCreate", Type);
    assert.equal(UpdateReplacePolicy, "Retain", Type);
  }
});

test("bodies are encrypted, closed to the public, reached by TLS alone, and taken away when nothing names them", () => {
  storage.hasResourceProperties("AWS::S3::Bucket", {
    BucketEncryption: Match.objectLike({ ServerSideEncryptionConfiguration: Match.anyValue() }),
    PublicAccessBlockConfiguration: {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    },
    LifecycleConfiguration: {
      Rules: Match.arrayWith([
        Match.objectLike({ AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 } }),
        Match.objectLike({ Prefix: "uploads/", ExpirationInDays: 2 }),
        Match.objectLike({ Prefix: "bodies/", ExpirationInDays: 400 }),
      ]),
    },
  });
  storage.hasResourceProperties("AWS::S3::BucketPolicy", {
    PolicyDocument: Match.objectLike({
      Statement: Match.arrayWith([
        Match.objectLike({ Effect: "Deny", Condition: { Bool: { "aws:SecureTransport": "false" } } }),
      ]),
    }),
  });
});

test("each zone has a queue and dead letters behind it, encrypted and reached by TLS alone", () => {
  const queues = [...resourcesIn(storage).values()].filter(({ Type }) => Type === "AWS::SQS::Queue");
  const names = queues.map(({ Properties }) => String(Properties["QueueName"]));
  assert.deepEqual(
    names.toSorted(),
    ["bounces", "bulk", "default"].flatMap((zone) => [
      `zonefleet-test-${zone}`,
      `zonefleet-test-${zone}-dead`,
    ]),
  );
  for (const { Properties } of queues) assert.equal(Properties["SqsManagedSseEnabled"], true);
  const policies = [...resourcesIn(storage).values()].filter(({ Type }) => Type === "AWS::SQS::QueuePolicy");
  assert.equal(policies.length, queues.length);
  const withDead = queues.filter(({ Properties }) => Properties["RedrivePolicy"] !== undefined);
  assert.equal(withDead.length, 3);
});

test("the secret's key is made when it is deployed, and no template has it", () => {
  storage.hasResourceProperties("AWS::SecretsManager::Secret", {
    GenerateSecretString: { GenerateStringKey: "sealKey", SecretStringTemplate: "{}" },
    SecretString: Match.absent(),
  });
});

describe("a zone more in the configuration", () => {
  test("adds its two queues and their policies, and tells the guard: nothing else changes", async () => {
    const { storage: more } = await templates({ config: { zones: { bulk: {}, extra: {} } } });
    const [before, now] = [resourcesIn(storage), resourcesIn(more)];
    const added = [...now].filter(([id]) => !before.has(id)).map(([, { Type }]) => Type);
    const queue = ["AWS::SQS::Queue", "AWS::SQS::QueuePolicy"];
    assert.deepEqual(added.toSorted(), [...queue, ...queue].toSorted());
    const changed = [...before].filter(([id, old]) => JSON.stringify(now.get(id)) !== JSON.stringify(old));
    assert.deepEqual(
      changed.map(([, { Type }]) => Type),
      ["Custom::Zones"],
    );
  });
});

test("the names of the installation are put out for the command line", () => {
  const outputs = JSON.stringify(storage.findOutputs("*"));
  for (const said of [
    "ZONEFLEET_BACKEND=aws",
    "AWS_REGION=eu-central-1",
    "ZONEFLEET_TABLE=zonefleet-test",
    "ZONEFLEET_SECRET=zonefleet-test",
  ])
    assert.ok(outputs.includes(said), said);
});

test("the guard is called by CloudFormation for stacks of this account alone", () => {
  storage.allResourcesProperties("AWS::Lambda::Permission", {
    Principal: "cloudformation.amazonaws.com",
    SourceAccount: { Ref: "AWS::AccountId" },
  });
});
