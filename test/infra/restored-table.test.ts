/** After a restore: the deployment works on the table that the record names, and the one before stays as it is. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { templates } from "../support/stacks.ts";

const name = "zonefleet-test-restored";
const streamArn = `arn:aws:dynamodb:eu-central-1:111111111111:table/${name}/stream/2026-11-20T00:00:00.000`;
const { storage, api, sender } = await templates({ deployment: { restoredTable: { name, streamArn } } });

/** The table before, and not one whose name only begins so. */
const BEFORE = /ZONEFLEET_TABLE":"zonefleet-test"|table\/zonefleet-test(?![\w-])/;
const before = await templates();

test("no table is made, and that of before is none of the stack's any more, which leaves it where it is", () => {
  storage.resourceCountIs("AWS::DynamoDB::Table", 0);
});

test("Lambdas and senders work on it, and may work on no other", () => {
  api.allResourcesProperties("AWS::Lambda::Function", {
    Environment: { Variables: { ZONEFLEET_TABLE: name } },
  });
  for (const stack of [storage, api, sender]) {
    const text = JSON.stringify(stack.toJSON());
    assert.doesNotMatch(text, BEFORE);
    assert.match(text, new RegExp(`table/${name}`));
  }
  assert.match(JSON.stringify(before.api.toJSON()), BEFORE);
  assert.match(JSON.stringify(sender.toJSON()), new RegExp(`ZONEFLEET_TABLE=${name}`));
});

test("readers of events read its stream", () => {
  api.hasResourceProperties("AWS::Lambda::EventSourceMapping", { EventSourceArn: streamArn });
});
