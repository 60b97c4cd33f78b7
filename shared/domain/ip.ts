/** IP addresses in one spelling each, so that two of them can be compared as strings. */

import { isIP, isIPv4 } from "node:net";

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
