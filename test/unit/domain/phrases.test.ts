import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { examplesOf, phraseIndex, wordsOf } from "#shared/domain/phrases.ts";

const index = phraseIndex([["mailbox .. full"], ["message .. reject*", "over quota"], ["mailbox"]]);
const find = (text: string) => index.first(wordsOf(text), () => true);

describe("a phrase", () => {
  test("is found as whole words, whatever stands between them", () => {
    assert.equal(find("user is OVER-QUOTA!"), 1);
    assert.equal(find("over\r\nquota"), 1);
    assert.equal(find("turnover quotas"), -1);
  });

  test("may have a gap, which is bounded", () => {
    assert.equal(find("your mailbox is now full"), 0);
    assert.equal(find("mailbox full"), 0);
    assert.equal(find(`mailbox ${"x".repeat(100)} full`), 2);
    assert.equal(find("full mailbox"), 2);
  });

  test("may end in the middle of a word", () => {
    assert.equal(find("message was rejected"), 1);
    assert.equal(find("message reject"), 1);
    assert.equal(find("message was unrejected"), -1);
  });

  test("of the first owner that is wanted wins", () => {
    const words = wordsOf("over quota: mailbox is full");
    assert.equal(
      index.first(words, () => true),
      0,
    );
    assert.equal(
      index.first(words, (owner) => owner !== 0),
      1,
    );
    assert.equal(
      index.first(words, (owner) => owner > 1),
      2,
    );
    assert.equal(
      index.first(words, () => false),
      -1,
    );
  });

  test("may offer a choice of words, at its beginning and after a gap", () => {
    const choices = phraseIndex([["(your/this) (ip/mail server) .. (blocked/bann*)"]]);
    const isFound = (text: string) => choices.first(wordsOf(text), () => true) === 0;
    assert.ok(isFound("Your IP is blocked"));
    assert.ok(isFound("this mail-server has been banned"));
    assert.ok(!isFound("your mail is blocked"));
    assert.ok(!isFound("your ip is unblocked"));
    assert.ok(!isFound(`your ip ${"x".repeat(100)} blocked`));
    assert.deepEqual(examplesOf("(a/b c) .. (d/e*)"), ["a x d", "b c x d", "a x d", "a x e"]);
  });

  test("is found with and without the accents of its letters", () => {
    const french = phraseIndex([["réputation", "заблокирован"]]);
    for (const text of ["mauvaise REPUTATION", "mauvaise réputation", "IP заблокирован"]) {
      assert.equal(
        french.first(wordsOf(text), () => true),
        0,
        text,
      );
    }
  });

  test("knows an IP address, of either version, from a time or a version number", () => {
    assert.equal(wordsOf("[192.0.2.1] and [2001:db8::1]:"), " ipaddr and ipaddr ");
    assert.equal(wordsOf("at 08:12:11 by 1.2.3.4.5"), " at 08 12 11 by 1 2 3 4 5 ");
  });

  test("is not found in an address", () => {
    assert.equal(find("<mailbox@full.example>: rejected"), -1);
  });

  test("in an empty text is not found", () => {
    assert.equal(find(""), -1);
    assert.equal(find("!!"), -1);
  });

  test("that begins with part of a word is a mistake in the data", () => {
    assert.throws(() => phraseIndex([["spam*"]]), /whole word: spam\*/);
  });
});
