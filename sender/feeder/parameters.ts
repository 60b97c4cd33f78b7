/**
 * MAIL and RCPT commands (RFC 5321 §4.1.1.2-3): the address in them, normalised, and the parameters that we offer in EHLO: SIZE
 * (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531) and AUTH (RFC 4954 §5). Any other parameter is refused, for to accept one
 * is a promise to honour it (§4.1.1.11). Whether a command is in order at all is the connection's to say.
 */

import { addressFault, needsSmtputf8, parseAddress } from "#shared/domain/address.ts";
import type { Address } from "#shared/domain/address.ts";
import type { Reply } from "./reply.ts";

export interface Mail {
  readonly ok: true;
  /** Null for `<>`. */
  readonly returnPath: Address | null;
  readonly smtputf8: boolean;
}

export interface Rcpt {
  readonly ok: true;
  readonly recipient: Address;
}

export interface Refused {
  readonly ok: false;
  readonly reply: Reply;
}

/** Upper-case keyword to value; null: it has none. */
type Parameters = ReadonlyMap<string, string | null>;

// some clients put blanks around the colon; the angle brackets must be there, and a quoted local part may hold one
const MAIL = /^MAIL\s+FROM\s*:\s*(.*)$/is;
const RCPT = /^RCPT\s+TO\s*:\s*(.*)$/is;
const PATH = /^<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?:\s+(.*))?$/s;
/** Accepted and ignored (§4.1.2, appendix C). */
const SOURCE_ROUTE = /^@[^\s,:@]+(?:,@[^\s,:@]+)*:/;
const PARAMETER = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=\x00-\x20\x7f]+))?$/;
const SIZE = /^\d{1,20}$/;
/** Of a parameter that cannot be read, in the reply. */
const MAX_SHOWN_CHARS = 40;

const MAIL_SYNTAX = refused(501, "5.5.4 Syntax: MAIL FROM:<address>");
const RCPT_SYNTAX = refused(501, "5.5.4 Syntax: RCPT TO:<address>");
const BRACKETS = "alone in angle brackets, and a space before parameters";
const SENDER_BRACKETS = refused(501, `5.1.7 Put the sender address ${BRACKETS}`);
const RECIPIENT_BRACKETS = refused(501, `5.1.3 Put the recipient address ${BRACKETS}`);
const NO_RECIPIENT = refused(501, "5.1.3 The recipient address is empty");
const NEEDS_SMTPUTF8 = refused(553, "5.6.7 The address is not ASCII: say SMTPUTF8 in MAIL");

/** `line` is the command without its line end. */
export function readMail(line: string, { maxBytes }: { maxBytes: number }): Mail | Refused {
  const rest = MAIL.exec(line)?.[1];
  if (rest === undefined) return MAIL_SYNTAX;
  const path = PATH.exec(rest.trimEnd());
  if (!path) return SENDER_BRACKETS;
  const parameters = readParameters(path[2]);
  if ("ok" in parameters) return parameters;
  const fault = mailFault(parameters, maxBytes);
  if (fault) return fault;
  const smtputf8 = parameters.has("SMTPUTF8");
  const text = path[1] as string;
  if (text === "") return { ok: true, returnPath: null, smtputf8 };
  const address = readAddress(text, smtputf8);
  if (address === "needs-smtputf8") return NEEDS_SMTPUTF8;
  return "fault" in address
    ? refused(553, `5.1.7 Not a valid sender address: ${address.fault}`)
    : { ok: true, returnPath: address.value, smtputf8 };
}

/** `smtputf8` is what MAIL said. Mail for `<Postmaster>` without a domain is for ours (§4.1.1.3). */
export function readRcpt(
  line: string,
  { smtputf8, hostname }: { smtputf8: boolean; hostname: string },
): Rcpt | Refused {
  const rest = RCPT.exec(line)?.[1];
  if (rest === undefined) return RCPT_SYNTAX;
  const path = PATH.exec(rest.trimEnd());
  if (!path) return RECIPIENT_BRACKETS;
  const parameters = readParameters(path[2]);
  if ("ok" in parameters) return parameters;
  for (const keyword of parameters.keys()) return unknownParameter(keyword);
  const text = path[1] as string;
  if (text === "") return NO_RECIPIENT;
  const address = readAddress(/^postmaster$/i.test(text) ? `${text}@${hostname}` : text, smtputf8);
  if (address === "needs-smtputf8") return NEEDS_SMTPUTF8;
  return "fault" in address
    ? refused(553, `5.1.3 Not a valid recipient address: ${address.fault}`)
    : { ok: true, recipient: address.value };
}

function readAddress(
  given: string,
  smtputf8: boolean,
): { value: Address } | { fault: string } | "needs-smtputf8" {
  const text = given.replace(SOURCE_ROUTE, "");
  const value = parseAddress(text);
  if (value === null) return { fault: addressFault(text) };
  // a domain of U-labels comes out in ASCII, but to send one takes the extension too (RFC 6531 §3.3)
  if (!smtputf8 && (needsSmtputf8(value) || /[^\x00-\x7f]/.test(text))) return "needs-smtputf8";
  return { value };
}

function readParameters(text: string | undefined): Parameters | Refused {
  const parameters = new Map<string, string | null>();
  if (!text) return parameters;
  for (const part of text.split(/\s+/)) {
    const match = PARAMETER.exec(part);
    if (!match) {
      const shown = part.slice(0, MAX_SHOWN_CHARS).replaceAll(/[^!-~]/g, "?");
      return refused(501, `5.5.4 Cannot read the parameter ${shown}: write KEYWORD or KEYWORD=value`);
    }
    const keyword = (match[1] as string).toUpperCase();
    if (parameters.has(keyword)) return refused(501, `5.5.4 ${keyword} is given twice`);
    parameters.set(keyword, match[2] ?? null);
  }
  return parameters;
}

function mailFault(parameters: Parameters, maxBytes: number): Refused | null {
  for (const [keyword, value] of parameters) {
    const fault = mailParameterFault(keyword, value, maxBytes);
    if (fault) return fault;
  }
  return null;
}

function mailParameterFault(keyword: string, value: string | null, maxBytes: number): Refused | null {
  switch (keyword) {
    case "SIZE":
      if (value === null || !SIZE.test(value)) return refused(501, "5.5.4 SIZE takes a number of bytes");
      return Number(value) > maxBytes
        ? refused(552, `5.3.4 Message is larger than the limit of ${maxBytes} bytes`)
        : null;
    case "BODY":
      return bodyFault(value);
    case "SMTPUTF8":
      return value === null ? null : refused(501, "5.5.4 SMTPUTF8 takes no value");
    case "AUTH": // who the client says wrote it: allowed, not believed
      return value === null ? refused(501, "5.5.4 AUTH takes an address or <>") : null;
    default:
      return unknownParameter(keyword);
  }
}

function bodyFault(value: string | null): Refused | null {
  switch (value?.toUpperCase()) {
    case "7BIT":
    case "8BITMIME":
      return null;
    case "BINARYMIME":
      return refused(555, "5.5.4 BODY=BINARYMIME is not offered");
    default:
      return refused(501, "5.5.4 BODY is 7BIT or 8BITMIME");
  }
}

function unknownParameter(keyword: string): Refused {
  return refused(555, `5.5.4 Parameter ${keyword} is not offered`);
}

function refused(code: number, text: string): Refused {
  return { ok: false, reply: { code, text } };
}
