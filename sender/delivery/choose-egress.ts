/** The egress address for a message to a site: stable for the message, never one that is disabled or blocked for the site. */

import { isIPv6 } from "node:net";

import type { Message } from "#shared/domain/message.ts";
import type { EgressAddress } from "#shared/domain/pool.ts";
import { chooseEgress } from "#shared/domain/pool.ts";
import type { Zone } from "#shared/domain/zone.ts";

export interface EgressFacts {
  readonly zone: Zone;
  readonly message: Message;
  readonly site: string;
  /** IP address of the peer. */
  readonly peer: string;
  /** Not to be used: configured for the domain, or blocked by the peer. */
  readonly isForbidden: (address: string) => boolean;
}

const WILDCARDS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** Null: the pool has no address of the peer's family that may talk to the site now. */
export function egressFor({ zone, message, site, peer, isForbidden }: EgressFacts): EgressAddress | null {
  const v6 = isIPv6(peer);
  const key = zone.poolHash === "from" ? (message.returnPath ?? message.id) : `${message.id} ${site}`;
  return chooseEgress(zone.pool, key, (entry) => {
    if (WILDCARDS.has(entry.address)) return true;
    return isIPv6(entry.address) === v6 && !isForbidden(entry.address);
  });
}

/** IP address to bind for the Elastic IP of that name; null: this host does not hold it. */
export type PlaceOf = (name: string) => string | null;

/** IP address to bind; null: the system chooses it. `elsewhere`: it is an Elastic IP that this host does not hold. */
export function bindAddress({ address, elastic }: EgressAddress, placeOf: PlaceOf): string | null {
  if (elastic === true) return placeOf(address) ?? ELSEWHERE;
  return WILDCARDS.has(address) ? null : address;
}

export const ELSEWHERE = "elsewhere";

/** False: all that the zone could send from are Elastic IPs that this host does not hold, so its mail is for others to send. */
export function hasEgressHere({ pool, http }: Pick<Zone, "pool" | "http">, placeOf: PlaceOf): boolean {
  return http !== null || pool.some((each) => each.share > 0 && bindAddress(each, placeOf) !== ELSEWHERE);
}
