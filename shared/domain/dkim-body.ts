/**
 * The DKIM body hash, computed while a message streams in (RFC 6376 §3.4.4 relaxed, §3.7): SHA-256 over the content with runs
 * of white space as one space, none at line ends, and no empty lines at the end. Keys and signatures are in dkim.ts.
 *
 * Most content is in the canonical form already, but for the empty lines at its end: a slice that is, is found out by a look at its
 * white space and hashed as it stands. Any other slice is made canonical byte by byte into a scratch buffer, at about 0.45 GB/s
 * with the hash whatever it is made of.
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
      const slice = content.subarray(at, at + SLICE_BYTES);
      if (this.#space || this.#cr || !isCanonical(slice)) this.#updateSlice(slice);
      else this.#updateCanonical(slice);
    }
  }

  /** Base64, as in `bh=`. Ends the hasher. */
  digest(): string {
    if (this.#cr) this.#write(this.#release(0, { lineEnds: this.#lineEnds, space: this.#space, cr: true }));
    if (!this.#empty) this.#hash.update("\r\n");
    return this.#hash.digest("base64");
  }

  /** All of it but what has to be held back at its end: CRLFs, then a space, then a CR. */
  #updateCanonical(bytes: Buffer): void {
    let end = bytes.length;
    const cr = bytes[end - 1] === CR;
    if (cr) end--;
    const space = end > 0 && bytes[end - 1] === SPACE;
    if (space) end--;
    let lineEnds = 0;
    for (; end > 0 && bytes[end - 1] === LF; end -= 2) lineEnds++;
    if (end > 0) {
      if (this.#lineEnds > 0) this.#writeLineEnds(this.#lineEnds);
      this.#lineEnds = 0;
      this.#hash.update(bytes.subarray(0, end));
      this.#empty = false;
    }
    this.#lineEnds += lineEnds;
    this.#space = space;
    this.#cr = cr;
  }

  /** Hot: the held state is in local variables inside the loop, and what most bytes need comes first. */
  #updateSlice(bytes: Buffer): void {
    let lineEnds = this.#lineEnds;
    let space = this.#space;
    let cr = this.#cr;
    let used = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      if (byte > SPACE && lineEnds <= 1 && !cr) {
        if (lineEnds === 1) {
          scratch[used++] = CR;
          scratch[used++] = LF;
          lineEnds = 0;
        }
        if (space) {
          scratch[used++] = SPACE;
          space = false;
        }
        scratch[used++] = byte;
      } else if (isBlank(byte) && !cr) {
        space = true;
      } else if (byte === CR && !cr) {
        cr = true;
      } else if (byte === LF && cr) {
        cr = false;
        space = false;
        lineEnds++;
      } else {
        used = this.#release(used, { lineEnds, space, cr });
        lineEnds = 0;
        space = isBlank(byte);
        cr = byte === CR;
        if (!space && !cr) scratch[used++] = byte;
      }
    }
    this.#lineEnds = lineEnds;
    this.#space = space;
    this.#cr = cr;
    this.#write(used);
  }

  /** What was held stands before more content: put it into the scratch from `used` on, and give the new end. */
  #release(used: number, held: { lineEnds: number; space: boolean; cr: boolean }): number {
    let end = used;
    let lineEnds = held.lineEnds;
    if (end === 0 && lineEnds > 1) {
      this.#writeLineEnds(lineEnds); // those of earlier slices may be any number, and nothing is in the scratch before them
      lineEnds = 0;
    }
    for (; lineEnds > 0; lineEnds--) {
      scratch[end++] = CR;
      scratch[end++] = LF;
    }
    if (held.space) scratch[end++] = SPACE;
    if (held.cr) scratch[end++] = CR;
    return end;
  }

  #writeLineEnds(count: number): void {
    this.#empty = false;
    for (let left = count * 2; left > 0; left -= EMPTY_LINES.length) {
      this.#hash.update(left < EMPTY_LINES.length ? EMPTY_LINES.subarray(0, left) : EMPTY_LINES);
    }
  }

  #write(used: number): void {
    if (used === 0) return;
    this.#hash.update(scratch.subarray(0, used));
    this.#empty = false;
  }
}

/** True: relaxed canonicalisation changes nothing in it, wherever it stands; only its end has to be looked at. */
function isCanonical(bytes: Buffer): boolean {
  const end = bytes.length - 1;
  for (let i = 0; i <= end; i++) {
    const byte = bytes[i] as number;
    if (byte > SPACE) continue;
    if (byte === SPACE) {
      if (i < end && isSpaceOrLineEnd(bytes[i + 1] as number)) return false;
    } else if (byte === CR) {
      if (i < end && bytes[i + 1] !== LF) return false;
    } else if (byte === LF) {
      if (i === 0 || bytes[i - 1] !== CR) return false;
    } else if (byte === TAB) return false;
  }
  return true;
}

function isSpaceOrLineEnd(byte: number): boolean {
  return byte === SPACE || byte === CR || byte === TAB || byte === LF;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
