/**
 * The lines after DATA (RFC 5321 §4.1.1.4, §4.5.2): finds their end and takes off the dots that the client has put in front.
 *
 * Only CRLF.CRLF ends a message (or .CRLF as its first line): a bare CR or LF next to the dot is content, or two programs could
 * read one stream as different mails (SMTP smuggling, CVE-2023-51764). Such content comes out unchanged for others to refuse.
 * This stands in for the same code of smtp-server, which leaves the dot of `.x`, steps through each byte and turns the event
 * loop once for every line with a dot.
 */

import assert from "node:assert/strict";

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const CRLF_DOT = Buffer.from("\r\n.");
const LONE_CR = Buffer.from("\r");

/** Where in a line the bytes read so far end. Those of `dot` and `dot-cr` (two at most) are held back from the content. */
type Position = "start" | "inside" | "cr" | "dot" | "dot-cr" | "over";

export class EndOfData {
  #position: Position = "start";

  /**
   * Read a chunk and give the content in it to `emit`, in order. The chunk is changed in place.
   * Null: the message goes on; else it is over, and these are the bytes behind it.
   */
  take(chunk: Buffer, emit: (content: Buffer) => void): Buffer | null {
    assert.ok(this.#position !== "over", "nothing is read after the end of a message");
    let kept = 0; // chunk[0, kept) is content, moved together
    let index = 0; // the next byte to read
    while (index < chunk.length && !this.#isOver()) {
      if (this.#position === "inside") {
        const found = chunk.indexOf(CRLF_DOT, index);
        const end = found === -1 ? chunk.length : found + 2;
        this.#position = found === -1 ? positionAfter(chunk, index) : "start";
        kept = moveDown(chunk, kept, index, end);
        index = end;
      } else if (this.#position === "cr" && chunk[index] === LF) {
        this.#position = "start";
        kept = moveDown(chunk, kept, index, index + 1);
        index += 1;
      } else if (this.#position === "dot-cr" && chunk[index] !== LF) {
        this.#position = "inside"; // the dot was in front of a line that goes on with a bare CR
        if (index === 0) emit(LONE_CR);
        else kept = moveDown(chunk, kept, index - 1, index);
      } else {
        index += this.#step(chunk[index] as number);
      }
    }
    if (kept > 0) emit(chunk.subarray(0, kept));
    return this.#isOver() ? chunk.subarray(index) : null;
  }

  /** At the beginning of a line or behind a CR, where no content is taken. Returns how many bytes are used up. */
  #step(byte: number): 0 | 1 {
    const before = this.#position;
    if (before === "start" && byte === DOT) this.#position = "dot";
    else if (before === "dot" && byte === CR) this.#position = "dot-cr";
    else if (before === "dot-cr") this.#position = "over";
    else this.#position = "inside";
    return this.#position === "inside" ? 0 : 1;
  }

  #isOver(): boolean {
    return this.#position === "over";
  }
}

/** Where the line stands at the end of `chunk` when nothing from `from` on begins with a dot. */
function positionAfter(chunk: Buffer, from: number): Position {
  const last = chunk.length - 1;
  if (chunk[last] === CR) return "cr";
  return chunk[last] === LF && last > from && chunk[last - 1] === CR ? "start" : "inside";
}

/** Move chunk[from, end) to `to`. Returns the end of what is moved. */
function moveDown(chunk: Buffer, to: number, from: number, end: number): number {
  if (to !== from) chunk.copyWithin(to, from, end);
  return to + end - from;
}
