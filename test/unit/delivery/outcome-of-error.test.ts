import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { NO_ROUTE } from "#shared/domain/outcome.ts";

import { outcomeOfFailure, verdictOf } from "../../../sender/delivery/outcome-of-error.ts";
import type { Failure, Place } from "../../../sender/delivery/outcome-of-error.ts";
import { DEFAULT_TIMEOUTS } from "../../../sender/delivery/timeouts.ts";
import { inShort } from "../../support/smtp-session.ts";

const reply = (code: number) => ({ code, enhanced: null, text: "text" });
const timeUp = AbortSignal.abort(new DOMException("over", "TimeoutError")).reason as unknown;

const fate = (failure: Failure): string | undefined => inShort([outcomeOfFailure(failure, NO_ROUTE)])[0];

describe("what a failure means for a recipient", () => {
  const table: readonly (readonly [Failure, string])[] = [
    [{ kind: "no-connection", code: "ECONNREFUSED", detail: "" }, "deferred connect"],
    [{ kind: "no-connection", code: "EHOSTUNREACH", detail: "" }, "deferred connect"],
    [{ kind: "no-connection", code: "EADDRNOTAVAIL", detail: "" }, "deferred connect"],
    [{ kind: "no-connection", code: "EMFILE", detail: "" }, "deferred internal"],
    [{ kind: "no-connection", code: "EADDRINUSE", detail: "" }, "deferred internal"],
    [{ kind: "closed", place: "rcpt", detail: null }, "deferred protocol"],
    [{ kind: "closed", place: "block", detail: "EPIPE" }, "deferred protocol"],
    [{ kind: "closed", place: "dot", detail: "ECONNRESET" }, "deferred ambiguous"],
    [{ kind: "timeout", place: "block" }, "deferred timeout"],
    [{ kind: "timeout", place: "dot" }, "deferred ambiguous"],
    [{ kind: "nonsense", place: "dot", detail: "" }, "deferred ambiguous"],
    [{ kind: "given-up", place: "dot", reason: timeUp }, "deferred ambiguous"],
    [{ kind: "given-up", place: "mail", reason: timeUp }, "deferred timeout"],
    [{ kind: "given-up", place: "mail", reason: null }, "deferred internal"],
    [{ kind: "internal", place: "block", detail: "" }, "deferred internal"],
    [{ kind: "refused", place: "mail", reply: reply(550) }, "bounced reply 550"],
    [{ kind: "refused", place: "mail", reply: reply(450) }, "deferred reply 450"],
    [{ kind: "refused", place: "data", reply: reply(250) }, "deferred protocol 250"],
    [{ kind: "unasked", place: "block", reply: reply(552) }, "bounced reply 552"],
    [{ kind: "unasked", place: "idle", reply: reply(552) }, "deferred protocol 552"],
    [{ kind: "unasked", place: "idle", reply: reply(421) }, "deferred reply 421"],
    [{ kind: "unasked", place: "block", reply: reply(250) }, "deferred protocol 250"],
    [{ kind: "tls", detail: "", reply: null }, "deferred tls"],
    [{ kind: "tls", detail: "", reply: reply(554) }, "deferred tls 554"],
    [{ kind: "credentials", detail: "", reply: reply(535) }, "deferred internal 535"],
  ];
  for (const [failure, expected] of table) {
    const where = "place" in failure ? ` at ${failure.place}` : "code" in failure ? ` ${failure.code}` : "";
    test(`${failure.kind}${where}: ${expected}`, () => assert.equal(fate(failure), expected));
  }

  test("only a refusal by the peer itself ever bounces", () => {
    for (const [failure, expected] of table) {
      if (expected.startsWith("bounced")) assert.ok(failure.kind === "refused" || failure.kind === "unasked");
    }
  });

  test("the operator is told who, what and when, in one line", () => {
    const route = { mx: "mx.one.example", peer: "192.0.2.1", egress: "192.0.2.9" };
    const detail = (failure: Failure): string => {
      const outcome = outcomeOfFailure(failure, route);
      return outcome.kind === "deferred" ? outcome.detail : "";
    };
    assert.equal(
      detail({ kind: "closed", place: "greeting", detail: "ECONNRESET" }),
      "mx.one.example (192.0.2.1) closed the connection before its greeting (ECONNRESET)",
    );
    assert.equal(
      detail({ kind: "timeout", place: "dot" }),
      "mx.one.example (192.0.2.1) was silent for too long after the final dot and before its reply",
    );
    assert.equal(
      detail({ kind: "no-connection", code: "ETIMEDOUT", detail: "no answer in time" }),
      "no connection from 192.0.2.9 to mx.one.example (192.0.2.1): no answer in time",
    );
  });
});

describe("what a failure before the first mail means for host and egress address", () => {
  const place: Place = "greeting";
  for (const [failure, host, tryNextHost, egressUsable] of [
    [{ kind: "no-connection", code: "ECONNREFUSED", detail: "" }, "down", true, true],
    [{ kind: "no-connection", code: "ETIMEDOUT", detail: "" }, "down", true, true],
    [{ kind: "no-connection", code: "EADDRNOTAVAIL", detail: "" }, "well", true, false],
    [{ kind: "no-connection", code: "EINVAL", detail: "" }, "well", true, false],
    [{ kind: "no-connection", code: "EMFILE", detail: "" }, "well", false, true],
    [{ kind: "timeout", place }, "down", true, true],
    [{ kind: "closed", place, detail: null }, "refusing", true, true],
    [{ kind: "nonsense", place, detail: "" }, "refusing", true, true],
    [{ kind: "refused", place, reply: reply(554) }, "refusing", true, true],
    [{ kind: "tls", detail: "", reply: null }, "well", true, true],
    [{ kind: "credentials", detail: "", reply: null }, "well", false, true],
    [{ kind: "given-up", place, reason: null }, "well", false, true],
    [{ kind: "internal", place, detail: "" }, "well", false, true],
  ] as const) {
    test(`${failure.kind}${"code" in failure ? ` ${failure.code}` : ""}: the host is ${host}`, () => {
      const { outcome: _, ...advice } = verdictOf(failure, NO_ROUTE);
      assert.deepEqual(advice, { tryNextHost, host, egressUsable });
    });
  }
});

test("no wait is shorter than RFC 5321 §4.5.3.2 asks for", () => {
  const minutes = { greeting: 5, mail: 5, rcpt: 5, data: 2, block: 3, dot: 10 } as const;
  for (const [phase, least] of Object.entries(minutes)) {
    assert.equal(DEFAULT_TIMEOUTS[phase as keyof typeof minutes], least * 60_000, phase);
  }
  for (const ms of Object.values(DEFAULT_TIMEOUTS)) assert.ok(Number.isFinite(ms) && ms > 0);
});
