/**
 * The DKIM body hash, computed while a message streams in (RFC 6376 §3.4.4 relaxed, §3.7): SHA-256 over the content with runs
 * of white space as one space, none at line ends, and no empty lines at the end. Keys and signatures are in dkim.ts.
 *
 * The canonical form is made byte by byte into a scratch buffer: about 0.9 GB/s whatever the content is. Searching for what
 * needs a change is no faster on plain text, and on content made for it (a tab every third byte) forty times slower.
 */

import { createHash } from "node:crypto";

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

/** Input is taken in slices that fit the scratch with what is held back: at most CR, a space and one CRLF. */
const SLICE_BYTES = 64 * 1_024;
const HELD_BYTES = 4;
/** Shared by all hashers: it is filled and hashed inside one call. */
const scratch = Buffer.allocUnsafeSlow(SLICE_BYTES + HELD_BYTES);
const EMPTY_LINES = Buffer.from("\r\n".repeat(2_048));

/** Feed it the content in order, cut anywhere. */
export class RelaxedBodyHasher {
  readonly #hash = createHash("sha256");
  /** Line ends not written yet: they may be the empty lines at the end. */
  #lineEnds = 0;
  /** White space not written yet, after those: the line may end after it. */
  #space = false;
  /** A CR not written yet, after that: it may be half of a line end. */
  #cr = false;
  #empty = true;

  update(content: Buffer): void {
    for (let at = 0; at < content.length; at += SLICE_BYTES) {
      this.#updateSlice(content.subarray(at, at + SLICE_BYTES));
    }
  }

  /** Base64, as in `bh=`. Ends the hasher. */
  digest(): string {
    if (this.#cr) {
      this.#write(this.#hold(0));
      this.#hash.update("\r");
    }
    if (!this.#empty) this.#hash.update("\r\n");
    return this.#hash.digest("base64");
  }

  #updateSlice(bytes: Buffer): void {
    let used = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      if (this.#cr) {
        this.#cr = false;
        if (byte === LF) {
          this.#lineEnds++;
          this.#space = false;
          continue;
        }
        used = this.#hold(used);
        scratch[used++] = CR; // it stood alone: a byte like others
      }
      if (byte === CR) {
        this.#cr = true;
      } else if (byte === SPACE || byte === TAB) {
        this.#space = true;
      } else {
        if (this.#space || this.#lineEnds > 0) used = this.#hold(used);
        scratch[used++] = byte;
      }
    }
    this.#write(used);
  }

  /** What was held back turned out to stand before more content: put it into the scratch from `used` on, and give the new end. */
  #hold(used: number): number {
    let end = used;
    // line ends of earlier slices may be any number; nothing can be in the scratch before them
    if (end === 0 && this.#lineEnds > 1) this.#writeLineEnds();
    for (; this.#lineEnds > 0; this.#lineEnds--) {
      scratch[end++] = CR;
      scratch[end++] = LF;
    }
    if (this.#space) scratch[end++] = SPACE;
    this.#space = false;
    return end;
  }

  #writeLineEnds(): void {
    this.#empty = false;
    while (this.#lineEnds > 0) {
      const count = Math.min(this.#lineEnds, EMPTY_LINES.length / 2);
      this.#hash.update(EMPTY_LINES.subarray(0, count * 2));
      this.#lineEnds -= count;
    }
  }

  #write(used: number): void {
    if (used === 0) return;
    this.#hash.update(scratch.subarray(0, used));
    this.#empty = false;
  }
}
