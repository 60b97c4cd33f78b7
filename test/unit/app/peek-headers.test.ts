import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { peekHeaders } from "#shared/app/peek-headers.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { headerValue } from "#shared/domain/headers.ts";
import { MIB } from "#shared/domain/units.ts";

async function* chunksOf(text: string, size: number): AsyncIterable<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function textOf(source: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("the headers are read whatever ends their lines and wherever the chunks are cut, and the stream is whole after it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom("\n", "\r\n", "\r"), { minLength: 5, maxLength: 5 }),
      fc.integer({ min: 1, max: 40 }),
      async ([a, b, c, d, e], size) => {
        const text = `From: a@b.example${a}To: c@d.example,${b} e@f.example${c}${d === "\n" && c === "\r" ? "\r\n" : d}Subject: not one${e}`;
        const { headers, source } = await peekHeaders(chunksOf(text, size));
        assert.deepEqual(
          headers.map((header) => [header.key, headerValue(header)]),
          [
            ["from", "a@b.example"],
            ["to", "c@d.example, e@f.example"],
          ],
        );
        assert.equal(await textOf(source), text);
      },
    ),
    { numRuns: 200 },
  );
});

test("a message that is headers only, without a last line end, has them", async () => {
  const { headers, source } = await peekHeaders(chunksOf("From: a@b.example\r\nTo: c@d.example", 7));
  assert.deepEqual(
    headers.map(({ key }) => key),
    ["from", "to"],
  );
  assert.equal(await textOf(source), "From: a@b.example\r\nTo: c@d.example");
});

test("only what is needed is read before the rest is asked for", async () => {
  let read = 0;
  async function* endless(): AsyncIterable<Buffer> {
    for (;;) yield Buffer.from(read++ === 0 ? "From: a@b.example\r\n\r\n" : "more\r\n");
  }
  const { source } = await peekHeaders(endless());
  assert.equal(read, 1);
  for await (const _ of source) if (read > 5) break;
});

test("headers without end are refused, and little is held", async () => {
  async function* endless(): AsyncIterable<Buffer> {
    for (;;) yield Buffer.from(`X-A: ${"a".repeat(900)}\r\n`.repeat(100));
  }
  await assert.rejects(
    peekHeaders(endless()),
    (error) => error instanceof DomainError && error.code === "header-too-long",
  );
  async function* oneLine(): AsyncIterable<Buffer> {
    for (let bytes = 0; bytes < 4 * MIB; bytes += 65_536) yield Buffer.from(`X-A:${"a".repeat(65_532)}`);
  }
  await assert.rejects(
    peekHeaders(oneLine()),
    (error) => error instanceof DomainError && error.code === "header-too-long",
  );
});
