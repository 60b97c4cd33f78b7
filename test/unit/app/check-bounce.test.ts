import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import fc from "fast-check";

import { checkBounce } from "#shared/app/check-bounce.ts";
import { classify } from "#shared/domain/bounce-class.ts";

const { cases } = JSON.parse(
  readFileSync(new URL("../../data/bounce-cases.json", import.meta.url), "utf8"),
) as { cases: { name: string; input: string; expect: { code: number; status: string | false } }[] };

const check = (text: string) => checkBounce(text, classify);

describe("what is said of a reply", () => {
  test("names code and status as ZoneMTA's tool does", () => {
    for (const { name, input, expect } of cases.filter(({ input }) => input !== "")) {
      const found = check(input);
      assert.deepEqual([found?.code, found?.status], [expect.code, expect.status], name);
    }
  });

  test("is of all its lines, however they end", () => {
    for (const end of ["\n", "\r\n", "\r"]) {
      const found = check(
        ["550-5.0.0 mail.example", "550-5.0.0 Sorry.", "550 5.0.0 The mailbox is full."].join(end),
      );
      assert.equal(found?.category, "capacity");
      assert.equal(found?.dsnStatus, "5.2.2", "what 5.0.0 does not say, the text does");
    }
  });

  test("is read from a log's line break in the middle of a sentence too", () => {
    assert.equal(
      check("550 5.1.1 The email account that you tried to reach\n does not exist.")?.rule,
      "no-such-recipient",
    );
  });

  test("goes by the words alone where there is no code, and waits where they say nothing", () => {
    assert.equal(check("Connection reset by peer")?.action, "defer");
    assert.equal(check("User unknown")?.action, "reject");
    assert.equal(check("Hello world")?.action, "defer");
    assert.equal(check("User unknown")?.code, 0);
    assert.equal(check("1234 5.1.1 x")?.code, 0);
  });

  test("takes a status that stands alone for the reply it belongs to", () => {
    assert.deepEqual([check("5.1.1 x")?.action, check("4.2.2 x")?.action], ["reject", "defer"]);
  });

  test("is nothing for nothing", () => {
    assert.equal(check(" \n "), null);
  });

  test("is always a verdict", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 3_000 }), (text) => {
        const found = check(text);
        assert.equal(found === null, text.trim() === "");
        if (found && found.code >= 400 && found.code < 500) assert.notEqual(found.action, "reject");
      }),
    );
  });
});
