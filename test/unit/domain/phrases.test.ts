import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { phraseIndex, wordsOf } from "#shared/domain/phrases.ts";

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
