/** Addresses and domains not to send to. */

import type { Address, Domain } from "./address.ts";
import { domainOf, localPartOf } from "./address.ts";
import type { EpochMs } from "./units.ts";

export interface SuppressionEntry {
  /** Unique; made by the store. */
  readonly id: string;
  /** Exactly one of `address` and `domain` is not null. */
  readonly address: Address | null;
  readonly domain: Domain | null;
  readonly createdAt: EpochMs;
  /** Why, in the words of who added it; null: not said. */
  readonly reason: string | null;
}

/** What is looked up for a recipient: the address without regard to case, then its domain. */
export function suppressionKeys(recipient: Address): { address: string; domain: Domain } {
  const domain = domainOf(recipient);
  return { address: `${localPartOf(recipient).toLowerCase()}@${domain}`, domain };
}
