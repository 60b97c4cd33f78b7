/** Addresses and domains not to send to: looked up at accept and again before each attempt. */

import type { Address, Domain } from "../domain/address.ts";
import type { SuppressionEntry } from "../domain/suppression.ts";

export interface SuppressionStore {
  /** Adding what is there already gives the entry that is there. */
  add(
    entry: { address: Address; reason: string | null } | { domain: Domain; reason: string | null },
  ): Promise<SuppressionEntry>;
  /** False: no such entry. */
  remove(id: string): Promise<boolean>;
  /** The entry that forbids each recipient, by address first (without regard to case) and then by domain; null: none. */
  find(recipients: readonly Address[]): Promise<(SuppressionEntry | null)[]>;
  /** In the order they were added. `cursor` null: from the start; in the answer: that was the last page. */
  list(page: {
    limit: number;
    cursor: string | null;
  }): Promise<{ entries: SuppressionEntry[]; cursor: string | null }>;
}
