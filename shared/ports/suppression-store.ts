/**
 * Addresses and domains not to send to: looked up at accept and again before each attempt. An entry is named by what it is of and
 * its scope; there is one at most of each. One whose time is over is as if it had never been.
 */

import type { Address, Domain } from "../domain/address.ts";
import type { MailOwner, SuppressionEntry, SuppressionScope } from "../domain/suppression.ts";
import type { EpochMs } from "../domain/units.ts";

/** What an entry is of. `scope` left out: of everybody's mail. */
export type SuppressionSubject = ({ readonly address: Address } | { readonly domain: Domain }) & {
  readonly scope?: SuppressionScope;
};

export type SuppressionRequest = SuppressionSubject & {
  readonly reason: string | null;
  /** Null or left out: the entry stays until it is removed. */
  readonly expiresAt?: EpochMs | null;
};

/** Requests in one `addAll`. */
export const MAX_ADDED = 1_000;

export interface SuppressionStore {
  /** Adding what is there already gives the entry that is there, with the later end of both: adding never lets mail through. */
  add(request: SuppressionRequest): Promise<SuppressionEntry>;
  /** `add` for each, in order, up to `MAX_ADDED`. `added` false: it was there. When it rejects, some may have been added. */
  addAll(requests: readonly SuppressionRequest[]): Promise<{ entry: SuppressionEntry; added: boolean }[]>;
  /** False: no such entry. */
  remove(id: string): Promise<boolean>;
  /** The entry of exactly that; null: none. */
  get(subject: SuppressionSubject): Promise<SuppressionEntry | null>;
  /**
   * The entry that forbids each recipient to a mail of that owner, by address first (without regard to case) and then by domain, of
   * each the widest scope first; null: none.
   */
  find(recipients: readonly Address[], owner: MailOwner): Promise<(SuppressionEntry | null)[]>;
  /**
   * In the order they were added. `cursor` null: from the start; in the answer: that was the last page. A page may have fewer
   * than `limit`, or none, and a cursor: entries whose time is over are left out of it.
   */
  list(page: {
    limit: number;
    cursor: string | null;
  }): Promise<{ entries: SuppressionEntry[]; cursor: string | null }>;
}
