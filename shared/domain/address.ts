/**
 * Mail addresses as we keep them (RFC 5321 §4.1.2, RFC 6531 §3.3): the local part as given, the domain in lower-case A-labels
 * (UTS 46 non-transitional), so that two spellings of one mailbox compare equal and a rule for a domain meets all of them.
 */

import { domainToASCII, domainToUnicode } from "node:url";
import { isIP } from "node:net";

import type { Branded } from "./branded.ts";
import { ipFamily, parseIp } from "./ip.ts";

/** `local@domain`, normalised. */
export type Address = Branded<string, "Address">;
/** Lower-case A-labels (`xn--…`), or an address literal with the IP in its one spelling: `[192.0.2.1]`, `[ipv6:2001:db8::1]`. */
export type Domain = Branded<string, "Domain">;

/** RFC 5321 §4.5.3.1.1-3, in octets. */
const MAX_LOCAL_BYTES = 64;
const MAX_DOMAIN_BYTES = 253; // 255 on the wire of the DNS, with the length of the first label and the root
const MAX_LABEL_BYTES = 63;
const MAX_PATH_BYTES = 254; // 256 with the angle brackets
/** More is not looked at: mapping and normalising take time in proportion. */
const MAX_INPUT_CHARS = 1_024;

// UTF8-non-ascii of RFC 6531 §3.3, without what Unicode has as controls, separators, surrogates and private use
const NON_ASCII =
  "\\u{a1}-\\u{167f}\\u{1681}-\\u{1fff}\\u{2030}-\\u{205e}\\u{2070}-\\u{2fff}\\u{3001}-\\u{d7ff}\\u{f900}-\\u{fefe}\\u{ff00}-\\u{fff8}\\u{10000}-\\u{dffff}";
// atext of RFC 5322 §3.2.3, and qtextSMTP and quoted-pairSMTP of RFC 5321 §4.1.2
const ATOM = `[A-Za-z0-9!#$%&'*+/=?^_\`{|}~\\-${NON_ASCII}]`;
const DOT_STRING = new RegExp(`^${ATOM}+(?:\\.${ATOM}+)*$`, "u");
const QUOTED_STRING = new RegExp(`^"(?:[ !#-\\[\\]-~${NON_ASCII}]|\\\\[ -~])*"$`, "u");
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;

/** Null: not a Mailbox of RFC 5321, or too long. */
export function parseAddress(text: string): Address | null {
  const at = text.lastIndexOf("@");
  if (at <= 0 || text.length > MAX_INPUT_CHARS) return null;
  const local = normalLocal(text.slice(0, at));
  const domain = parseDomain(text.slice(at + 1));
  if (local === null || domain === null) return null;
  if (Buffer.byteLength(local) > MAX_LOCAL_BYTES) return null;
  const address = `${local}@${domain}`;
  return Buffer.byteLength(address) > MAX_PATH_BYTES ? null : (address as Address);
}

/** What keeps `text` from being an address, for who wrote it; `parseAddress` has said that it is none. */
export function addressFault(text: string): string {
  const at = text.lastIndexOf("@");
  if (text.length > MAX_INPUT_CHARS) return "it is too long";
  if (at === -1) return "it has no @ and domain";
  if (at === 0) return "nothing is before the @";
  const local = normalLocal(text.slice(0, at));
  if (local === null) return "before the @ is a character that takes quotes, or a dot too many";
  if (Buffer.byteLength(local) > MAX_LOCAL_BYTES)
    return `more than ${MAX_LOCAL_BYTES} octets are before the @`;
  return parseDomain(text.slice(at + 1)) === null
    ? "behind the @ is no domain name"
    : `it has more than ${MAX_PATH_BYTES} octets`;
}

/** Null: neither a domain name nor an address literal. A trailing dot is taken off. */
export function parseDomain(text: string): Domain | null {
  if (text.startsWith("[")) return parseLiteral(text);
  const bare = text.endsWith(".") ? text.slice(0, -1) : text;
  if (bare === "" || bare.length > MAX_INPUT_CHARS || /[\s/:?#@\\%[\]]/.test(bare)) return null; // domainToASCII would read these as parts of a URL
  const ascii = domainToASCII(bare).toLowerCase();
  if (ascii === "" || ascii.length > MAX_DOMAIN_BYTES || isIP(ascii) !== 0) return null;
  const labels = ascii.split(".");
  if (!labels.every((label) => label.length <= MAX_LABEL_BYTES && LABEL.test(label))) return null;
  // an A-label that could not be read stands for no name (RFC 5891 §5.4)
  if (ascii.includes("xn--") && /(?:^|\.)xn--/.test(domainToUnicode(ascii))) return null;
  return ascii as Domain;
}

export function domainOf(address: Address): Domain {
  return address.slice(address.lastIndexOf("@") + 1) as Domain;
}

export function localPartOf(address: Address): string {
  return address.slice(0, address.lastIndexOf("@"));
}

/** True: the address can only be said to a peer that offers SMTPUTF8 (RFC 6531 §3.4). */
export function needsSmtputf8(address: Address): boolean {
  return /[^\x00-\x7f]/.test(address);
}

/** The IP address in an address literal; null: the domain is a name. */
export function ipOfLiteral(domain: Domain): string | null {
  if (!domain.startsWith("[")) return null;
  const inner = domain.slice(1, -1);
  return inner.startsWith("ipv6:") ? inner.slice(5) : inner;
}

/** A needlessly quoted local part loses its quotes, so that both spellings are one mailbox. */
function normalLocal(text: string): string | null {
  const local = text.normalize("NFC");
  if (DOT_STRING.test(local)) return local;
  if (!QUOTED_STRING.test(local)) return null;
  const content = local.slice(1, -1).replaceAll(/\\(.)/gu, "$1");
  if (DOT_STRING.test(content)) return content;
  return `"${content.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

function parseLiteral(text: string): Domain | null {
  const [, tag = "", inner = ""] = /^\[(ipv6:)?([0-9a-f.:]+)\]$/i.exec(text) ?? [];
  const ip = parseIp(inner);
  if (ip === null || (tag === "") === inner.includes(":")) return null; // the tag belongs to IPv6 and to it alone
  return (ipFamily(ip) === 4 ? `[${ip}]` : `[ipv6:${ip}]`) as Domain;
}
