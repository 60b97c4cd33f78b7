/**
 * The arguments of XCLIENT and XFORWARD, by which a proxy tells of the client behind it (Postfix: XCLIENT_README,
 * XFORWARD_README). Pure reading: whose word is taken, and what it changes, is the connection's to say. A line is read as a whole
 * or not at all, so that nobody is left with half of another's identity.
 */

import { parseDomain } from "#shared/domain/address.ts";
import { parseIp } from "#shared/domain/ip.ts";

/** Left out: the proxy does not say. Null: it says that nobody knows. */
export interface ClientAttributes {
  readonly ip?: string | null;
  readonly host?: string | null;
  readonly helo?: string | null;
  readonly port?: number | null;
  /** Name of the account that has logged in. */
  readonly login?: string | null;
}

export const XCLIENT_NAMES = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN"] as const;
export const XFORWARD_NAMES = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"] as const;

const PAIR = /^([A-Za-z]+)=(\S*)$/;
/** RFC 3461 §4: `+` and two upper-case hexadecimal digits stand for an octet. */
const XTEXT = /^(?:[!-*,-<>-~]|\+[0-9A-F]{2})*$/;
const UNKNOWN: ReadonlySet<string> = new Set(["", "[UNAVAILABLE]", "[TEMPUNAVAIL]"]);
const MAX_VALUE_CHARS = 255;
const MAX_PORT = 65_535;
/** Of an attribute that cannot be read, in the reply. */
const MAX_SHOWN_CHARS = 40;

/** `fault` is what is wrong, in few words: mostly the name of an attribute, as it was given. */
export type ReadAttributes =
  | { readonly ok: true; readonly attributes: ClientAttributes }
  | { readonly ok: false; readonly fault: string };

/** `line` is the command without its line end; `names` are the attributes it may have. */
export function readAttributes(line: string, names: readonly string[]): ReadAttributes {
  const [, ...pairs] = line.trim().split(/\s+/);
  if (pairs.length === 0) return { ok: false, fault: "no attributes" };
  const values = new Map<string, string | null>();
  for (const pair of pairs) {
    const match = PAIR.exec(pair);
    const name = match?.[1]?.toUpperCase() ?? "";
    const value = readValue(match?.[2] ?? "");
    if (!names.includes(name) || values.has(name) || value === undefined) return faultOf(pair);
    values.set(name, value);
  }
  return attributesOf(values);
}

function faultOf(pair: string): ReadAttributes {
  return { ok: false, fault: (pair.split("=")[0] ?? "").slice(0, MAX_SHOWN_CHARS) };
}

/** Undefined: it cannot be read. */
function readValue(text: string): string | null | undefined {
  if (!XTEXT.test(text)) return undefined;
  const bytes = text.replaceAll(/\+([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const value = Buffer.from(bytes, "latin1").toString("utf8");
  if (UNKNOWN.has(value.toUpperCase())) return null;
  return value.length > MAX_VALUE_CHARS || /[\p{Cc}\p{Zl}\p{Zp}\ufffd]/u.test(value) ? undefined : value;
}

function attributesOf(values: ReadonlyMap<string, string | null>): ReadAttributes {
  const attributes: Record<string, string | number | null> = {};
  for (const [name, value] of values) {
    const reader = READERS[name];
    if (!reader) continue; // PROTO, IDENT and SOURCE tell nothing that we keep
    const read = value === null ? null : reader.read(value);
    if (read === null && value !== null) return faultOf(name);
    attributes[reader.key] = read;
  }
  return { ok: true, attributes };
}

const READERS: Readonly<
  Record<string, { key: keyof ClientAttributes; read: (value: string) => string | number | null }>
> = {
  ADDR: { key: "ip", read: (value) => parseIp(value.replace(/^IPv6:/i, "")) },
  NAME: { key: "host", read: (value) => (value.startsWith("[") ? null : parseDomain(value)) },
  HELO: { key: "helo", read: (value) => value.toLowerCase() },
  PORT: { key: "port", read: portOf },
  LOGIN: { key: "login", read: (value) => value },
};

function portOf(text: string): number | null {
  return /^\d{1,5}$/.test(text) && Number(text) <= MAX_PORT ? Number(text) : null;
}
