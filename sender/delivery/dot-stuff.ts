/**
 * The form of the content between DATA and its end (RFC 5321 §4.5.2): a line that begins with a dot gets a second one, and
 * CRLF "." CRLF ends it exactly once. It changes nothing else: stored messages have CRLF line ends already (§2.3.8).
 */

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
const NEW_LINE_DOT = Buffer.from("\n.");

const AFTER_LINE_END = Buffer.from(".\r\n");
const AFTER_CR = Buffer.from("\n.\r\n");
const AFTER_TEXT = Buffer.from("\r\n.\r\n");

export class DotStuffer {
  #last = LF; // the CRLF of the DATA command is the line end before the first line
  #lastButOne = CR;

  /**
   * The chunk as it goes on the wire: itself when no line in it begins with a dot, and otherwise a copy.
   * A dot after a bare LF is doubled too. Stored messages have none; if one did, no receiver that takes LF for a line end
   * could be made to see the end of the mail there.
   */
  stuff(chunk: Buffer): Buffer {
    if (chunk.length === 0) return chunk;
    const dots = countLineStartDots(chunk, this.#last);
    const stuffed = dots === 0 ? chunk : copyStuffed(chunk, { dots, before: this.#last });
    this.#lastButOne = chunk.length > 1 ? (chunk[chunk.length - 2] as number) : this.#last;
    this.#last = chunk[chunk.length - 1] as number;
    return stuffed;
  }

  /** What ends the content after all chunks. */
  end(): Buffer {
    if (this.#last === LF && this.#lastButOne === CR) return AFTER_LINE_END;
    return this.#last === CR ? AFTER_CR : AFTER_TEXT;
  }
}

function countLineStartDots(chunk: Buffer, before: number): number {
  let dots = before === LF && chunk[0] === DOT ? 1 : 0;
  for (let at = chunk.indexOf(NEW_LINE_DOT); at >= 0; at = chunk.indexOf(NEW_LINE_DOT, at + 2)) dots += 1;
  return dots;
}

function copyStuffed(chunk: Buffer, known: { dots: number; before: number }): Buffer {
  const copy = Buffer.allocUnsafe(chunk.length + known.dots);
  let from = 0;
  let to = 0;
  if (known.before === LF && chunk[0] === DOT) copy[to++] = DOT;
  for (let at = chunk.indexOf(NEW_LINE_DOT); at >= 0; at = chunk.indexOf(NEW_LINE_DOT, at + 2)) {
    to += chunk.copy(copy, to, from, at + 1);
    copy[to++] = DOT;
    from = at + 1;
  }
  chunk.copy(copy, to, from);
  return copy;
}
