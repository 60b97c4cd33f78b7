/** IP addresses in one spelling each, so that two of them can be compared as strings. */

import { isIP, isIPv4 } from "node:net";

import ipaddr from "ipaddr.js";

const V4_IN_V6 = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/**
 * Dotted quads as they are, IPv6 in the form of RFC 5952, an IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) as IPv4.
 * Null: not an address. Leading zeros (`0127.0.0.1`), short forms (`127.1`) and zones (`fe80::1%eth0`) are none: one
 * program's reading of those is not another's.
 */
export function parseIp(text: string): string | null {
  if (isIPv4(text)) return text;
  if (isIP(text) !== 6 || text.includes("%")) return null;
  const short = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = V4_IN_V6.exec(short);
  if (!mapped) return short;
  const high = Number.parseInt(mapped[1] as string, 16);
  const low = Number.parseInt(mapped[2] as string, 16);
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

export function ipFamily(ip: string): 4 | 6 {
  return ip.includes(":") ? 6 : 4;
}

/** Where the name of an address is in the DNS (RFC 1035 §3.5, RFC 3596 §2.5). Throws on what is not an IP address. */
export function reverseName(ip: string): string {
  const address = ipaddr.process(ip);
  return `${reversedLabels(ip)}.${address instanceof ipaddr.IPv4 ? "in-addr" : "ip6"}.arpa`;
}

/** The part of that name that blocklists are asked with, too (RFC 5782 §2.1). */
export function reversedLabels(ip: string): string {
  const address = ipaddr.process(ip);
  if (address instanceof ipaddr.IPv4) return address.octets.toReversed().join(".");
  return Buffer.from(address.toByteArray()).toString("hex").split("").toReversed().join(".");
}

/** False: of this machine or of a private network, or one that stands for any. Others cannot see such an address. */
export function isSeenByOthers(ip: string): boolean {
  const text = parseIp(ip);
  return text !== null && !HIDDEN_RANGES.includes(ipaddr.process(text).range());
}

const HIDDEN_RANGES: readonly string[] = [
  "unspecified",
  "loopback",
  "private",
  "uniqueLocal",
  "linkLocal",
  "carrierGradeNat",
];
