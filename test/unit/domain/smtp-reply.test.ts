import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { MAX_REPLY_TEXT, printReply, replyClass, smtpReply } from "#shared/domain/smtp-reply.ts";

describe("an SMTP reply", () => {
  test("of many lines is one text, with the enhanced code taken out of each line", () => {
    const reply = smtpReply(550, ["5.1.1 The account does not exist.", "5.1.1 Please try", "5.1.1 again"]);
    assert.deepEqual(reply, {
      code: 550,
      enhanced: "5.1.1",
      text: "The account does not exist. Please try again",
    });
    assert.equal(printReply(reply), "550 5.1.1 The account does not exist. Please try again");
  });

  test("has the first enhanced code of the reply code's own class", () => {
    assert.deepEqual(smtpReply(450, ["5.1.1 one", "4.2.0 two", "4.2.1 three"]), {
      code: 450,
      enhanced: "4.2.0",
      text: "5.1.1 one two three",
    });
  });

  const enhanced: [string, string | null, string][] = [
    ["5.7.1", "5.7.1", ""],
    ["5.7.1: Blocked", "5.7.1", "Blocked"],
    ["5.7.133 Long", "5.7.133", "Long"],
    ["5.1.2.3 is an address", null, "5.1.2.3 is an address"],
    ["5.1 short", null, "5.1 short"],
    ["see 5.1.1", null, "see 5.1.1"],
    ["5.7.1-x", null, "5.7.1-x"],
  ];
  for (const [line, code, text] of enhanced) {
    test(`reads ${JSON.stringify(line)} as ${code ?? "no enhanced code"}`, () => {
      assert.deepEqual(smtpReply(550, [line]), { code: 550, enhanced: code, text });
    });
  }

  test("without text prints as its code", () => {
    assert.equal(printReply(smtpReply(550, [""])), "550");
    assert.equal(printReply(smtpReply(550, [])), "550");
  });

  test("shows nothing that could end a line, turn the direction of text, or be half a character", () => {
    assert.equal(smtpReply(550, ["a\rb\u2028c\u202ed\x1b[31me\ud800f\u0085g"]).text, "a b c d [31me f g");
    assert.equal(smtpReply(550, ["Postfach überfüllt 满"]).text, "Postfach überfüllt 满");
  });

  test("is cut at a whole character", () => {
    const { text } = smtpReply(550, [`${"a".repeat(MAX_REPLY_TEXT - 1)}😀`]);
    assert.equal(text, "a".repeat(MAX_REPLY_TEXT - 1));
  });

  test("is printable and bounded whatever the peer says", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }),
        fc.array(fc.string({ unit: "binary", maxLength: 400 })),
        (code, lines) => {
          const { text } = smtpReply(code, lines);
          assert.ok(text.length <= MAX_REPLY_TEXT);
          assert.doesNotMatch(text, /[\p{C}\p{Zl}\p{Zp}]/u);
        },
      ),
    );
  });

  test("is judged by its first digit", () => {
    assert.deepEqual(
      [250, 354, 421, 599].map((code) => replyClass(smtpReply(code, []))),
      [2, 3, 4, 5],
    );
  });
});
