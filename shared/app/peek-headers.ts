/** Read the header block at the front of a message that streams in, and give the stream back whole. */

import type { HeaderList } from "../domain/headers.ts";
import { HeaderReader } from "../domain/headers.ts";
import { MAX_HEADER_BYTES } from "../domain/intake.ts";
import { newlineFilter } from "../domain/newlines.ts";

/** What is held is the chunks up to the end of the block. A block over `MAX_HEADER_BYTES` is refused with `header-too-long`. */
export async function peekHeaders(
  source: AsyncIterable<Buffer>,
): Promise<{ headers: HeaderList; source: AsyncIterable<Buffer> }> {
  const reader = new HeaderReader(MAX_HEADER_BYTES);
  const newlines = newlineFilter("normalise"); // the headers are read as they will be stored
  const chunks = source[Symbol.asyncIterator]();
  const seen: Buffer[] = [];
  for (;;) {
    const next = await chunks.next();
    if (next.done !== true) seen.push(next.value);
    const ended = reader.feed(next.done === true ? newlines.end() : newlines.push(next.value)) !== null;
    if (ended || next.done === true) return { headers: reader.headers, source: resume(seen, chunks) };
  }
}

async function* resume(seen: readonly Buffer[], chunks: AsyncIterator<Buffer>): AsyncIterable<Buffer> {
  try {
    yield* seen;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  } finally {
    await chunks.return?.();
  }
}
