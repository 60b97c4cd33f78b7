import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { CloudFormationCustomResourceEvent, CloudFormationCustomResourceResponse } from "aws-lambda";

import type { QueueStore } from "#shared/ports/queue-store.ts";
import { answerByHttp, zoneGuardHandler } from "../../../lambdas/zone-guard.ts";
import { zoneA, zoneB } from "../../support/builders.ts";
import { acceptMail, embeddedBackend, takeRequest } from "../../support/backend.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { httpPeer } from "../../support/http-peer.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

interface Change {
  readonly type?: CloudFormationCustomResourceEvent["RequestType"];
  readonly from: readonly string[];
  readonly to: readonly string[];
}

/** What CloudFormation is told over HTTP. */
async function askGuard(
  queue: Pick<QueueStore, "list">,
  { type = "Update", from, to }: Change,
): Promise<CloudFormationCustomResourceResponse> {
  await using cloudFormation = await httpPeer(() => ({ status: 200 }));
  const handler = zoneGuardHandler({ queue, answer: answerByHttp, log: toldTelemetry().log });
  await handler({
    RequestType: type,
    ResponseURL: cloudFormation.url,
    StackId: "stack",
    RequestId: "request",
    LogicalResourceId: "ZoneGuard",
    ResourceProperties: { ServiceToken: "token", Zones: to },
    OldResourceProperties: { ServiceToken: "token", Zones: from },
  } as unknown as CloudFormationCustomResourceEvent);
  assert.equal(cloudFormation.asked.length, 1);
  const [asked] = cloudFormation.asked;
  assert.equal(asked?.method, "PUT");
  return JSON.parse(asked.body) as CloudFormationCustomResourceResponse;
}

describe("a zone that is taken out of the configuration", () => {
  test("stays when it has mail, and the refusal names it", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    await acceptMail(store.backend, clock);
    const { Status, Reason } = await askGuard(store.backend.queue, { from: [zoneA, zoneB], to: [zoneB] });
    assert.equal(Status, "FAILED");
    assert.match(Reason ?? "", /cannot be removed: a\. /);
  });

  test("stays while its mail is being delivered", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    await acceptMail(store.backend, clock);
    assert.equal((await store.backend.queue.take(takeRequest())).length, 1);
    assert.equal((await askGuard(store.backend.queue, { from: [zoneA], to: [zoneB] })).Status, "FAILED");
  });

  test("goes when it is empty, whatever the others hold", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    await acceptMail(store.backend, clock);
    const answer = await askGuard(store.backend.queue, { from: [zoneA, zoneB], to: [zoneA] });
    assert.deepEqual([answer.Status, answer.StackId, answer.RequestId], ["SUCCESS", "stack", "request"]);
  });

  test("stays when it is not known what it holds", async () => {
    const list = () => Promise.reject(new Error("the table does not answer"));
    const { Status, Reason } = await askGuard({ list }, { from: [zoneA], to: [] });
    assert.equal(Status, "FAILED");
    assert.match(Reason ?? "", /Deploy again/);
  });
});

test("a first deployment, and one that is taken down, ask nothing of the queue", async () => {
  const list = () => Promise.reject(new Error("nobody may ask"));
  for (const type of ["Create", "Delete"] as const) {
    assert.equal((await askGuard({ list }, { type, from: [], to: [zoneA] })).Status, "SUCCESS");
  }
});
