/**
 * The content of a mail onto a session: dot-stuffed, no faster than the peer reads, and without the final dot, which
 * transaction.ts sends and waits on.
 */

import { DotStuffer } from "./dot-stuff.ts";
import type { SmtpSession } from "./smtp-client.ts";

export interface Content {
  /** Lines to send first: Received and signatures. */
  readonly head: Buffer;
  /** The stored message. What is in memory anyway is best given as an array: no wait lies between its chunks. */
  readonly chunks: Iterable<Buffer> | AsyncIterable<Buffer>;
}

/** Up to this is kept back to go out with the dot in one packet: a small mail is one write. */
const MAX_HELD_BYTES = 32_768;
/** A larger chunk is cut, so that the time for a block measures progress. */
const MAX_WRITE_BYTES = 262_144;

/**
 * Write the content but for its end, which comes back with the dot. Null: the session failed.
 * Rejects when the content cannot be read.
 */
export async function writeContent(session: SmtpSession, content: Content): Promise<Buffer | null> {
  const stuffer = new DotStuffer();
  let held = [stuffer.stuff(content.head)];
  let heldBytes = content.head.length;
  const take = (chunk: Buffer): Promise<void> | null => {
    held.push(stuffer.stuff(chunk));
    heldBytes += chunk.length;
    if (heldBytes <= MAX_HELD_BYTES) return null;
    const pieces = held;
    held = [];
    heldBytes = 0;
    return writeAll(session, pieces);
  };
  const { chunks } = content;
  await (Symbol.iterator in chunks ? takeAll(session, chunks, take) : pullAll(session, chunks, take));
  if (session.failure !== null) return null;
  held.push(stuffer.end());
  return Buffer.concat(held);
}

/** Take a chunk. Null: go on at once; else wait first. */
type Take = (chunk: Buffer) => Promise<void> | null;

async function takeAll(session: SmtpSession, chunks: Iterable<Buffer>, take: Take): Promise<void> {
  for (const chunk of chunks) {
    const wait = take(chunk);
    if (wait !== null) await wait;
    if (session.failure !== null) return;
  }
}

async function pullAll(session: SmtpSession, chunks: AsyncIterable<Buffer>, take: Take): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  let done = false;
  try {
    while (session.failure === null) {
      const next = await session.awaitContent(iterator.next());
      done = next?.done === true;
      if (next === null || next.done === true) return;
      const wait = take(next.value);
      if (wait !== null) await wait;
    }
  } finally {
    // Not awaited: a source that hangs would hold us, and nobody needs to know how its end went.
    if (!done) iterator.return?.().catch(() => undefined);
  }
}

async function writeAll(session: SmtpSession, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    for (let from = 0; from < piece.length; from += MAX_WRITE_BYTES) {
      const wait = session.write(piece.subarray(from, from + MAX_WRITE_BYTES));
      if (wait !== null) await wait;
    }
  }
}
