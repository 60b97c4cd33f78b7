/** Which egress address may not talk to which site now: a view of the LimitStore that is a few seconds old at most. */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";

export interface BlockedEgressView {
  /** Read again when the view is old. */
  refresh(): Promise<void>;
  /** Read again now, as after a block of our own. */
  reload(): Promise<void>;
  isBlocked(address: string, site: string): boolean;
  readonly size: number;
}

const VIEW_MS = 3 * SECOND;

export function blockedEgressView(deps: { limits: LimitStore; clock: Clock }): BlockedEgressView {
  let until = new Map<string, EpochMs>();
  let readAt = 0 as EpochMs;
  const keyOf = (address: string, site: string): string => `${address} ${site}`;
  const reload = async (): Promise<void> => {
    readAt = deps.clock.now();
    const entries = await deps.limits.blocked();
    until = new Map(entries.map((entry) => [keyOf(entry.address, entry.site), entry.until]));
  };
  return {
    reload,
    async refresh() {
      if (deps.clock.now() >= later(readAt, VIEW_MS)) await reload();
    },
    isBlocked: (address, site) => (until.get(keyOf(address, site)) ?? 0) > deps.clock.now(),
    get size() {
      return until.size;
    },
  };
}
