/**
 * Message headers: reading a header block, and building a header line that cannot inject another one.
 *
 * A line is kept as the bytes were, one character per byte (`latin1`), with its folds and its final CRLF: joined again, the
 * lines of a block are the block. Values are read out of it as text. The content after the block is not looked at here.
 */

import addressparser from "nodemailer/lib/addressparser";

import type { Address } from "./address.ts";
import { parseAddress } from "./address.ts";
import { DomainError } from "./errors.ts";

export interface Header {
  /** As written. */
  readonly name: string;
  /** The name in lower case. */
  readonly key: string;
  /** The whole header as it was, one character per byte, folds and final CRLF included. */
  readonly line: string;
}

/** In the order of the message, from the top. */
export type HeaderList = readonly Header[];

/** Longest line without its CRLF, and the length to stay under where folds allow (RFC 5322 §2.1.1), in octets. */
export const MAX_LINE_BYTES = 998;
export const FOLD_BYTES = 78;

const LF = 10;

/** Name and colon; space before the colon is obsolete and still read (RFC 5322 §4.5). */
const FIELD_START = /^([!-9;-~]+)[ \t]*:/;
const FIELD_NAME = /^[!-9;-~]+$/;
/** What a mailbox file has before each mail (RFC 4155, appendix A), and programs that read one send along. It has no colon behind a name. */
const MAILBOX_LINE = /^>*From \S+ +[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d[^\r\n]* \d{4}\r\n$/;
/** Controls but TAB, and what Unicode counts as a line end: parsers that read text by lines would see two headers. */
const UNSAFE = /[\x00-\x08\x0a-\x1f\x7f\u{85}\u{2028}\u{2029}]/u;
/** Text that UTF-8 has no bytes for. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Reads a header block that arrives in pieces, which may end anywhere; every line ends in CRLF.
 *
 * The block ends at an empty line, or before the first line that is no header: that line is content, and what is stored gets
 * an empty line before it. So a message that begins with no header has an empty block, and none of it is lost. Only the line
 * of a mailbox file at the very beginning is left out, or all headers behind it would be content.
 */
export class HeaderReader {
  /** Complete once `feed` has answered, or the input is at its end. */
  readonly headers: HeaderList;
  readonly #headers: { name: string; key: string; line: string }[] = [];
  readonly #maxBytes: number;
  /** Bytes of the complete lines. */
  #bytes = 0;
  /** The line that has not ended yet. */
  #tail = "";
  /** True: the tail is known to be part of the block. */
  #tailIsHeader = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.headers = this.#headers;
  }

  /** The bytes after the block and its empty line; null: the block goes on. Throws `header-too-long`. */
  feed(piece: Buffer): Buffer | null {
    const before = this.#tail.length;
    const text = this.#tail + piece.toString("latin1");
    // without a line end there is nothing to cut, and to search a tail that grows would cost its square
    let at = 0;
    let end = before > 0 && !piece.includes(LF) ? -1 : text.indexOf("\r\n");
    for (; end !== -1; end = text.indexOf("\r\n", at)) {
      if (end === at) return bytesFrom(end + 2);
      const line = text.slice(at, end + 2);
      if (!this.#take(line)) return bytesFrom(at);
      at = end + 2;
      this.#tailIsHeader = false;
    }
    this.#tail = at === 0 ? text : text.slice(at);
    return this.#tailIsContent() ? bytesFrom(at) : null;

    function bytesFrom(offset: number): Buffer {
      if (offset >= before) return piece.subarray(offset - before);
      return Buffer.concat([Buffer.from(text.slice(offset, before), "latin1"), piece]);
    }
  }

  /** False: the line belongs to no header. */
  #take(line: string): boolean {
    const last = this.#headers.at(-1);
    if (last && isFold(line)) {
      last.line += line;
    } else {
      const name = fieldName(line);
      if (name !== null) this.#headers.push({ name, key: name.toLowerCase(), line });
      else if (this.#bytes > 0 || !MAILBOX_LINE.test(line)) return false;
    }
    this.#bytes += line.length;
    if (this.#bytes > this.#maxBytes) throw this.#tooLong();
    return true;
  }

  /** A line that does not end is decided by its start (see fieldName), so that it is not waited for. */
  #tailIsContent(): boolean {
    if (this.#tail.length < MAX_LINE_BYTES) return false;
    this.#tailIsHeader ||= (this.#headers.length > 0 && isFold(this.#tail)) || fieldName(this.#tail) !== null;
    if (this.#tailIsHeader && this.#bytes + this.#tail.length > this.#maxBytes) throw this.#tooLong();
    return !this.#tailIsHeader;
  }

  #tooLong(): DomainError {
    return new DomainError("header-too-long", `The header block is longer than ${this.#maxBytes} bytes.`);
  }
}

/** Read a whole header block, with or without the empty line that ends it. */
export function parseHeaders(block: Buffer): HeaderList {
  const reader = new HeaderReader(block.length);
  reader.feed(block);
  return reader.headers;
}

/** The value as text: unfolded, trimmed, UTF-8 (RFC 6532) decoded. Encoded words stay encoded. */
export function headerValue(header: Header): string {
  const raw = header.line.slice(header.line.indexOf(":") + 1);
  const flat = trimBlanks(raw.replaceAll("\r\n", "")); // every CRLF inside a header is a fold: white space follows
  return /[^\x00-\x7f]/.test(flat) ? Buffer.from(flat, "latin1").toString("utf8") : flat;
}

/** Value of the topmost header of that name (in lower case); null: there is none. */
export function firstValue(headers: HeaderList, key: string): string | null {
  const header = headers.find((header) => header.key === key);
  return header ? headerValue(header) : null;
}

/** Value of the lowest header of that name (in lower case); null: there is none. */
export function lastValue(headers: HeaderList, key: string): string | null {
  const header = headers.findLast((header) => header.key === key);
  return header ? headerValue(header) : null;
}

/** Values of all headers of that name (in lower case), from the top. */
export function allValues(headers: HeaderList, key: string): string[] {
  return headers.filter((header) => header.key === key).map(headerValue);
}

/** Addresses in the headers of these names (in lower case), in order, groups opened, what is no address left out. */
export function addressesOf(headers: HeaderList, keys: readonly string[]): Address[] {
  return headers
    .filter((header) => keys.includes(header.key))
    .flatMap((header) => parseAddressList(headerValue(header)));
}

/** Addresses of an address list (RFC 5322 §3.4) such as the value of To. */
function parseAddressList(text: string): Address[] {
  return addressparser(text, { flatten: true })
    .map((mailbox) => parseAddress(mailbox.address))
    .filter((address) => address !== null);
}

/**
 * `Name: value` with its CRLF, folded where white space allows. Throws `invalid-header` for a name or value that could be read
 * as more than one header: the text is refused, never flattened.
 */
export function headerLine(name: string, value: string): string {
  assertHeaderName(name);
  assertHeaderText(name, value);
  return `${fold(trimBlanks(`${name}: ${trimBlanks(value)}`))}\r\n`;
}

function assertHeaderName(name: string): void {
  if (FIELD_NAME.test(name) && name.length <= FOLD_BYTES - 1) return;
  throw new DomainError(
    "invalid-header",
    `${quoted(name)} is not a header name: use at most ${FOLD_BYTES - 1} letters, digits and hyphens.`,
  );
}

function assertHeaderText(name: string, value: string): void {
  if (!UNSAFE.test(value) && !LONE_SURROGATE.test(value)) return;
  throw new DomainError(
    "invalid-header",
    `The value of ${quoted(name)} has a line break or another control character: take it out.`,
  );
}

/** Break before white space, so that unfolding gives back the same text. */
function fold(text: string): string {
  if (Buffer.byteLength(text) <= FOLD_BYTES) return text;
  const lines: string[] = [];
  let line = "";
  for (const word of text.match(/[ \t]*[^ \t]+/g) ?? []) {
    if (line !== "" && Buffer.byteLength(line) + Buffer.byteLength(word) > FOLD_BYTES) {
      lines.push(line);
      line = "";
    }
    line += word;
  }
  lines.push(line);
  if (lines.some((line) => Buffer.byteLength(line) > MAX_LINE_BYTES)) {
    throw new DomainError(
      "invalid-header",
      `A header has more than ${MAX_LINE_BYTES} bytes without a space to break the line at: shorten it.`,
    );
  }
  return lines.join("\r\n");
}

/** Without spaces and tabs at both ends. Not `trim`, which takes the byte A0 for a space, nor a regex, which is slow on many. */
function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function isFold(line: string): boolean {
  return line.startsWith(" ") || line.startsWith("\t");
}

/** Null: not the start of a header. Only the first 998 characters count, so that an endless line is soon decided. */
function fieldName(line: string): string | null {
  return FIELD_START.exec(line.slice(0, MAX_LINE_BYTES))?.[1] ?? null;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
