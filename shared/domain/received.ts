/**
 * The Received header that we put on top of what we send (RFC 5321 §4.4): where the mail came from, by which protocol, when.
 * Names that the client chose are written as what they parse to, or as a comment without anything that could end it.
 */

import type { Address } from "./address.ts";
import { needsSmtputf8, parseDomain } from "./address.ts";
import { FOLD_BYTES } from "./headers.ts";
import type { MessageId, RowId } from "./ids.ts";
import { printMailDate } from "./mail-date.ts";
import type { Message, Origin } from "./message.ts";

export interface ReceivedInput {
  readonly message: Message;
  /** Our host name. */
  readonly hostname: string;
  /** Product name, shown in a comment. */
  readonly name: string;
  /** What an operator can look up. */
  readonly id: RowId | MessageId;
  /** The only recipient; null: there are several, and none is to read of the others. */
  readonly recipient: Address | null;
}

/** Characters of a text that the client chose: names in the DNS are shorter, and a line stays far under 998. */
const MAX_COMMENT_CHARS = 255;

/** Clauses on as few lines as are needed to stay short, CRLF at the end. */
export function receivedHeader(input: ReceivedInput): string {
  const { message, recipient } = input;
  const utf8 = message.smtputf8 || (recipient !== null && needsSmtputf8(recipient));
  const clauses = [
    ...fromClauses(message.origin),
    `by ${comment(input.hostname)} (${comment(input.name)})${withClause(message.origin, utf8)}`,
    `id ${input.id}`,
    ...(recipient === null ? [] : [`for <${recipient}>`]),
    ...tlsClauses(message.origin.tls),
  ];
  return `${fill(["Received:", ...clauses.slice(0, -1), `${clauses.at(-1)};`, printMailDate(message.acceptedAt)])}\r\n`;
}

/** Clauses are kept whole: the longest is an address or two names, far under 998. */
function fill(clauses: readonly string[]): string {
  const lines: string[] = [];
  let line = "";
  for (const clause of clauses) {
    const joined = line === "" ? clause : `${line} ${clause}`;
    if (line !== "" && Buffer.byteLength(joined) > FOLD_BYTES) {
      lines.push(line);
      line = ` ${clause}`;
    } else line = joined;
  }
  return [...lines, line].join("\r\n");
}

/** `from name (rdns [ip])`. Empty: the mail began here. */
function fromClauses(origin: Origin): string[] {
  const literal = origin.ip === null ? null : addressLiteral(origin.ip);
  const helo = origin.helo === null ? null : parseDomain(origin.helo);
  const who = helo === null ? literal : printDomain(helo);
  const clauses: string[] = [];
  if (who !== null) {
    clauses.push(`from ${who}`);
    const tcpInfo = [origin.host === null ? null : parseDomain(origin.host), literal].filter(
      (part) => part !== null,
    );
    if (tcpInfo.length > 0) clauses.push(`(${tcpInfo.join(" ")})`);
    if (helo === null && origin.helo !== null) clauses.push(`(helo=${comment(origin.helo)})`);
  }
  if (origin.user !== null) clauses.push(`(Authenticated sender: ${comment(origin.user)})`);
  return clauses;
}

/** Registered names of RFC 3848 and RFC 6531 §4.3. Empty: no protocol was spoken. */
function withClause(origin: Origin, utf8: boolean): string {
  if (origin.protocol === "INTERNAL") return "";
  const protocol = utf8 ? origin.protocol.replace(/^ESMTP|^LMTP/, utf8Name) : origin.protocol;
  return ` with ${protocol}`;
}

function utf8Name(protocol: string): string {
  return protocol === "LMTP" ? "UTF8LMTP" : "UTF8SMTP";
}

/** The `tls` clause of RFC 8314 §4.3 wants the IANA name of the cipher; another name can only be a comment. */
function tlsClauses(tls: string | null): string[] {
  if (tls === null) return [];
  const [version = "", cipher = ""] = tls.split(" ").map(comment);
  return cipher.startsWith("TLS_")
    ? [`tls ${cipher} (version=${version})`]
    : [`(version=${version} cipher=${cipher})`];
}

/** Our literals are in lower case; RFC 5321 §4.1.3 writes the tag as `IPv6:`. */
function printDomain(domain: string): string {
  return domain.replace(/^\[ipv6:/, "[IPv6:");
}

/** Null: not an IP address. */
function addressLiteral(ip: string): string | null {
  const literal = parseDomain(ip.includes(":") ? `[IPv6:${ip}]` : `[${ip}]`);
  return literal === null ? null : printDomain(literal);
}

/** Text as it may stand in a comment: what is not printable ASCII, or would end or quote, becomes a question mark. */
function comment(text: string): string {
  return text.slice(0, MAX_COMMENT_CHARS).replaceAll(/[^ -~]|[()\\";]/gu, "?");
}
