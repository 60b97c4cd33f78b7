/**
 * Addresses we must not connect to because a stranger's DNS record, or the domain of a recipient, said so. Without this any MX
 * record could point our connections at a metadata service, a database or a neighbour (server-side request forgery).
 *
 * A relay that the operator configured is his own word and does not come through here.
 */

import ipaddr from "ipaddr.js";
import { isIP } from "node:net";

/** `never`: no mail host can be there. `local`: there may be one, but not for the world; refused unless the policy allows it. */
export interface ForbiddenRange {
  readonly rule: "never" | "local";
  /** In words for the operator. */
  readonly why: string;
}

type Range = readonly [cidr: string, rule: ForbiddenRange["rule"], why: string];

const IPV4_RANGES: readonly Range[] = [
  ["0.0.0.0/8", "never", "this network, RFC 1122"], // Linux takes 0.0.0.0 for loopback
  ["255.255.255.255/32", "never", "broadcast, RFC 919"],
  ["224.0.0.0/4", "never", "multicast, RFC 5771"],
  ["127.0.0.0/8", "local", "loopback, RFC 1122"],
  ["10.0.0.0/8", "local", "private network, RFC 1918"],
  ["172.16.0.0/12", "local", "private network, RFC 1918"],
  ["192.168.0.0/16", "local", "private network, RFC 1918"],
  ["169.254.0.0/16", "local", "link-local, RFC 3927"], // 169.254.169.254: the metadata service of every cloud
  ["100.64.0.0/10", "local", "carrier-grade NAT, RFC 6598"], // 100.100.100.200: the same at one more cloud
  ["192.0.0.0/24", "local", "protocol assignments, RFC 6890"],
  ["192.0.2.0/24", "local", "documentation, RFC 5737"],
  ["198.51.100.0/24", "local", "documentation, RFC 5737"],
  ["203.0.113.0/24", "local", "documentation, RFC 5737"],
  ["198.18.0.0/15", "local", "benchmarking, RFC 2544"],
  ["192.88.99.0/24", "local", "6to4 relay anycast, RFC 7526"],
  ["240.0.0.0/4", "local", "reserved, RFC 1112"],
];

const IPV6_RANGES: readonly Range[] = [
  ["::/128", "never", "unspecified, RFC 4291"],
  ["ff00::/8", "never", "multicast, RFC 4291"],
  ["::1/128", "local", "loopback, RFC 4291"],
  ["fe80::/10", "local", "link-local, RFC 4291"],
  ["fec0::/10", "local", "site-local, RFC 3879"],
  ["fc00::/7", "local", "unique local, RFC 4193"], // fd00:ec2::254 among them
  ["2001:db8::/32", "local", "documentation, RFC 3849"],
  ["3fff::/20", "local", "documentation, RFC 9637"],
  ["2001:2::/48", "local", "benchmarking, RFC 5180"],
  ["100::/64", "local", "discard only, RFC 6666"],
  ["5f00::/16", "local", "segment routing, RFC 9602"],
  // The wrapped forms: what is inside is reached without a look at the table of IPv4 above, and no honest record has them.
  ["2002::/16", "local", "6to4, RFC 7526"],
  ["2001::/32", "local", "Teredo, RFC 4380"],
  ["64:ff9b:1::/48", "local", "local-use NAT64, RFC 8215"],
];

/** An IPv4 address inside an IPv6 one is what the connection goes to in the end. */
const WRAPPED_IPV4: readonly { cidr: string; why: string }[] = [
  { cidr: "::ffff:0:0/96", why: "IPv4-mapped, RFC 4291" },
  { cidr: "::ffff:0:0:0/96", why: "IPv4-translated, RFC 2765" },
  { cidr: "::/96", why: "IPv4-compatible, RFC 4291" },
];

/** A public IPv4 address in it is honest: a host with IPv6 alone reaches the IPv4 world so (DNS64, RFC 6147). */
const NAT64 = "64:ff9b::/96";

type Parsed = ipaddr.IPv4 | ipaddr.IPv6;
type Compiled<T> = readonly { block: [T, number]; range: ForbiddenRange }[];

const compiled4: Compiled<ipaddr.IPv4> = IPV4_RANGES.map(([cidr, rule, why]) => ({
  block: ipaddr.IPv4.parseCIDR(cidr),
  range: { rule, why },
}));
const compiled6: Compiled<ipaddr.IPv6> = IPV6_RANGES.map(([cidr, rule, why]) => ({
  block: ipaddr.IPv6.parseCIDR(cidr),
  range: { rule, why },
}));
const wrapped = WRAPPED_IPV4.map(({ cidr, why }) => ({ block: ipaddr.IPv6.parseCIDR(cidr), why }));
const nat64 = ipaddr.IPv6.parseCIDR(NAT64);

/** Null: an address of the public Internet. What is not an IP address at all is forbidden. */
export function forbiddenRange(ip: string): ForbiddenRange | null {
  // ipaddr.js alone would take `0127.0.0.1`, `1` and `::1%eth0` for addresses.
  if (isIP(ip) === 0 || ip.includes("%")) return { rule: "never", why: "not an IP address" };
  const parsed: Parsed = ipaddr.parse(ip);
  return parsed instanceof ipaddr.IPv4 ? forbidden4(parsed) : forbidden6(parsed);
}

function forbidden4(ip: ipaddr.IPv4): ForbiddenRange | null {
  return compiled4.find(({ block }) => ip.match(block))?.range ?? null;
}

function forbidden6(ip: ipaddr.IPv6): ForbiddenRange | null {
  const direct = compiled6.find(({ block }) => ip.match(block))?.range;
  if (direct !== undefined) return direct;
  if (ip.match(nat64)) {
    const inner = forbidden4(innerIpv4(ip));
    return inner && { rule: inner.rule, why: `${inner.why}, behind NAT64` };
  }
  const wrapper = wrapped.find(({ block }) => ip.match(block));
  if (wrapper === undefined) return null;
  const inner = forbidden4(innerIpv4(ip));
  return { rule: inner?.rule ?? "local", why: inner ? `${inner.why}, ${wrapper.why}` : wrapper.why };
}

/** The IPv4 address in the last 32 bits. */
function innerIpv4(ip: ipaddr.IPv6): ipaddr.IPv4 {
  return new ipaddr.IPv4(ip.toByteArray().slice(-4));
}
