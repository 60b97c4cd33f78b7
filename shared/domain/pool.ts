/** The egress addresses a zone may use, and the choice among them. */

import { hash } from "node:crypto";

import { ipFamily } from "./ip.ts";

/** What sums of decimal fractions may be off by. */
const SLIP = 1e-9;

/** A local IP and the EHLO name it goes by; or an Elastic IP, which one host of the fleet or another holds. */
export interface EgressAddress {
  /** IP to bind; `0.0.0.0` or `::` lets the system choose. Of an Elastic IP its EHLO name, for all there is to be said of it. */
  readonly address: string;
  /** EHLO name; its forward and reverse DNS should agree. */
  readonly name: string;
  /** Share of the pool's mail; 0: never used. Shares of a pool sum to 1. */
  readonly share: number;
  /** Left out: an address that is configured on this machine. */
  readonly elastic?: true;
}

/** An address as it is configured. `ratio` null: an equal part of what the others leave. */
export interface PoolEntry {
  readonly address: string;
  readonly name: string;
  readonly ratio: number | null;
  /** Left out: false. */
  readonly elastic?: boolean;
}

/**
 * Shares from ratios. A ratio is a part of 1, and entries without one share what is left equally. When every entry has a ratio
 * they are weights, whatever they add up to. Counted within each address family, since a destination is reached over one.
 * Null: there is no entry that could ever be used.
 */
export function poolShares(entries: readonly PoolEntry[]): EgressAddress[] | null {
  const weights = new Map<PoolEntry, number>();
  for (const family of [4, 6]) {
    const members = entries.filter((entry) => ipFamily(entry.address) === family);
    const rest = restShare(members);
    const total = members.reduce((sum, { ratio }) => sum + (ratio ?? rest), 0);
    for (const entry of members) weights.set(entry, total === 0 ? 0 : (entry.ratio ?? rest) / total);
  }
  const families = [...weights.values()].reduce((sum, weight) => sum + weight, 0); // each in use adds up to 1
  if (families === 0) return null;
  return entries.map((entry) => ({
    address: entry.address,
    name: entry.name,
    share: (weights.get(entry) ?? 0) / families,
    ...(entry.elastic === true ? { elastic: true } : {}),
  }));
}

/** EHLO names of the Elastic IPs of these pools, each once. */
export function elasticNames(pools: Iterable<readonly EgressAddress[]>): string[] {
  const entries = [...pools].flat().filter(({ elastic }) => elastic === true);
  return [...new Set(entries.map(({ name }) => name))].toSorted();
}

/** What an entry without a ratio gets: nothing when the ratios of the others add up to 1 already. */
function restShare(members: readonly PoolEntry[]): number {
  const ratios = members.flatMap(({ ratio }) => (ratio === null ? [] : [ratio]));
  const left = 1 - ratios.reduce((sum, ratio) => sum + ratio, 0);
  return left < SLIP ? 0 : left / (members.length - ratios.length);
}

/**
 * The address for a key (a message id, a return path): weighted rendezvous hashing. The same key gets the same address while
 * the pool and what is usable stay the same; taking one address out moves only the keys it had. Null: none is usable.
 */
export function chooseEgress(
  pool: readonly EgressAddress[],
  key: string,
  usable: (egress: EgressAddress) => boolean,
): EgressAddress | null {
  let best: EgressAddress | null = null;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (const egress of pool) {
    if (egress.share <= 0 || !usable(egress)) continue;
    const score = egress.share / -Math.log(chanceOf(egress.address, key));
    if (score <= bestScore) continue;
    best = egress;
    bestScore = score;
  }
  return best;
}

/** A number over 0 and under 1 that an address and a key fix; even over all keys, and independent between addresses. */
function chanceOf(address: string, key: string): number {
  const digest = hash("sha1", `${address}\n${key}`, "buffer");
  return (digest.readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
