/**
 * Reads the replies of an SMTP peer out of bytes, however they are cut (RFC 5321 §4.2). It knows nothing of commands: which
 * reply answers what is the session's business (smtp-client.ts).
 *
 * Tolerated: a bare LF as line end, a missing text, any octets in the text, lines far over the 512 octets of §4.5.3.1.5.
 * Not tolerated: a line that is not `<three digits>[ -]…`. Under pipelining nobody could say any more which command the
 * next reply belongs to. Memory is bounded by `MAX_REPLY_BYTES`.
 */

/** A reply as it came. `smtpReply(code, lines)` makes the domain's form of it, which costs more and is often not needed. */
export interface RawReply {
  /** 200 to 599. */
  readonly code: number;
  /** Text of each line, without code and separator. */
  readonly lines: readonly string[];
  /** True: its lines had different codes, and `code` is the last one of the worst class. The peer is not to be trusted on. */
  readonly mixed: boolean;
}

/** An EHLO reply of the largest real servers has some 30 lines; a policy essay in a refusal some 20. */
export const MAX_REPLY_LINES = 256;
export const MAX_LINE_BYTES = 4_096;
export const MAX_REPLY_BYTES = 65_536;

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const DASH = 0x2d;
const ZERO = 0x30;

export class ReplyParser {
  /** The start of a line whose end has not come yet; null: at a line start. */
  #partial: Buffer | null = null;
  /** Lines of a reply whose last line has not come yet. */
  #lines: string[] = [];
  #bytes = 0;
  #code = 0;
  #mixed = false;
  #stopped = false;

  /**
   * Give each reply that is complete with `chunk` to `onReply`, in order. Answers what is wrong with the bytes, or null;
   * after an error it reads nothing more.
   */
  feed(chunk: Buffer, onReply: (reply: RawReply) => void): string | null {
    let start = 0;
    while (!this.#stopped) {
      const end = chunk.indexOf(LF, start);
      if (end < 0) return this.#keep(chunk, start);
      const problem = this.#partial
        ? this.#joinedLine(chunk.subarray(start, end), onReply)
        : this.#line(chunk, start, end, onReply);
      if (problem !== null) return this.#fail(problem);
      start = end + 1;
    }
    return null;
  }

  /** Read nothing more, not even the rest of the chunk that is being fed. */
  stop(): void {
    this.#stopped = true;
    this.#partial = null;
    this.#lines = [];
  }

  #keep(chunk: Buffer, start: number): string | null {
    if (start === chunk.length) return null;
    const rest = chunk.subarray(start);
    const partial = this.#partial ? Buffer.concat([this.#partial, rest]) : Buffer.from(rest); // not holding all of the chunk
    if (partial.length > MAX_LINE_BYTES) return this.#fail(`a reply line of over ${MAX_LINE_BYTES} bytes`);
    this.#partial = partial;
    return null;
  }

  #joinedLine(rest: Buffer, onReply: (reply: RawReply) => void): string | null {
    const line = Buffer.concat([this.#partial ?? rest, rest]);
    this.#partial = null;
    return this.#line(line, 0, line.length, onReply);
  }

  /** The line is `bytes` from `start` up to the LF at `lineEnd`. */
  #line(bytes: Buffer, start: number, lineEnd: number, onReply: (reply: RawReply) => void): string | null {
    const end = lineEnd > start && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
    if (end - start > MAX_LINE_BYTES) return `a reply line of over ${MAX_LINE_BYTES} bytes`;
    const code = end - start >= 3 ? codeAt(bytes, start) : 0;
    const separator = end - start > 3 ? bytes[start + 3] : SPACE;
    if (code === 0 || (separator !== SPACE && separator !== DASH)) {
      return `not an SMTP reply: ${excerpt(bytes.subarray(start, end))}`;
    }
    const text = bytes.toString("utf8", Math.min(start + 4, end), end);
    if (separator === SPACE && this.#lines.length === 0) {
      onReply({ code, lines: [text], mixed: false }); // nearly every reply
      return null;
    }
    return this.#longReply(code, text, { last: separator === SPACE, bytes: end - start }, onReply);
  }

  #longReply(
    code: number,
    text: string,
    line: { last: boolean; bytes: number },
    onReply: (reply: RawReply) => void,
  ): string | null {
    this.#bytes += line.bytes;
    if (this.#lines.length === 0) this.#code = code;
    if (code !== this.#code) this.#mixed = true;
    if (Math.trunc(code / 100) >= Math.trunc(this.#code / 100)) this.#code = code;
    this.#lines.push(text);
    if (this.#lines.length > MAX_REPLY_LINES) return `a reply of over ${MAX_REPLY_LINES} lines`;
    if (this.#bytes > MAX_REPLY_BYTES) return `a reply of over ${MAX_REPLY_BYTES} bytes`;
    if (!line.last) return null;
    const reply = { code: this.#code, lines: this.#lines, mixed: this.#mixed };
    this.#lines = [];
    this.#bytes = 0;
    this.#mixed = false;
    onReply(reply);
    return null;
  }

  #fail(problem: string): string {
    this.stop();
    return problem;
  }
}

/** The three digits as a number; 0: they are not a reply code of SMTP. */
function codeAt(bytes: Buffer, start: number): number {
  const first = (bytes[start] as number) - ZERO;
  const second = (bytes[start + 1] as number) - ZERO;
  const third = (bytes[start + 2] as number) - ZERO;
  if (first < 2 || first > 5 || second < 0 || second > 9 || third < 0 || third > 9) return 0;
  return first * 100 + second * 10 + third;
}

/** The first bytes, safe to show. */
function excerpt(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1", 0, 60));
}
