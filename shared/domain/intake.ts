/**
 * What happens to the bytes of a message on their way in: header block read and rewritten, line ends checked, size counted,
 * DKIM body hash computed. One pass, memory flat whatever the size.
 *
 * 1. Headers that are not taken out or replaced leave byte for byte and in order, and so does the content but for bare line
 *    ends that are made CRLF: a signature made before us stays valid. What we add stands below what came.
 * 2. What comes out does not depend on how the source was cut into chunks.
 * 3. Every line that comes out ends in CRLF, and an empty line stands between headers and content.
 */

import { isAscii } from "node:buffer";
import { strict as assert } from "node:assert";

import type { Address } from "./address.ts";
import { RelaxedBodyHasher } from "./dkim-body.ts";
import { decodeWords } from "./encoded-words.ts";
import { DomainError } from "./errors.ts";
import type { HeaderList } from "./headers.ts";
import { HeaderReader, addressesOf, firstValue, headerLine } from "./headers.ts";
import { parseMailDate, printMailDate } from "./mail-date.ts";
import type { BodyInfo } from "./message.ts";
import { newlineFilter } from "./newlines.ts";
import type { EpochMs } from "./units.ts";
import { KIB, MIB } from "./units.ts";

export interface IntakeOptions {
  /** Bytes of the message as it comes. */
  readonly maxBytes: number;
  /** Bytes of the header block; default `MAX_HEADER_BYTES`. */
  readonly maxHeaderBytes?: number;
  /** More Received lines than this are a loop (RFC 5321 §6.3). */
  readonly maxHops: number;
  /** A CR or LF that stands alone: `refuse` the message (SMTP) or make it CRLF (HTTP). */
  readonly bareNewlines: "refuse" | "normalise";
  /** True: compute the body hash. */
  readonly dkim: boolean;
  /** Headers to add where the message has none. */
  readonly addMissing: readonly ("message-id" | "date" | "to" | "mime-version")[];
  /** Domain of a Message-ID we make. */
  readonly messageIdDomain: string;
  /** Local part of a Message-ID we make, unique. */
  readonly newMessageIdLocal: () => string;
  /** The only recipient, for a To we add; null: there are several, and none is to read of the others. */
  readonly onlyRecipient: Address | null;
  /** For X-Originating-IP; null: leave that header alone. */
  readonly originatingIp: string | null;
  readonly now: EpochMs;
  /** Gives the headers to go on with in place of those that came; left out: those. What it throws ends the message. */
  readonly onHeaders?: (headers: HeaderList) => Promise<HeaderList>;
}

export const MAX_HEADER_BYTES = MIB;

export interface Intake {
  /** The message to store; reading it reads the source. Throws a `DomainError` for what is refused, and ends the source then. */
  readonly chunks: AsyncIterable<Buffer>;
  /** What the message is; only after `chunks` has come to its end. */
  result(): IntakeResult;
}

export interface IntakeResult {
  readonly body: BodyInfo;
  /** As they came, routing headers and Bcc included. */
  readonly headers: HeaderList;
  /** As it is stored, with the empty line that ends it. */
  readonly block: Buffer;
  /** Value of Message-ID with its angle brackets: theirs, or the one we made (even when it was not to be added). */
  readonly messageIdHeader: string;
  /** First address of the From header; null: none could be read. */
  readonly from: Address | null;
  /** Decoded and cut to `MAX_SUBJECT_CHARS`; null: no Subject. */
  readonly subject: string | null;
  /** Value of X-Fbl, cut to `MAX_FBL_CHARS`; null: none. */
  readonly fbl: string | null;
  /** The Date that came; null: none, or not a time after 1970 began. */
  readonly date: EpochMs | null;
  /** True: a header that is stored is not ASCII (RFC 6532). */
  readonly smtputf8Headers: boolean;
}

export const MAX_SUBJECT_CHARS = 128;
export const MAX_FBL_CHARS = 320;
/** A From longer than this is not read: a list of thousands would take its time, and is nobody's name. */
const MAX_FROM_BYTES = 8 * KIB;
/** Message records are small: a longer Message-ID is kept cut, and the header itself stays whole. */
const MAX_MESSAGE_ID_CHARS = 320;
/** Up to here the header block and the content that came with it are one chunk: a small mail is one write. */
const JOIN_BYTES = 64 * KIB;

/** Bcc would show hidden recipients to all (RFC 5322 §3.6.3); X-Sending-Zone is between the client and us. */
const REMOVED: ReadonlySet<string> = new Set(["bcc", "resent-bcc", "x-sending-zone"]);
/** A Date before this is a clock that was never set. */
const FIRST_DATE_MS = 1_000;

/** Any other of these on the way in, and the message has a recipient to show. */
const RECIPIENT_HEADERS: ReadonlySet<string> = new Set(["to", "cc", "bcc"]);

/** Nothing is read before `chunks` is. */
export function intake(source: AsyncIterable<Buffer>, options: IntakeOptions): Intake {
  const pass = new IntakePass(options);
  return { chunks: pass.run(source), result: () => pass.result() };
}

class IntakePass {
  readonly #options: IntakeOptions;
  readonly #reader: HeaderReader;
  readonly #hasher: RelaxedBodyHasher | null;
  #inHeaders = true;
  #received = 0;
  #bytes = 0;
  #headerBytes = 0;
  #eightBit = false;
  #facts: Omit<IntakeResult, "body"> | null = null;
  #result: IntakeResult | null = null;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#reader = new HeaderReader(options.maxHeaderBytes ?? MAX_HEADER_BYTES);
    this.#hasher = options.dkim ? new RelaxedBodyHasher() : null;
  }

  async *run(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    const newlines = newlineFilter(this.#options.bareNewlines);
    for await (const chunk of source) {
      this.#count(chunk);
      const bytes = newlines.push(chunk);
      if (this.#inHeaders) yield* await this.#takeHead(bytes);
      else if (bytes.length > 0) yield this.#content(bytes);
    }
    const end = newlines.end();
    if (this.#inHeaders) yield* await this.#takeHead(end);
    else if (end.length > 0) yield this.#content(end);
    if (this.#inHeaders) yield await this.#closeHeaders();
    this.#finish();
  }

  result(): IntakeResult {
    assert.ok(this.#result, "intake: the result is read before the message has come to its end");
    return this.#result;
  }

  #count(chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received <= this.#options.maxBytes) return;
    throw new DomainError("message-too-large", `The message is larger than ${this.#options.maxBytes} bytes.`);
  }

  /** What is to store of it: nothing while the header block goes on. */
  async #takeHead(chunk: Buffer): Promise<Buffer[]> {
    const content = this.#reader.feed(chunk);
    if (content === null) return [];
    const block = await this.#closeHeaders();
    if (content.length === 0) return [block];
    const rest = this.#content(content);
    return block.length + rest.length > JOIN_BYTES ? [block, rest] : [Buffer.concat([block, rest])];
  }

  /** The header block to store, with the empty line that ends it. */
  async #closeHeaders(): Promise<Buffer> {
    this.#inHeaders = false;
    const { onHeaders } = this.#options;
    const headers = onHeaders ? await onHeaders(this.#reader.headers) : this.#reader.headers;
    const facts = rewriteHeaders(headers, this.#options);
    this.#facts = facts;
    this.#headerBytes = facts.block.length;
    this.#bytes = facts.block.length;
    return facts.block;
  }

  #content(content: Buffer): Buffer {
    this.#bytes += content.length;
    this.#eightBit ||= !isAscii(content);
    this.#hasher?.update(content);
    return content;
  }

  #finish(): void {
    assert.ok(this.#facts);
    const body: BodyInfo = {
      bytes: this.#bytes,
      headerBytes: this.#headerBytes,
      dkimBodyHash: this.#hasher?.digest() ?? null,
      eightBit: this.#eightBit,
    };
    this.#result = { ...this.#facts, body };
  }
}

function rewriteHeaders(headers: HeaderList, options: IntakeOptions): Omit<IntakeResult, "body"> {
  refuseLoop(headers, options.maxHops);
  refuseSecondFrom(headers);
  const date = readDate(headers);
  const theirId = firstValue(headers, "message-id") ?? "";
  const messageIdHeader = theirId || `<${options.newMessageIdLocal()}@${options.messageIdDomain}>`;

  const replaced = new Set(REMOVED);
  const added: string[] = [];
  const put = (name: string, value: string): void => {
    replaced.add(name.toLowerCase());
    added.push(headerLine(name, value));
  };
  const adds = (key: IntakeOptions["addMissing"][number]): boolean => options.addMissing.includes(key);
  if (theirId === "" && adds("message-id")) put("Message-ID", messageIdHeader);
  if (date === null && adds("date")) put("Date", printMailDate(options.now));
  if (adds("to") && !headers.some((header) => RECIPIENT_HEADERS.has(header.key))) put("To", toValue(options));
  if (adds("mime-version") && lacksMimeVersion(headers)) put("MIME-Version", "1.0");
  if (options.originatingIp !== null) put("X-Originating-IP", `[${options.originatingIp}]`);

  const kept = headers.filter((header) => !replaced.has(header.key)).map((header) => header.line);
  const block = Buffer.concat([Buffer.from(kept.join(""), "latin1"), Buffer.from(`${added.join("")}\r\n`)]);
  return {
    ...factsOf(headers, block),
    messageIdHeader: messageIdHeader.slice(0, MAX_MESSAGE_ID_CHARS),
  };
}

/** What a header block tells that is stored as `block`; its Message-ID may be empty. */
export function factsOf(headers: HeaderList, block: Buffer): Omit<IntakeResult, "body"> {
  return {
    headers,
    block,
    messageIdHeader: (firstValue(headers, "message-id") ?? "").slice(0, MAX_MESSAGE_ID_CHARS),
    from: readFrom(headers),
    subject: readSubject(headers),
    fbl: firstValue(headers, "x-fbl")?.slice(0, MAX_FBL_CHARS) || null,
    date: readDate(headers),
    smtputf8Headers: !isAscii(block),
  };
}

function refuseLoop(headers: HeaderList, maxHops: number): void {
  let hops = 0;
  for (const header of headers) if (header.key === "received") hops++;
  if (hops <= maxHops) return;
  throw new DomainError(
    "delivery-loop",
    `The message goes round in a loop: it has ${hops} Received headers.`,
  );
}

/**
 * RFC 5322 §3.6 wants one. Of two, a receiver checks the one for DMARC and shows the other to the reader, so a mail with two is
 * taken for a forgery (RFC 7489 §6.6.1). One with none forges nobody, and passes as it is.
 */
function refuseSecondFrom(headers: HeaderList): void {
  const count = headers.filter((header) => header.key === "from").length;
  if (count < 2) return;
  throw new DomainError(
    "invalid-header",
    `The message has ${count} From headers: send it with one, which may name several authors.`,
    "from",
  );
}

function readDate(headers: HeaderList): EpochMs | null {
  const value = firstValue(headers, "date");
  const date = value === null ? null : parseMailDate(value);
  return date === null || date < FIRST_DATE_MS ? null : date;
}

function readFrom(headers: HeaderList): Address | null {
  const header = headers.find((header) => header.key === "from");
  if (!header || header.line.length > MAX_FROM_BYTES) return null;
  return addressesOf([header], ["from"])[0] ?? null;
}

function readSubject(headers: HeaderList): string | null {
  const value = firstValue(headers, "subject");
  if (value === null) return null;
  // cut before decoding too: encoded words seldom take more than 16 octets for a character
  const text = decodeWords(value.slice(0, 16 * MAX_SUBJECT_CHARS)).replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  return Array.from(text).slice(0, MAX_SUBJECT_CHARS).join("");
}

function lacksMimeVersion(headers: HeaderList): boolean {
  return (
    headers.some((header) => header.key.startsWith("content-")) &&
    !headers.some((header) => header.key === "mime-version")
  );
}

function toValue(options: IntakeOptions): string {
  return options.onlyRecipient ?? "undisclosed-recipients:;";
}
