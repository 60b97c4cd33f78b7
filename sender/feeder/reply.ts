/**
 * Replies of the feeder: the enhanced status code of each (RFC 2034, RFC 3463), and what a failed submission is answered with.
 *
 * 1. A reply with an enhanced code has one whose class is the reply code's first digit, once, on every line.
 * 2. A reply is printable ASCII and fits in 512 octets a line (RFC 5321 §4.5.3.1.5), whatever text it was made of.
 * 3. An error that is not the client's mistake tells him nothing of what went wrong inside.
 */

import { DomainError, RefusedError } from "#shared/domain/errors.ts";
import type { DomainErrorCode } from "#shared/domain/errors.ts";

export interface Reply {
  readonly code: number;
  /** Begins with the enhanced status code. */
  readonly text: string;
}

/** Leaves room for the code and CRLF in 512 octets. */
const MAX_TEXT = 500;
/** Errors come wrapped in others; more than this is a loop. */
const MAX_CAUSES = 8;

const ENHANCED = /^[245]\.\d{1,3}\.\d{1,3} /;
/** For replies that smtp-server words without a code of ours; the rest get `X.0.0`. */
const DEFAULT_ENHANCED: Readonly<Record<number, string>> = {
  235: "2.7.0",
  421: "4.7.0",
  451: "4.3.0",
  454: "4.7.0",
  500: "5.5.2",
  501: "5.5.4",
  502: "5.5.1",
  503: "5.5.1",
  504: "5.5.4",
  530: "5.7.0",
  535: "5.7.8",
};

const OUT_OF_SPACE = new Set(["ENOSPC", "EDQUOT", "MDB_MAP_FULL"]);

export const STORE_FAILED: Reply = { code: 451, text: "4.3.0 Could not store the message, try again later" };
export const OUT_OF_STORAGE: Reply = { code: 452, text: "4.3.1 Out of storage, try again later" };

/** What each mistake of a client is answered with; null: our configuration is at fault, not he. */
const REPLY_OF_MISTAKE: Readonly<Record<DomainErrorCode, readonly [code: number, enhanced: string] | null>> =
  {
    "message-too-large": [552, "5.3.4"],
    "too-large": [552, "5.3.4"],
    "delivery-loop": [554, "5.4.6"],
    "incomplete-message": [451, "4.4.2"],
    "too-many-recipients": [452, "4.5.3"],
    "no-recipients": [554, "5.5.1"],
    "bare-newline": [550, "5.6.0"],
    "needs-smtputf8": [550, "5.6.9"],
    "header-too-long": [554, "5.6.0"],
    "invalid-header": [554, "5.6.0"],
    "invalid-body": [554, "5.6.0"],
    "invalid-address": [554, "5.6.0"],
    "invalid-request": [554, "5.6.0"],
    "file-access": [554, "5.6.0"],
    "not-found": [554, "5.6.0"],
    conflict: [554, "5.6.0"],
    unauthorized: [550, "5.7.1"],
    forbidden: [550, "5.7.1"],
    refused: [550, "5.7.1"],
    "invalid-config": null,
  };

/** The reply to a message that `submit` did not take. */
export function replyToFailure(error: unknown): Reply {
  if (error instanceof RefusedError) return error.reply;
  if (error instanceof DomainError) {
    const mistake = REPLY_OF_MISTAKE[error.code];
    return mistake ? { code: mistake[0], text: `${mistake[1]} ${error.message}` } : STORE_FAILED;
  }
  return isOutOfSpace(error) ? OUT_OF_STORAGE : STORE_FAILED;
}

/** True: the client's mistake, which needs no look at our logs. */
export function isMistake(error: unknown): boolean {
  return error instanceof DomainError && REPLY_OF_MISTAKE[error.code] !== null;
}

/**
 * The bytes of a reply. `enhanced` false: none is wanted, as in the greeting and in answers to EHLO (RFC 2034 §3).
 * A text that begins with an enhanced code of the right class keeps it; any other gets the one usual for its reply code.
 */
export function replyLines(code: number, text: string | readonly string[], enhanced: boolean): string {
  if (typeof text === "string") return `${code} ${lineText(code, text, enhanced)}\r\n`;
  const last = text.length - 1;
  return text
    .map((line, i) => `${code}${i < last ? "-" : " "}${lineText(code, line, enhanced)}\r\n`)
    .join("");
}

function lineText(code: number, text: string, enhanced: boolean): string {
  const plain = printable(text).slice(0, MAX_TEXT);
  if (!enhanced || (code >= 300 && code < 400)) return plain;
  const digit = Math.trunc(code / 100);
  if (ENHANCED.test(plain)) {
    return plain.startsWith(String(digit)) ? plain : `${digit}${plain.slice(1)}`;
  }
  return `${DEFAULT_ENHANCED[code] ?? `${digit}.0.0`} ${plain}`.slice(0, MAX_TEXT);
}

function printable(text: string): string {
  return /[^\x20-\x7e]/.test(text) ? text.replaceAll(/[^\x20-\x7e]+/g, "?") : text;
}

function isOutOfSpace(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; depth < MAX_CAUSES && cause instanceof Error; depth++) {
    if ("code" in cause && typeof cause.code === "string" && OUT_OF_SPACE.has(cause.code)) return true;
    cause = cause.cause;
  }
  return false;
}
