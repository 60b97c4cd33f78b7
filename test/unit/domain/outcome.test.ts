import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { bounced, deferred, NO_ROUTE, outcomeOfReply } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";

const route = { mx: "mx.example", peer: "192.0.2.1", egress: "192.0.2.2" };

describe("the reply that decides a recipient's fate", () => {
  test("delivers when it is 2yz", () => {
    const reply = smtpReply(250, ["2.0.0 queued"]);
    assert.deepEqual(outcomeOfReply(reply, route), { kind: "delivered", reply, route });
  });

  test("defers when it is 4yz", () => {
    const reply = smtpReply(450, ["4.2.1 later"]);
    const detail = "450 4.2.1 later";
    assert.deepEqual(outcomeOfReply(reply, route), {
      kind: "deferred",
      cause: "reply",
      reply,
      detail,
      route,
    });
  });

  test("bounces when it is 5yz, with the peer's status", () => {
    const reply = smtpReply(550, ["5.1.1 no"]);
    const expected = {
      kind: "bounced",
      cause: "reply",
      reply,
      detail: "550 5.1.1 no",
      status: "5.1.1",
      route,
    };
    assert.deepEqual(outcomeOfReply(reply, route), expected);
  });

  test("bounces with a status that says nothing when the peer gave none of class 5", () => {
    for (const line of ["no", "4.2.2 no"]) {
      const outcome = outcomeOfReply(smtpReply(550, [line]), route);
      assert.equal(outcome.kind === "bounced" && outcome.status, "5.0.0");
    }
  });

  test("never bounces a recipient for a peer's confusion", () => {
    for (const code of [354, 199, 600, 0]) {
      const outcome = outcomeOfReply(smtpReply(code, ["what"]), route);
      assert.equal(outcome.kind, "deferred");
      assert.equal(outcome.kind === "deferred" && outcome.cause, "protocol");
    }
  });
});

describe("an attempt without a reply", () => {
  test("is told in words, with no route unless one is known", () => {
    const waits = { kind: "deferred", cause: "dns", reply: null, detail: "no answer", route: NO_ROUTE };
    assert.deepEqual(deferred("dns", "no answer"), waits);
    const ends = {
      kind: "bounced",
      cause: "null-mx",
      reply: null,
      detail: "takes no mail",
      status: "5.1.10",
      route,
    };
    assert.deepEqual(bounced("null-mx", "5.1.10", "takes no mail", route), ends);
  });
});
