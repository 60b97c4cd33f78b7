/** What the packet of a name server says about a name: records, none, no such name, or "ask for this other name". */

import type { Answer, DecodedPacket } from "dns-packet";

import type { DnsAnswer } from "../../ports/dns.ts";

import type { Asked } from "./ask-server.ts";
import { isAboutName, RCODE, rcodeName } from "./rcode.ts";

/** `alias`: the name stands for `target`, of which the packet says nothing. */
export type Reading<T> = DnsAnswer<T> | { kind: "alias"; target: string; ttlSeconds: number };

/** Aliases from a name to its records at most, over all packets. */
const MAX_ALIASES = 8;
/** Records of one answer that are kept. */
const MAX_RECORDS = 100;
/** A lifetime with the top bit set means none (RFC 2181 §8). */
const MAX_TTL_SECONDS = 2 ** 31 - 1;

/** `visited` holds the names on the way here, and takes those that the packet adds. */
export function readAnswer<T>(
  { packet, rcode }: { packet: DecodedPacket; rcode: number },
  asked: Asked,
  { pick, visited }: { pick: (record: Answer) => T | null; visited: Set<string> },
): Reading<T> {
  if (!isAboutName(rcode)) return { kind: "failed", detail: `the name server said ${rcodeName(rcode)}` };
  const chain = followAliases(packet.answers ?? [], asked.name.toLowerCase(), visited);
  if (chain === null) return { kind: "failed", detail: `the aliases of ${asked.name} have no end` };
  const { name, ttlSeconds } = chain;
  const records = (packet.answers ?? []).filter((record) => record.type === asked.type && isOf(record, name));
  const values = records.slice(0, MAX_RECORDS).flatMap((record) => pick(record) ?? []);
  if (values.length > 0) {
    return { kind: "found", records: values, ttlSeconds: Math.min(ttlSeconds, ...records.map(ttlOf)) };
  }
  if (records.length > 0) return { kind: "failed", detail: `the records of ${name} cannot be read` };
  return noRecords(packet, { rcode, chain, aliased: name !== asked.name.toLowerCase() });
}

/** RFC 2308 §2: the code speaks of the last name of the chain; an SOA record tells an empty answer from one that is not whole. */
function noRecords<T>(
  packet: DecodedPacket,
  { rcode, chain, aliased }: { rcode: number; chain: Chain; aliased: boolean },
): Reading<T> {
  const negativeTtl = negativeTtlOf(packet);
  const ttlSeconds = Math.min(chain.ttlSeconds, negativeTtl ?? 0); // RFC 2308 §5: without an SOA it is not to be kept
  if (rcode === RCODE.nxDomain) return { kind: "nxdomain", ttlSeconds };
  if (negativeTtl !== null) return { kind: "nodata", ttlSeconds };
  if (aliased) return { kind: "alias", target: chain.name, ttlSeconds: chain.ttlSeconds };
  const isReferral = !packet.flag_aa && packet.authorities?.some(({ type }) => type === "NS") === true;
  return isReferral
    ? { kind: "failed", detail: "the name server only refers to others: it does not answer for the world" }
    : { kind: "nodata", ttlSeconds };
}

interface Chain {
  readonly name: string;
  /** The shortest lifetime on the way; Infinity when there was no alias. */
  readonly ttlSeconds: number;
}

/** Null: it goes round, or on for too long. */
function followAliases(answers: readonly Answer[], from: string, visited: Set<string>): Chain | null {
  let name = from;
  let ttlSeconds = Infinity;
  for (;;) {
    if (visited.has(name) || visited.size > MAX_ALIASES) return null;
    visited.add(name);
    const alias = answers.find((record) => record.type === "CNAME" && isOf(record, name));
    if (alias?.type !== "CNAME") return { name, ttlSeconds };
    ttlSeconds = Math.min(ttlSeconds, ttlOf(alias));
    name = plainName(alias.data);
  }
}

/** RFC 2308 §5: the smaller of the SOA record's lifetime and its last field. Null: no SOA record. */
function negativeTtlOf(packet: DecodedPacket): number | null {
  const soa = packet.authorities?.find((record) => record.type === "SOA");
  return soa?.type === "SOA" ? Math.min(ttlOf(soa), soa.data.minimum ?? 0) : null;
}

/** Lower case, no trailing dot; empty for the root. */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function isOf(record: Answer, name: string): boolean {
  return plainName(record.name) === name;
}

function ttlOf(record: Answer): number {
  const ttl = "ttl" in record ? (record.ttl ?? 0) : 0;
  return ttl > MAX_TTL_SECONDS ? 0 : ttl;
}
