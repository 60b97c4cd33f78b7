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

/** Null: the system chooses the address to bind. */
export function bindAddress(egress: EgressAddress): string | null {
  return WILDCARDS.has(egress.address) ? null : egress.address;
}
