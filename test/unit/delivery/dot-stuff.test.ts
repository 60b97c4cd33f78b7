import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { DotStuffer } from "../../../sender/delivery/dot-stuff.ts";

function stuffed(...chunks: string[]): string {
  const stuffer = new DotStuffer();
  const pieces = chunks.map((chunk) => stuffer.stuff(Buffer.from(chunk, "latin1")));
  return Buffer.concat([...pieces, stuffer.end()]).toString("latin1");
}

/** A receiver by the book (RFC 5321 §4.5.2): the content, and what is left over after its end. */
function strictlyReceived(wire: string): { content: string; rest: string } {
  const framed = `\r\n${wire}`; // the CRLF of the DATA command
  const end = framed.indexOf("\r\n.\r\n");
  const content = framed.slice(0, end + 2).replaceAll("\r\n.", "\r\n");
  return { content: content.slice(2), rest: framed.slice(end + 5) };
}

/** A receiver that takes a bare LF for a line end: where it sees the content end. */
function laxEnd(wire: string): number {
  const match = /(?:^|\n)\.\r?\n/.exec(wire);
  return match ? match.index + match[0].length : -1;
}

describe("DotStuffer", () => {
  test("doubles a dot at the start of the content and of a line, and no other", () => {
    assert.equal(stuffed(".a\r\n..b\r\nc.\r\n.\r\n"), "..a\r\n...b\r\nc.\r\n..\r\n.\r\n");
  });

  test("sees a line start across a chunk border", () => {
    assert.equal(stuffed("a\r\n", ".b\r\n"), "a\r\n..b\r\n.\r\n");
    assert.equal(stuffed("a\r", "\n.b\r\n"), "a\r\n..b\r\n.\r\n");
    assert.equal(stuffed("a\r", "\n", "", ".", "b\r\n"), "a\r\n..b\r\n.\r\n");
    assert.equal(stuffed("a", ".b\r\n"), "a.b\r\n.\r\n");
  });

  test("ends with CRLF, dot, CRLF exactly once, whatever the content ends with", () => {
    assert.equal(stuffed(""), ".\r\n");
    assert.equal(stuffed("a\r\n"), "a\r\n.\r\n");
    assert.equal(stuffed("a"), "a\r\n.\r\n");
    assert.equal(stuffed("a\r"), "a\r\n.\r\n");
    assert.equal(stuffed("a\n"), "a\n\r\n.\r\n");
    assert.equal(stuffed("a\r\n", ""), "a\r\n.\r\n");
    assert.equal(stuffed("a\r", "\n"), "a\r\n.\r\n");
  });

  test("gives back the very same bytes when there is nothing to double", () => {
    const chunk = Buffer.from("a.b\r\nc\r\n");
    assert.equal(new DotStuffer().stuff(chunk), chunk);
  });

  test("a receiver by the book reads back what was sent, and nothing after it", () => {
    const content = fc
      .array(fc.stringMatching(/^[.ab\xe4]{0,5}$/), { maxLength: 8 })
      .map((lines) => lines.map((line) => `${line}\r\n`).join(""));
    fc.assert(
      fc.property(content, fc.array(fc.nat(40)), (all, cuts) => {
        const edges = [0, ...cuts.filter((cut) => cut < all.length).toSorted((a, b) => a - b), all.length];
        const chunks = edges.slice(1).map((edge, at) => all.slice(edges[at], edge));
        assert.deepEqual(strictlyReceived(stuffed(...chunks)), { content: all, rest: "" });
      }),
    );
  });

  test("no bytes at all make a receiver of either kind see an end before the end", () => {
    const bytes = fc
      .array(fc.constantFrom("\r", "\n", ".", "a"), { maxLength: 12 })
      .map((chars) => chars.join(""));
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 4 }), (chunks) => {
        const wire = stuffed(...chunks);
        assert.equal(strictlyReceived(wire).rest, "");
        assert.equal(laxEnd(wire), wire.length);
      }),
    );
  });
});
