/**
 * Budgets that all processes and senders share: connection slots, rates, blocked egress addresses, slowed sites, warm-up
 * counts, and counts of plugins and of logins that are tried.
 * The sum of what is handed out never exceeds a limit; what a dead holder had comes back when its time is over.
 */

import type { WorkerId } from "../domain/ids.ts";
import type { Pace } from "../domain/pace.ts";
import type { Rate } from "../domain/throttle.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";

export interface BlockedEgress {
  /** Egress address. */
  readonly address: string;
  readonly site: string;
  readonly until: EpochMs;
  readonly createdAt: EpochMs;
  /** What the peer said. */
  readonly response: string;
}

/** A site to which a zone sends more slowly for a while: domain/pace.ts says how much, and until when. */
export interface SlowedSite extends Pace {
  readonly zone: ZoneName;
  readonly site: string;
  /** When it is as fast as ever. */
  readonly until: EpochMs;
  /** What the peer said last. */
  readonly response: string;
}

export interface LimitStore {
  /** Slots granted to `holder`, 0 to `want`, such that all holders together have at most `limit`. */
  acquireSlots(
    key: string,
    request: { holder: WorkerId; want: number; limit: number; until: EpochMs },
  ): Promise<number>;
  /** Never below zero. */
  releaseSlots(key: string, release: { holder: WorkerId; count: number }): Promise<void>;
  /**
   * Keep all slots of `holder` until then. True: all are its own still. False: its time was over, or it was dropped, so that others
   * may have taken some or all of them; it keeps what nobody took, and is right to give everything back and ask anew.
   */
  renewSlots(holder: WorkerId, until: EpochMs): Promise<boolean>;
  /** Give back all slots of a holder that is known to be dead or done. */
  dropHolder(holder: WorkerId): Promise<void>;

  /**
   * Permits to send, 0 to `want`, as the times from which they may be used: evenly spread, so that no period has more than `rate`,
   * and of now or at most `aheadMs` (none, when left out) later. `laterMs`: this and all that follow come so much later than they
   * would have. `retryAt`: when the next will be there. See domain/rate-schedule.ts.
   */
  takeBudget(
    key: string,
    request: { want: number; rate: Rate; aheadMs?: number; laterMs?: number },
  ): Promise<{ permits: readonly EpochMs[]; retryAt: EpochMs }>;

  block(entry: BlockedEgress): Promise<void>;
  unblock(address: string, site: string): Promise<boolean>;
  /** Those whose time is not over. */
  blocked(): Promise<BlockedEgress[]>;

  /** Takes the place of what was there for the zone and the site. */
  slow(entry: SlowedSite): Promise<void>;
  /** Those whose time is not over. */
  slowed(): Promise<SlowedSite[]>;

  /** Add to the count of mails of an egress address to a site on a day (`2026-11-20`, UTC) and give the new count. */
  countWarmup(key: { address: string; site: string; day: string }, count: number): Promise<number>;

  /**
   * Count one more under `key`, and give how many that makes in the window of now. Windows have one length for each key, and begin at
   * multiples of it since 1970: a period of that length which spans two of them may hold twice as many.
   */
  countInWindow(key: string, windowMs: number): Promise<number>;
}
