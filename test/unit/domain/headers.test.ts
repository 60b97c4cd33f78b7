import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  HeaderReader,
  addressesOf,
  allValues,
  firstValue,
  headerLine,
  headerValue,
  lastValue,
  parseHeaders,
} from "#shared/domain/headers.ts";

const block = (...lines: string[]): Buffer => Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
const invalid = { name: "DomainError", code: "invalid-header" };

describe("reading a header block", () => {
  test("lines keep their bytes, and joined are the block", () => {
    const bytes = block("From: a@b.example", "X-Long:  one", "\ttwo", "  three ", "sUbject : caf\u{e9}");
    const headers = parseHeaders(bytes);
    assert.deepEqual(
      headers.map((header) => [header.name, header.key]),
      [
        ["From", "from"],
        ["X-Long", "x-long"],
        ["sUbject", "subject"],
      ],
    );
    const joined = headers.map((header) => header.line).join("");
    assert.deepEqual(Buffer.from(`${joined}\r\n`, "latin1"), bytes);
  });

  test("values are unfolded, trimmed and decoded from UTF-8", () => {
    const headers = parseHeaders(block("A:  one", "\ttwo  ", "B: voil\u{e0}", "A:", "C:\u{a0}x\u{a0}"));
    assert.deepEqual(headers.map(headerValue), ["one\ttwo", "voil\u{e0}", "", "\u{a0}x\u{a0}"]);
    assert.equal(firstValue(headers, "a"), "one\ttwo");
    assert.equal(lastValue(headers, "a"), "");
    assert.deepEqual(allValues(headers, "a"), ["one\ttwo", ""]);
    assert.equal(firstValue(headers, "d"), null);
  });

  test("a million spaces in a value are read at once", () => {
    const headers = parseHeaders(block(`A: x${" ".repeat(1_000_000)}y`));
    assert.equal(headerValue(headers[0] as never).length, 1_000_002); // a quadratic reader would not come back
  });

  test("addresses come out of names, quotes, comments and groups, in the order of the headers", () => {
    const headers = parseHeaders(
      block(
        'To: "Doe, Jane" <jane@One.example>, plain@two.example',
        "Cc: friends: a@three.example, B (note) <b@four.example>;, not an address",
        "X-To: other@five.example",
      ),
    );
    assert.deepEqual(addressesOf(headers, ["to", "cc"]), [
      "jane@one.example",
      "plain@two.example",
      "a@three.example",
      "b@four.example",
    ]);
  });

  test("the content after the empty line is given back, wherever the pieces were cut", () => {
    const bytes = Buffer.from("A: 1\r\n 2\r\n\r\ncontent\r\n");
    for (let cut = 0; cut <= bytes.length; cut++) {
      const reader = new HeaderReader(100);
      const first = reader.feed(bytes.subarray(0, cut));
      const content = first ?? reader.feed(bytes.subarray(cut));
      const rest = first === null ? Buffer.alloc(0) : bytes.subarray(cut);
      assert.equal(Buffer.concat([content as Buffer, rest]).toString(), "content\r\n", `cut at ${cut}`);
      assert.deepEqual(
        reader.headers.map((header) => header.line),
        ["A: 1\r\n 2\r\n"],
      );
    }
  });

  test("a block may have as many bytes as allowed and not one more", () => {
    const bytes = Buffer.from("A: 1\r\nB: 2\r\n\r\n");
    assert.ok(new HeaderReader(12).feed(bytes));
    assert.throws(() => new HeaderReader(11).feed(bytes), { code: "header-too-long" });
  });

  test("a header line without end is refused while it comes, in tiny pieces too", () => {
    const reader = new HeaderReader(200_000);
    reader.feed(Buffer.from("Subject: "));
    const piece = Buffer.from("x");
    assert.throws(
      () => {
        for (let i = 0; i < 300_000; i++) reader.feed(piece);
      },
      { code: "header-too-long" },
    );
  });
});

describe("building a header line", () => {
  test("a short value stays on its line", () => {
    assert.equal(headerLine("Subject", " hello \u{e4} "), "Subject: hello \u{e4}\r\n");
    assert.equal(headerLine("Subject", ""), "Subject:\r\n");
  });

  test("a long value is folded before white space, and unfolds to itself", () => {
    const value = "word ".repeat(60).trim();
    const line = headerLine("X-Long", value);
    assert.ok(line.split("\r\n").every((part) => part.length <= 78));
    assert.ok(line.split("\r\n").length > 3);
    assert.equal(firstValue(parseHeaders(Buffer.from(line)), "x-long"), value);
  });

  test("a word that fits no line of 998 bytes is refused", () => {
    assert.equal(headerLine("A", "x".repeat(997)), `A:\r\n ${"x".repeat(997)}\r\n`);
    assert.throws(() => headerLine("A", "x".repeat(998)), invalid);
  });

  for (const bad of [
    "\r",
    "\n",
    "\r\nBcc: x@y.example",
    "\0",
    "\u{b}",
    "\u{1b}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{d800}",
  ]) {
    test(`a value with ${JSON.stringify(bad)} is refused, not flattened`, () => {
      assert.throws(() => headerLine("Subject", `a${bad}b`), invalid);
    });
  }

  for (const bad of ["", "A:", "A B", "A\r\nB", "\u{e4}", "A\0", "x".repeat(78)]) {
    test(`${JSON.stringify(bad.slice(0, 12))} is refused as a name`, () => {
      assert.throws(() => headerLine(bad, "x"), invalid);
    });
  }
});
