/** How much slower each zone sends to each site now: a view of the LimitStore that is a few seconds old at most. */

import type { Clock } from "#shared/domain/clock.ts";
import { rateAt, recoveredAt, slowedOnce, stepAt } from "#shared/domain/pace.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { Complaint } from "#shared/app/settle.ts";
import type { LimitStore, SlowedSite } from "#shared/ports/limit-store.ts";

export interface SlowedSites {
  /** Read again when the view is old. */
  refresh(): Promise<void>;
  /** A site has complained: slower for all processes, and here from now on. */
  slowDown(complaint: Complaint): Promise<void>;
  paceOf(zone: ZoneName, site: string): SitePace;
}

/** How a zone sends to one site now. */
export interface SitePace {
  /** 0: as fast as ever. See domain/pace.ts. */
  readonly step: number;
  /** May one mail be begun? Out of the rate that all processes share. */
  takePermit(): Promise<{ granted: boolean; retryAt: EpochMs }>;
}

export interface SlowedSitesDeps {
  readonly limits: Pick<LimitStore, "slow" | "slowed" | "takeBudget">;
  readonly clock: Clock;
  /** A site is slower by a step than it was. */
  readonly onSlower: (entry: SlowedSite) => void;
}

const VIEW_MS = 3 * SECOND;

export function slowedSites({ limits, clock, onSlower }: SlowedSitesDeps): SlowedSites {
  let view = new Map<string, SlowedSite>();
  let readAt = 0 as EpochMs;
  const keyOf = (zone: string, site: string): string => `${zone} ${site}`;
  /** Of two, what this process has seen last counts: a list may have been asked for before its own complaint was written. */
  const show = (entry: SlowedSite, into: Map<string, SlowedSite>): void => {
    const key = keyOf(entry.zone, entry.site);
    const known = into.get(key);
    if (!known || known.complainedAt <= entry.complainedAt) into.set(key, entry);
  };
  const stepOf = (zone: string, site: string): number => {
    const entry = view.get(keyOf(zone, site));
    return entry ? stepAt(entry, clock.now()) : 0;
  };
  return {
    async refresh() {
      const now = clock.now();
      if (now < later(readAt, VIEW_MS)) return;
      readAt = now;
      const next = new Map<string, SlowedSite>();
      for (const entry of await limits.slowed()) show(entry, next);
      for (const entry of view.values()) if (entry.until > now) show(entry, next);
      view = next;
    },

    async slowDown({ zone, site, response }) {
      const before = view.get(keyOf(zone, site)) ?? null;
      const pace = slowedOnce(before, clock.now());
      const entry: SlowedSite = { ...pace, zone, site, response, until: recoveredAt(pace) };
      await limits.slow(entry);
      const isSlower = pace.step > stepOf(zone, site);
      show(entry, view);
      if (isSlower) onSlower(entry);
    },

    paceOf: (zone, site) => ({
      get step() {
        return stepOf(zone, site);
      },
      async takePermit() {
        const rate = rateAt(stepOf(zone, site));
        if (!rate) return { granted: true, retryAt: clock.now() };
        const { permits, retryAt } = await limits.takeBudget(`pace ${zone} ${site}`, { want: 1, rate });
        return { granted: permits.length === 1, retryAt };
      },
    }),
  };
}
