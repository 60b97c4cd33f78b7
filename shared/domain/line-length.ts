/** No line that we compose is over 998 octets (RFC 5322 §2.1.1): a server on the way may refuse it, or cut it and with it a signature. */

import { DomainError } from "./errors.ts";
import { MAX_LINE_BYTES } from "./headers.ts";

const LF = 10;
/** So much of a line's beginning tells what it is. */
const SHOWN_BYTES = 40;

/** Gives the chunks as they are; every line ends in CRLF. Throws `invalid-body` at a line that is too long. */
export async function* refuseLongLines(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let begun: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    begun = lastLine(begun, chunk);
    yield chunk;
  }
}

/** The line that `chunk` does not end, of which `begun` is what came before. Checks all lines up to there. */
function lastLine(begun: Buffer, chunk: Buffer): Buffer {
  let line: Buffer = begun;
  let start = 0;
  for (;;) {
    const end = chunk.indexOf(LF, start);
    const rest = chunk.subarray(start, end === -1 ? chunk.length : end);
    if (line.length + rest.length > MAX_LINE_BYTES + "\r".length) throw tooLong(Buffer.concat([line, rest]));
    if (end === -1) return Buffer.concat([line, rest]);
    line = Buffer.alloc(0);
    start = end + 1;
  }
}

function tooLong(line: Buffer): DomainError {
  const beginning = JSON.stringify(line.toString("latin1", 0, SHOWN_BYTES));
  return new DomainError(
    "invalid-body",
    `The message would have a line of more than ${MAX_LINE_BYTES} bytes, which begins with ${beginning}: ` +
      "shorten it, break it with a space, or attach what it is in as application/octet-stream.",
  );
}
