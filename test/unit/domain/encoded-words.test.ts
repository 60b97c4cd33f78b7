import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { decodeWords } from "#shared/domain/encoded-words.ts";

describe("encoded words", () => {
  const cases: Record<string, string> = {
    plain: "plain",
    "=?utf-8?Q?caf=C3=A9_au_lait?=": "caf\u{e9} au lait",
    "=?UTF-8?B?w6k=?=": "\u{e9}",
    "a =?utf-8?q?b?= c": "a b c",
    "=?utf-8?q?a?= =?utf-8?q?b?=": "ab",
    "=?utf-8?q?a?=\t  =?iso-8859-1?q?=E9?=": "a\u{e9}",
    "=?utf-8?b?w6k=?= =?utf-8?q?=C3?= =?utf-8?q?=A9?=": "\u{e9}\u{e9}",
    "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=": "\u{65e5}\u{672c}",
    "=?utf-8*en?q?x?=": "x",
    "=?x-unknown?q?a?=": "=?x-unknown?q?a?=",
    "=?x-unknown?q?a?= =?utf-8?q?b?=": "=?x-unknown?q?a?=b",
    "=?utf-8?x?a?=": "=?utf-8?x?a?=",
    "=?utf-8?q?open": "=?utf-8?q?open",
    "=?=?utf-8?q?a?=": "=?a",
  };
  for (const [text, decoded] of Object.entries(cases)) {
    test(`${JSON.stringify(text)} reads ${JSON.stringify(decoded)}`, () => {
      assert.equal(decodeWords(text), decoded);
    });
  }
});
