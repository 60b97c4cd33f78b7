import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { DomainError } from "#shared/domain/errors.ts";
import type { DomainErrorCode } from "#shared/domain/errors.ts";
import { isMistake, replyLines, replyToFailure } from "../../../sender/feeder/reply.ts";

const code = fc.constantFrom(
  214,
  220,
  221,
  235,
  250,
  252,
  354,
  421,
  451,
  452,
  454,
  500,
  501,
  503,
  538,
  550,
  552,
  554,
);

describe("a reply", () => {
  test("is well formed and has one enhanced code of its own class, whatever its text", () => {
    fc.assert(
      fc.property(
        code,
        fc.oneof(fc.string({ unit: "binary" }), fc.constant("9.9.9 x"), fc.constant("4.2.2 x")),
        (code, text) => {
          const line = replyLines(code, text, true);
          assert.match(line, /^[2-5]\d\d [\x20-\x7e]*\r\n$/);
          assert.ok(line.length <= 512);
          if (code === 354) return;
          assert.match(line.slice(4), new RegExp(`^${Math.trunc(code / 100)}\\.\\d{1,3}\\.\\d{1,3} `));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("keeps the enhanced code its text begins with, and does not double it", () => {
    assert.equal(replyLines(550, "5.7.1 No", true), "550 5.7.1 No\r\n");
    assert.equal(replyLines(452, "Too many", true), "452 4.0.0 Too many\r\n");
    assert.equal(replyLines(501, "Error", true), "501 5.5.4 Error\r\n");
    assert.equal(replyLines(421, "5.7.0 Go away", true), "421 4.7.0 Go away\r\n");
  });

  test("of many lines has the code on each", () => {
    assert.equal(replyLines(250, ["mx", "SIZE"], false), "250-mx\r\n250 SIZE\r\n");
    assert.equal(replyLines(550, ["one", "two"], true), "550-5.0.0 one\r\n550 5.0.0 two\r\n");
  });

  test("in the middle of an exchange has no enhanced code", () => {
    assert.equal(replyLines(334, "VXNlcm5hbWU6", true), "334 VXNlcm5hbWU6\r\n");
    assert.equal(replyLines(334, "", true), "334 \r\n");
  });
});

describe("a message that was not taken", () => {
  const answers: [DomainErrorCode, string][] = [
    ["message-too-large", "552 5.3.4"],
    ["delivery-loop", "554 5.4.6"],
    ["incomplete-message", "451 4.4.2"],
    ["too-many-recipients", "452 4.5.3"],
    ["no-recipients", "554 5.5.1"],
    ["bare-newline", "550 5.6.0"],
    ["needs-smtputf8", "550 5.6.9"],
    ["header-too-long", "554 5.6.0"],
    ["invalid-header", "554 5.6.0"],
    ["invalid-address", "554 5.6.0"],
    ["forbidden", "550 5.7.1"],
  ];
  for (const [mistake, start] of answers) {
    test(`is answered ${start} for ${mistake}, with the reason`, () => {
      const error = new DomainError(mistake, "this is why");
      const { code, text } = replyToFailure(error);
      assert.equal(`${code} ${text}`, `${start} this is why`);
      assert.equal(isMistake(error), true);
    });
  }

  test("is answered 451 4.3.0 for a fault of ours, with nothing of what it was", () => {
    for (const fault of [
      new Error("password=hunter2"),
      "text",
      null,
      new DomainError("invalid-config", "zone x is bad"),
    ]) {
      const { code, text } = replyToFailure(fault);
      assert.equal(`${code} ${text}`, "451 4.3.0 Could not store the message, try again later");
      assert.equal(isMistake(fault), false);
    }
  });

  test("is answered 452 4.3.1 when there is no space, however deep the error says so", () => {
    const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
    for (const error of [
      full,
      new Error("put failed", { cause: new Error("write failed", { cause: full }) }),
    ]) {
      const { code, text } = replyToFailure(error);
      assert.match(`${code} ${text}`, /^452 4\.3\.1 /);
    }
  });

  test("is answered though its error is its own cause", () => {
    const error = new Error("loop");
    error.cause = error;
    assert.equal(replyToFailure(error).code, 451);
  });
});
