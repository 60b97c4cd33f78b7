/**
 * Least privilege, proven by use: Lambdas and a sender do all that they are for on a local AWS, and each call is held against the role
 * that the templates give to who made it. None may be refused, and nothing may be granted that nobody used, unless it is said why.
 */

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { MINUTE } from "#shared/domain/units.ts";
import type { LambdaName } from "../../lambdas/build.ts";
import { API_LAMBDAS, OTHER_LAMBDAS } from "../../lambdas/build.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import type { AwsCall } from "../support/aws-calls.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient } from "../support/patience.ts";
import type { Grant } from "../support/role-grants.ts";
import { covers, grantsOf, isGranted, roleOfLambda, roleOfSenders } from "../support/role-grants.ts";
import type { Templates } from "../support/stacks.ts";
import { templates } from "../support/stacks.ts";
import { RECORDED_CONFIG } from "../support/recorded-requests.ts";
import type { CallsByLambda } from "../support/watched-lambdas.ts";
import { watchLambdas } from "../support/watched-lambdas.ts";
import { watchSender } from "../support/watched-sender.ts";

/** What AWS itself does for them, what is done at boot, and services that the local AWS has not. */
const NOT_WATCHED =
  /^(logs|ec2|autoscaling|cloudwatch|cloudformation):|^dynamodb:(DescribeStream|GetRecords|GetShardIterator|ListStreams) |-dead |StreamFailures|:::.*cdk-/;
/** What is granted although it was not seen. */
const NOT_SEEN: Readonly<Record<string, readonly (readonly [what: RegExp, why: string])[]>> = {
  send: [
    [/^dynamodb:.*LeadingKeys":"l#/, "app.count of plugins, of which there is none here (seen of sender)"],
  ],
  events: [
    [/^s3:DeleteObject /, "the body of a report whose accept is refused, as of any mail (seen of send)"],
    [/^s3:ListBucket /, "a body that is gone is one that is not there: the report goes without its headers"],
  ],
  "report-again": [
    [/^s3:DeleteObject /, "as of events"],
    [/^s3:ListBucket /, "as of events"],
  ],
  sender: [
    [/^dynamodb:.*LeadingKeys":"i#/, "Idempotency-Key at the API of the host's loopback (seen of send)"],
    [/^dynamodb:.*LeadingKeys":"b#/, "POST /report-bounce there (seen of health)"],
    [/^s3:ListBucket /, "mail whose body is gone ends with a bounce that says so"],
    [/^s3:AbortMultipartUpload /, "a client that goes in the middle of large mail (seen of send)"],
    [
      /^sqs:ChangeMessageVisibility /,
      "mail that is under way for longer than a lease, and signals given back",
    ],
  ],
};

stopLocalAwsAtEnd();

describe("what runs on AWS", { skip: noLocalAws(), timeout: patient(2 * MINUTE) }, () => {
  let made: Templates;
  let calls: CallsByLambda;
  before(async () => {
    made = await templates({ config: { ...RECORDED_CONFIG, webhooks: [{ url: "https://example.com" }] } });
    calls = await watchLambdas();
  });

  for (const name of [...API_LAMBDAS, ...OTHER_LAMBDAS]) {
    test(`${name} may do what it does, and no more`, () => {
      assertFits(name, grantsOfLambda(made, name), calls.get(name) ?? []);
    });
  }

  test("a sender may do what it does, and no more", async () => {
    const role = roleOfSenders(made.sender);
    assertFits("sender", grantsOf(made.sender, role), await watchSender());
  });

  test("nothing is granted on all items of the table, on all objects or on all queues", () => {
    const lambdas = [...API_LAMBDAS, ...OTHER_LAMBDAS].flatMap((name) => grantsOfLambda(made, name));
    for (const { actions, resources, conditions } of [
      ...lambdas,
      ...grantsOf(made.sender, roleOfSenders(made.sender)),
    ]) {
      if (NOT_WATCHED.test(wordsOf({ actions, resources, conditions }))) continue;
      assert.ok(!actions.some((action) => action.includes("*")), actions.join());
      for (const resource of resources) {
        const isPrefix = /^arn:aws:s3:::[^*]+\/(bodies|uploads)\/\*$/.test(resource);
        assert.ok(isPrefix || !resource.includes("*"), resource);
      }
      if (actions.some((action) => action.startsWith("dynamodb:"))) assert.ok(conditions, resources.join());
    }
  });
});

function grantsOfLambda({ api, storage }: Templates, name: LambdaName): Grant[] {
  const template = name === "zone-guard" ? storage : api;
  return grantsOf(template, roleOfLambda(template, `zonefleet-test-${name}`));
}

function assertFits(who: string, grants: readonly Grant[], calls: readonly AwsCall[]): void {
  assert.ok(calls.length > 0, "it did nothing");
  const refused = calls.filter((call) => !isGranted(grants, call)).map(shown);
  const unused = partsOf(grants)
    .filter((part) => !calls.some((call) => covers(part, call)))
    .map(wordsOf);
  const known = NOT_SEEN[who] ?? [];
  const surprising = unused.filter((words) => !known.some(([what]) => what.test(words)));
  assert.deepEqual({ refused: [...new Set(refused)], unused: surprising }, { refused: [], unused: [] });
  const seenAfterAll = known.filter(([what]) => !unused.some((words) => what.test(words)));
  assert.deepEqual(seenAfterAll, []);
}

/**
 * What stands for itself: each kind of item, and each action on anything else. Who may write an item may do so in every way, and read
 * what lies there when a condition did not hold.
 */
function partsOf(grants: readonly Grant[]): Grant[] {
  return grants
    .flatMap(({ actions, resources, conditions }): Grant[] => {
      const kinds = conditions?.["ForAllValues:StringLike"]?.["dynamodb:LeadingKeys"];
      if (kinds === undefined) return actions.map((action) => ({ actions: [action], resources, conditions }));
      return [kinds].flat().map((kind) => ({
        actions,
        resources,
        conditions: { "ForAllValues:StringLike": { "dynamodb:LeadingKeys": kind } },
      }));
    })
    .filter((part) => !NOT_WATCHED.test(wordsOf(part)));
}

function shown({ action, resource, partitions }: AwsCall): string {
  const kinds = new Set(partitions?.map((partition) => partition.replace(/#.*/, "#")));
  return `${action} ${resource.replace(/\/(bodies|uploads)\/.*/, "/$1")} ${[...kinds].join()}`;
}

function wordsOf({ actions, resources, conditions }: Grant): string {
  return `${actions[0] ?? ""} ${resources[0] ?? ""} ${conditions === null ? "" : JSON.stringify(conditions)}`;
}
