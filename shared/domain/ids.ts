/**
 * Names of messages, rows and workers.
 *
 * A message id is a ULID in lower case: 10 characters of time (48 bits of milliseconds), then 16 of chance (80 bits, of which
 * the first is 0). Ids of one process rise even inside one millisecond; two ids of two processes in one millisecond are the
 * same with a chance of 2^-79.
 * A row id is `<message id>.<seq>`, seq being the recipient's ordinal in the envelope from 1, in hex of at least three digits.
 */

import type { Branded } from "./branded.ts";
import type { EpochMs } from "./units.ts";

export type MessageId = Branded<string, "MessageId">;
export type RowId = Branded<string, "RowId">;
/** One running process of a sender or a Lambda; new at every start, so that a restarted one is another. */
export type WorkerId = Branded<string, "WorkerId">;

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base 32
const TIME_CHARS = 10;
const CHANCE_CHARS = 16;
const CHANCE_BYTES = 10;
const MESSAGE_ID = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/i;
const ROW_ID = /^([0-7][0-9a-hjkmnp-tv-z]{25})\.([0-9a-f]{3,8})$/i;

/** Null: not the shape of a message id. Upper case is taken as lower. */
export function parseMessageId(text: string): MessageId | null {
  return MESSAGE_ID.test(text) ? (text.toLowerCase() as MessageId) : null;
}

export function rowIdOf(messageId: MessageId, seq: number): RowId {
  return `${messageId}.${seq.toString(16).padStart(3, "0")}` as RowId;
}

/** Null: not the shape of a row id. */
export function parseRowId(text: string): { id: RowId; messageId: MessageId; seq: number } | null {
  const [, id = "", ordinal = ""] = ROW_ID.exec(text) ?? [];
  const messageId = id.toLowerCase() as MessageId;
  const seq = Number.parseInt(ordinal, 16);
  if (!(seq > 0)) return null;
  return { id: rowIdOf(messageId, seq), messageId, seq };
}

/** When the message was given its id. */
export function timeOfMessageId(id: MessageId): EpochMs {
  let ms = 0;
  for (const char of id.slice(0, TIME_CHARS)) ms = ms * 32 + ALPHABET.indexOf(char);
  return ms as EpochMs;
}

export function workerId(hostname: string, pid: number, chance: Uint8Array): WorkerId {
  return `${hostname}:${pid}:${Buffer.from(chance).toString("hex")}` as WorkerId;
}

/**
 * The message id that stands for one fact, such as "the DSN of event 17": the same fact gives the same id, so a second try to
 * accept it is seen as the first one again. `digest` is at least 10 bytes of a hash of the fact.
 */
export function messageIdOfFact(at: EpochMs, digest: Uint8Array): MessageId {
  return (encodeTime(at) + encodeChance(digitsOf(digest))) as MessageId;
}

/** A maker of message ids that rise in the order they are made. `randomBytes` gives 10 bytes of chance a millisecond. */
export function messageIds(now: () => EpochMs, randomBytes: (count: number) => Uint8Array): () => MessageId {
  let lastMs = -1;
  let digits: number[] = [];
  return () => {
    const ms = Math.max(now(), lastMs); // a clock set back must not make an id that sorts before the last
    if (ms === lastMs) increment(digits);
    else digits = digitsOf(randomBytes(CHANCE_BYTES));
    lastMs = ms;
    return (encodeTime(ms as EpochMs) + encodeChance(digits)) as MessageId;
  };
}

function encodeTime(ms: EpochMs): string {
  let rest: number = ms;
  let text = "";
  for (let i = 0; i < TIME_CHARS; i++) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** 10 bytes to 16 digits of 5 bits. The first digit's top bit is cleared to leave room to count up. */
function digitsOf(bytes: Uint8Array): number[] {
  let bits = 0n;
  for (const byte of bytes.subarray(0, CHANCE_BYTES)) bits = (bits << 8n) | BigInt(byte);
  const digits = Array.from({ length: CHANCE_CHARS }, (_, i) => Number((bits >> BigInt(5 * (15 - i))) & 31n));
  digits[0] = (digits[0] as number) & 15;
  return digits;
}

function increment(digits: number[]): void {
  for (let i = digits.length - 1; i >= 0; i--) {
    const digit = digits[i] as number;
    if (digit < 31) {
      digits[i] = digit + 1;
      return;
    }
    digits[i] = 0;
  }
}

function encodeChance(digits: readonly number[]): string {
  return digits.map((digit) => ALPHABET.charAt(digit)).join("");
}
