/**
 * The report to the sender that mail of his failed or is delayed: multipart/report of RFC 6522 with the delivery status of
 * RFC 3464, and of RFC 6533 where an address is not ASCII. When one is sent, and to whom never, is decided elsewhere.
 *
 * Nothing that a peer or a sender wrote can end a header, a field or a part: such text is cleaned of controls, or encoded.
 */

import { isUtf8 } from "node:buffer";

import { encode as encodeQuotedPrintable, wrap as wrapQuotedPrintable } from "nodemailer/lib/qp";

import { needsSmtputf8 } from "./address.ts";
import type { DsnInput } from "./dsn-input.ts";
import { dsnText } from "./dsn-text.ts";
import { MAX_LINE_BYTES, headerLine } from "./headers.ts";
import { printMailDate } from "./mail-date.ts";
import { newlineFilter } from "./newlines.ts";
import type { AttemptRecord } from "./queue-row.ts";
import { printReply } from "./smtp-reply.ts";
import { KIB } from "./units.ts";

/** So much of the original's header block goes back; whole lines. */
const MAX_RETURNED_HEADER_BYTES = 64 * KIB;
/** A Message-ID longer than this is not referred to. */
const MAX_REFERENCE_CHARS = 320;
/** Longer words in fields get a space inside, so that lines can be folded. */
const MAX_WORD_CHARS = 200;

/** The whole message, every line ending in CRLF and none over 998 octets. From `<>`, to the return path. */
export function composeDsn(input: DsnInput): Buffer {
  const utf8 = [input.message.returnPath, ...input.recipients.map(({ recipient }) => recipient)].some(
    needsSmtputf8,
  );
  const parts = [textPart(input), statusPart(input, utf8), headersPart(input.headerBlock, utf8)];
  const boundary = boundaryFor(parts, input.unique);
  return Buffer.concat([
    Buffer.from(topHeaders(input, boundary)),
    ...parts.flatMap((part) => [Buffer.from(`\r\n--${boundary}\r\n`), part]),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
}

/** Not in any part, even if a sender foresaw it. "=_" cannot occur in quoted-printable (RFC 2045 §6.7). */
function boundaryFor(parts: readonly Buffer[], unique: string): string {
  let boundary = `=_report_${unique}`;
  // ends: each turn takes another text, and the parts have room for few of them
  for (let turn = 1; parts.some((part) => part.includes(boundary)); turn++) {
    boundary = `=_report_${turn}_${unique}`;
  }
  return boundary;
}

function topHeaders(input: DsnInput, boundary: string): string {
  const { message, mailerDaemon } = input;
  const failed = input.kind === "failed";
  const lines = [
    headerLine("From", mailbox(mailerDaemon.name, mailerDaemon.address)),
    headerLine("To", message.returnPath),
    headerLine("Subject", `Delivery Status Notification (${failed ? "Failure" : "Delay"})`),
    headerLine("Date", printMailDate(input.now)),
    headerLine("Message-ID", `<${input.unique}@${input.hostname}>`),
    headerLine("Auto-Submitted", "auto-replied"), // RFC 3834 §5
    ...(failed ? failedRecipients(input) : []),
    ...references(message.messageIdHeader),
    headerLine("MIME-Version", "1.0"),
    headerLine("Content-Type", `multipart/report; report-type=delivery-status; boundary="${boundary}"`),
  ];
  return `${lines.join("")}\r\nThis is a report in MIME format.\r\n`;
}

/** Only addresses that the header may carry: UTF-8 in it is for a return path that takes UTF-8. */
function failedRecipients(input: DsnInput): string[] {
  const utf8 = needsSmtputf8(input.message.returnPath);
  const shown = input.recipients.map(({ recipient }) => recipient).filter((to) => utf8 || !needsSmtputf8(to));
  return shown.length === 0 ? [] : [headerLine("X-Failed-Recipients", shown.join(", "))];
}

function references(messageId: string): string[] {
  if (!/^<[!-;=?-~]+>$/.test(messageId) || messageId.length > MAX_REFERENCE_CHARS) return [];
  return [headerLine("In-Reply-To", messageId), headerLine("References", messageId)];
}

function textPart(input: DsnInput): Buffer {
  const text = dsnText(input).toWellFormed();
  const ascii = /^[\t\r\n -~]*$/.test(text) && hasShortLines(text);
  return Buffer.from(
    headerLine("Content-Type", `text/plain; charset=${ascii ? "us-ascii" : "utf-8"}`) +
      headerLine("Content-Description", "Notification") +
      (ascii ? `\r\n${text}` : quotedPrintable(Buffer.from(text))),
  );
}

function statusPart(input: DsnInput, utf8: boolean): Buffer {
  const type = utf8 ? "message/global-delivery-status" : "message/delivery-status";
  const groups = [messageFields(input), ...input.recipients.map((to) => recipientFields(input, to, utf8))];
  return Buffer.from(
    headerLine("Content-Type", type) +
      headerLine("Content-Description", "Delivery report") +
      (utf8 ? headerLine("Content-Transfer-Encoding", "8bit") : "") +
      groups.map((fields) => `\r\n${fields.join("")}`).join(""),
  );
}

function messageFields(input: DsnInput): string[] {
  return [
    headerLine("Reporting-MTA", `dns; ${input.hostname}`),
    headerLine("X-ZoneFleet-Queue-ID", input.message.id),
    headerLine("Arrival-Date", printMailDate(input.message.acceptedAt)),
  ];
}

function recipientFields(input: DsnInput, to: DsnInput["recipients"][number], utf8: boolean): string[] {
  const { recipient, attempt } = to;
  const diagnostic = attempt.reply ? `smtp; ${printReply(attempt.reply)}` : `X-ZoneFleet; ${attempt.detail}`;
  const { mx, peer } = attempt.route;
  const remote = attempt.reply === null ? null : (mx ?? (peer === null ? null : `[${peer}]`));
  return [
    headerLine("Final-Recipient", `${needsSmtputf8(recipient) ? "utf-8" : "rfc822"}; ${recipient}`),
    headerLine("Action", input.kind),
    headerLine("Status", statusOf(attempt, input.kind)),
    ...(remote === null ? [] : [headerLine("Remote-MTA", `dns; ${fieldText(remote, utf8)}`)]),
    headerLine("Diagnostic-Code", fieldText(diagnostic, utf8)),
    headerLine("Last-Attempt-Date", printMailDate(attempt.at)),
    ...(input.retryUntil === null || input.kind === "failed"
      ? []
      : [headerLine("Will-Retry-Until", printMailDate(input.retryUntil))]),
  ];
}

/** A delay is never told with a permanent code; a failure may carry the transient code of its last attempt (RFC 3464 §2.3.4). */
function statusOf(attempt: AttemptRecord, kind: DsnInput["kind"]): string {
  const match = /^[245](\.\d{1,3}\.\d{1,3})$/.exec(attempt.status);
  if (kind === "delayed") return `4${match?.[1] ?? ".0.0"}`;
  return match && !attempt.status.startsWith("2") ? attempt.status : "5.0.0";
}

/** The original's headers as they were, when the type and its encoding can carry them, else quoted-printable (RFC 6522 §4). */
function headersPart(headerBlock: Buffer, utf8: boolean): Buffer {
  const block = returnedHeaders(headerBlock);
  const text = block.toString("latin1");
  const short = hasShortLines(text);
  const description = headerLine("Content-Description", "Headers of the undelivered message");
  if (short && /^[\t\r\n -~]*$/.test(text)) {
    return Buffer.concat([
      Buffer.from(`${headerLine("Content-Type", "text/rfc822-headers")}${description}\r\n`),
      block,
    ]);
  }
  if (utf8 && short && isUtf8(block) && !text.includes("\0")) {
    const head = headerLine("Content-Type", "message/global-headers") + description;
    return Buffer.concat([
      Buffer.from(`${head}${headerLine("Content-Transfer-Encoding", "8bit")}\r\n`),
      block,
    ]);
  }
  const type = headerLine("Content-Type", "text/rfc822-headers; charset=utf-8");
  return Buffer.from(type + description + quotedPrintable(block));
}

/** Without the empty line at the end, cut at a line's end, and with CRLF only, should the store ever hold something else. */
function returnedHeaders(stored: Buffer): Buffer {
  const filter = newlineFilter("normalise");
  const block = Buffer.concat([filter.push(stored.subarray(0, MAX_RETURNED_HEADER_BYTES + 1)), filter.end()]);
  if (stored.length > MAX_RETURNED_HEADER_BYTES) return wholeLines(block, MAX_RETURNED_HEADER_BYTES);
  return block.subarray(-4).equals(Buffer.from("\r\n\r\n")) ? block.subarray(0, -2) : block;
}

function wholeLines(block: Buffer, maxBytes: number): Buffer {
  const cut = block.lastIndexOf("\r\n", maxBytes - 2);
  return block.subarray(0, cut === -1 ? 0 : cut + 2);
}

/** The header that says so, the empty line, and the content. */
function quotedPrintable(content: Buffer): string {
  const encoded = wrapQuotedPrintable(encodeQuotedPrintable(content));
  return `${headerLine("Content-Transfer-Encoding", "quoted-printable")}\r\n${encoded}`;
}

function hasShortLines(text: string): boolean {
  return text.split("\r\n").every((line) => line.length <= MAX_LINE_BYTES);
}

/** Text of others as it may stand in a field. */
function fieldText(text: string, utf8: boolean): string {
  const printable = text.toWellFormed().replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  const allowed = utf8 ? printable : printable.replaceAll(/[^ -~]/gu, "?");
  return allowed.replaceAll(new RegExp(`[^ ]{${MAX_WORD_CHARS}}`, "gu"), "$& ");
}

/** `Name <address>`, the name quoted or encoded as it needs (RFC 5322 §3.4, RFC 2047). */
function mailbox(name: string, address: string): string {
  if (name === "") return address;
  if (/^[\w !#$%&'*+/=?^`{|}~-]+$/.test(name)) return `${name} <${address}>`;
  if (/^[ -~]+$/.test(name)) return `"${name.replaceAll(/["\\]/g, String.raw`\$&`)}" <${address}>`;
  return `=?utf-8?B?${Buffer.from(name).toString("base64")}?= <${address}>`;
}
