import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import {
  MAX_LINE_BYTES,
  MAX_REPLY_BYTES,
  MAX_REPLY_LINES,
  ReplyParser,
} from "../../../sender/delivery/reply-parser.ts";
import type { RawReply } from "../../../sender/delivery/reply-parser.ts";

/** Feed the chunks one after the other. */
function parse(...chunks: (string | Buffer)[]): { replies: RawReply[]; problem: string | null } {
  const parser = new ReplyParser();
  const replies: RawReply[] = [];
  let problem: string | null = null;
  for (const chunk of chunks) problem ??= parser.feed(Buffer.from(chunk), (reply) => replies.push(reply));
  return { replies, problem };
}

const ok = (code: number, ...lines: string[]): RawReply => ({ code, lines, mixed: false });

describe("ReplyParser", () => {
  test("reads a reply of one line", () => {
    assert.deepEqual(parse("250 2.1.0 ok\r\n"), { replies: [ok(250, "2.1.0 ok")], problem: null });
  });

  test("reads a reply of many lines", () => {
    const { replies } = parse("250-mx.example\r\n250-PIPELINING\r\n250 SIZE 10\r\n");
    assert.deepEqual(replies, [ok(250, "mx.example", "PIPELINING", "SIZE 10")]);
  });

  test("reads several replies out of one chunk, in order", () => {
    const { replies } = parse("250 a\r\n550-b\r\n550 c\r\n354 d\r\n");
    assert.deepEqual(replies, [ok(250, "a"), ok(550, "b", "c"), ok(354, "d")]);
  });

  test("reads a reply that comes byte by byte", () => {
    const bytes = "220-one\r\n220 two\r\n250 x\r\n".split("");
    assert.deepEqual(parse(...bytes).replies, [ok(220, "one", "two"), ok(250, "x")]);
  });

  test("takes a bare LF as a line end", () => {
    assert.deepEqual(parse("250-a\n250 b\n354 c\r\n").replies, [ok(250, "a", "b"), ok(354, "c")]);
  });

  test("takes a code with no text, with or without the blank", () => {
    assert.deepEqual(parse("250\r\n250 \r\n250-\r\n250\r\n").replies, [
      ok(250, ""),
      ok(250, ""),
      ok(250, "", ""),
    ]);
  });

  test("takes any octets as text: NUL, Latin-1, UTF-8, other codes", () => {
    const { replies, problem } = parse(
      Buffer.from("550 \0\xe4\xff 250 ok\r\n", "latin1"),
      "250 grüß dich\r\n",
    );
    assert.equal(problem, null);
    assert.deepEqual(replies, [ok(550, "\0\ufffd\ufffd 250 ok"), ok(250, "grüß dich")]);
  });

  test("keeps unknown codes of the classes 2 to 5", () => {
    assert.deepEqual(parse("299 a\r\n456 b\r\n599 c\r\n").replies, [
      ok(299, "a"),
      ok(456, "b"),
      ok(599, "c"),
    ]);
  });

  test("takes the last code of the worst class when the lines of one reply differ, and says so", () => {
    assert.deepEqual(parse("250-a\r\n550-b\r\n551-c\r\n250 d\r\n").replies, [
      { code: 551, lines: ["a", "b", "c", "d"], mixed: true },
    ]);
    assert.deepEqual(parse("250-a\r\n450 b\r\n250 c\r\n").replies, [
      { code: 450, lines: ["a", "b"], mixed: true },
      ok(250, "c"),
    ]);
  });

  for (const line of [
    "",
    "hello",
    "25 x",
    "2500 x",
    "250ok",
    "199 x",
    "600 x",
    "000 x",
    " 250 x",
    "HTTP/1.1 400",
  ]) {
    test(`does not take ${JSON.stringify(line)} for a reply`, () => {
      const { replies, problem } = parse(`220 a\r\n${line}\r\n250 b\r\n`, "250 c\r\n");
      assert.match(problem ?? "", /^not an SMTP reply: /);
      assert.deepEqual(replies, [ok(220, "a")], "nothing is read after it");
    });
  }

  test("caps a line that never ends, at once and byte by byte", () => {
    assert.match(parse("2".repeat(MAX_LINE_BYTES + 1)).problem ?? "", /line of over 4096 bytes/);
    assert.match(parse(`250 ${"x".repeat(MAX_LINE_BYTES)}\r\n`).problem ?? "", /line of over 4096 bytes/);
    const bytes = Array.from({ length: MAX_LINE_BYTES + 1 }, () => "2");
    assert.match(parse(...bytes).problem ?? "", /line of over 4096 bytes/);
    assert.equal(parse(`250 ${"x".repeat(MAX_LINE_BYTES - 4)}\r\n`).problem, null);
  });

  test("caps a reply that never ends, by lines and by bytes", () => {
    assert.match(parse("250-x\r\n".repeat(MAX_REPLY_LINES + 1)).problem ?? "", /over 256 lines/);
    const long = `250-${"x".repeat(2_000)}\r\n`;
    assert.match(parse(long.repeat(MAX_REPLY_BYTES / 2_000 + 1)).problem ?? "", /over 65536 bytes/);
    assert.equal(parse(`${"250-x\r\n".repeat(MAX_REPLY_LINES - 1)}250 x\r\n`).problem, null);
  });

  test("counts lines and bytes for each reply anew", () => {
    const reply = `${"250-x\r\n".repeat(MAX_REPLY_LINES - 1)}250 x\r\n`;
    const { replies, problem } = parse(reply.repeat(3));
    assert.equal(problem, null);
    assert.equal(replies.length, 3);
  });

  test("reads nothing more once it is stopped, not even from the same chunk", () => {
    const parser = new ReplyParser();
    const replies: RawReply[] = [];
    parser.feed(Buffer.from("220 go\r\n250 injected\r\njunk\r\n"), (reply) => {
      replies.push(reply);
      parser.stop();
    });
    parser.feed(Buffer.from("250 injected\r\n"), (reply) => replies.push(reply));
    assert.deepEqual(replies, [ok(220, "go")]);
  });

  test("gives the same replies however the bytes are cut", () => {
    const line = fc.tuple(fc.integer({ min: 200, max: 599 }), fc.stringMatching(/^[ -~]{0,20}$/));
    const text = fc
      .array(fc.tuple(line, fc.nat(3), fc.constantFrom("\r\n", "\n")))
      .map((replies) =>
        replies
          .map(
            ([[code, words], more, end]) => `${`${code}-${words}${end}`.repeat(more)}${code} ${words}${end}`,
          )
          .join(""),
      );
    fc.assert(
      fc.property(text, fc.array(fc.nat(400)), (all, cuts) => {
        const edges = [0, ...cuts.filter((cut) => cut < all.length).toSorted((a, b) => a - b), all.length];
        const chunks = edges.slice(1).map((edge, at) => all.slice(edges[at], edge));
        assert.deepEqual(parse(...chunks), parse(all));
        assert.equal(parse(all).problem, null);
      }),
    );
  });
});
