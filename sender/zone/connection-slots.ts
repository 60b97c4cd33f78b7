/**
 * Connection slots of this process: each open connection has one for its site and one for its zone, out of budgets that all
 * processes share, so the caps hold over the fleet. A process that dies loses its slots when they lapse; so does one that cannot
 * reach the store for that long, and then it opens nothing more until it can.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { later, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import type { SlotAnswer, SlotLease, SlotSlice, SlotTerms } from "./slot-slice.ts";
import { slotSlice } from "./slot-slice.ts";

export interface SlotKey {
  readonly zone: string;
  readonly zoneLimit: number;
  readonly site: string;
  readonly siteLimit: number;
}

export interface ConnectionSlots {
  /** Not granted: the zone or the site has all the connections it may have, here or elsewhere. */
  acquire(key: SlotKey): Promise<SlotAnswer>;
  release(key: SlotKey): Promise<void>;
  /** True: there are more connections here than slots, for others may have some that lapsed. Let one that ends be the last. */
  isOver(key: SlotKey): boolean;
  /** Give back the slots of a site whose limit has gone down: connections end with the mail they carry, and new ones ask anew. */
  surrender(key: Pick<SlotKey, "zone" | "site">): void;
  /** Stay the holder of all that is held; to be called many times in `SLOT_MS`. */
  renew(): Promise<void>;
  /** Give back what has not been used since the last time. */
  tidy(): Promise<void>;
  /** This process opens nothing more: give back all that is spare now, and the rest as its connections end. */
  drain(): Promise<void>;
}

export interface ConnectionSlotsDeps {
  readonly limits: LimitStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly holder: WorkerId;
  readonly terms: SlotTerms;
}

/** How long slots are held unless they are renewed, and so how long those of a sender that died are missed. */
const SLOT_MS = MINUTE;
/** Another host's clock may be ahead of ours, and take for over what is not. */
const CLOCK_MARGIN_MS = 15 * SECOND;

export function connectionSlots(deps: ConnectionSlotsDeps): ConnectionSlots {
  const { limits, clock, holder } = deps;
  const slices = new Map<string, SlotSlice>();
  const lose = (): void => {
    for (const each of slices.values()) each.lose();
  };
  const lease = slotLease(clock, lose);
  const slice = (key: string): SlotSlice => {
    const there = slices.get(key) ?? slotSlice(key, { ...deps, lease });
    slices.set(key, there);
    return there;
  };
  const site = (key: SlotKey): SlotSlice => slice(siteKey(key));
  const zone = (key: SlotKey): SlotSlice => slice(zoneKey(key));
  const tidy = async (): Promise<void> => {
    const results = await Promise.allSettled([...slices.values()].map((each) => each.tidy()));
    for (const [key, each] of slices) if (each.isEmpty) slices.delete(key);
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  };
  return {
    // The narrow limit first: a slot of the zone is not taken for a site that is full.
    async acquire(key) {
      const ofSite = await site(key).take(key.siteLimit);
      if (!ofSite.granted) return ofSite;
      try {
        const ofZone = await zone(key).take(key.zoneLimit);
        if (!ofZone.granted) await site(key).putBack();
        return ofZone;
      } catch (error) {
        await site(key).putBack();
        throw error;
      }
    },

    async release(key) {
      await Promise.all([site(key).putBack(), zone(key).putBack()]);
    },

    isOver: (key) => [siteKey(key), zoneKey(key)].some((each) => slices.get(each)?.isOver === true),

    surrender: (key) => slices.get(siteKey(key))?.surrender(),

    async renew() {
      const until = lease.next();
      if (!(await limits.renewSlots(holder, until))) lose();
      lease.extended(until);
    },

    tidy,

    drain() {
      for (const each of slices.values()) each.surrender();
      return tidy();
    },
  };
}

function siteKey({ zone, site }: Pick<SlotKey, "zone" | "site">): string {
  return `site ${zone} ${site}`;
}

function zoneKey({ zone }: SlotKey): string {
  return `zone ${zone}`;
}

function slotLease(clock: Clock, onLapse: () => void): SlotLease {
  let until = 0 as EpochMs;
  return {
    next: () => later(clock.now(), SLOT_MS),
    extended(to) {
      if (clock.now() >= until) onLapse();
      if (to > until) until = to;
    },
    holds: () => later(clock.now(), CLOCK_MARGIN_MS) < until,
  };
}
