import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { EndOfData } from "../../../sender/feeder/end-of-data.ts";

interface Read {
  readonly content: string;
  /** What is behind the end; null: there was no end. */
  readonly rest: string | null;
}

/** Read `chunks` as they come; what follows the end is the rest of its chunk and the chunks after. */
function read(chunks: readonly string[]): Read {
  const reader = new EndOfData();
  let content = "";
  for (const [i, chunk] of chunks.entries()) {
    const rest = reader.take(Buffer.from(chunk, "latin1"), (piece) => {
      assert.ok(piece.length > 0, "no empty pieces");
      content += piece.toString("latin1");
    });
    if (rest !== null) return { content, rest: [rest.toString("latin1"), ...chunks.slice(i + 1)].join("") };
  }
  return { content, rest: null };
}

/** The standard, word for word: lines end in CRLF; a dot alone is the end, any other dot in front comes off. */
function model(text: string): Read {
  let content = "";
  let at = 0;
  for (;;) {
    const end = text.indexOf("\r\n", at);
    if (end === -1) return { content: content + openLine(text.slice(at)), rest: null };
    const line = text.slice(at, end);
    at = end + 2;
    if (line === ".") return { content, rest: text.slice(at) };
    content += `${line.replace(/^\./, "")}\r\n`;
  }
}

/** Of a line that is not complete, a dot, and a CR behind it, may still be the end. */
function openLine(line: string): string {
  return line === ".\r" ? "" : line.replace(/^\./, "");
}

function splitAt(text: string, cuts: readonly number[]): string[] {
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)), text.length].toSorted((a, b) => a - b);
  return places.slice(1).map((place, i) => text.slice(places[i], place));
}

const dataText = fc
  .array(fc.constantFrom("\r", "\n", ".", "x", "\r\n", "\r\n.", "\r\n.\r\n", "\r\n..\r\n", "text"), {
    maxLength: 24,
  })
  .map((parts) => parts.join(""));

describe("the end of a message", () => {
  test("is what the standard says, however the bytes are cut", () => {
    fc.assert(
      fc.property(dataText, fc.array(fc.nat(), { maxLength: 8 }), (text, cuts) => {
        assert.deepEqual(read(splitAt(text, cuts)), model(text));
      }),
      { numRuns: 5_000 },
    );
  });

  test("is found byte by byte as in one piece", () => {
    fc.assert(
      fc.property(dataText, (text) => {
        assert.deepEqual(read(text.split("")), model(text));
      }),
      { numRuns: 2_000 },
    );
  });

  test("is none of the ways to smuggle a second mail", () => {
    const smuggled = [
      "\n.\n",
      "\n.\r\n",
      "\r.\r",
      "\r.\r\n",
      "\r\n.\n",
      "\r\n.\r",
      "\n.\r",
      "\r\n.\0\r\n",
      "\r\n\n.\r\n",
    ];
    for (const end of smuggled) {
      const { rest } = read(`first${end}MAIL FROM:<x@evil.example>\r\n.\r\nQUIT`.split(""));
      assert.equal(rest, "QUIT", JSON.stringify(end));
    }
  });

  test("leaves bare line ends in the content for others to refuse", () => {
    assert.equal(read(["a\n.\r\nb\r\n.\r\n"]).content, "a\n.\r\nb\r\n");
    assert.equal(read(["a\r\n.\rb\r\n.\r\n"]).content, "a\r\n\rb\r\n");
  });

  test("is found in an empty message", () => {
    assert.deepEqual(read([".\r\nNOOP\r\n"]), { content: "", rest: "NOOP\r\n" });
  });
});
