/**
 * Egress addresses that could not be bound, or not for a site, a moment ago: they are left out for a minute, so that a pool goes on with
 * its others. Of this process alone, for the next machine may have them.
 */

import { LRUCache } from "lru-cache";

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, MINUTE } from "#shared/domain/units.ts";

export interface IdleEgress {
  /** True: it was not left out already. */
  leaveOut(address: string, site: string): boolean;
  isLeftOut(address: string, site: string): boolean;
}

const LEFT_OUT_MS = MINUTE;
const MAX_PAIRS = 1_000;

export function idleEgress(clock: Pick<Clock, "now">): IdleEgress {
  const until = new LRUCache<string, EpochMs>({ max: MAX_PAIRS });
  const keyOf = (address: string, site: string): string => `${address} ${site}`;
  const isLeftOut = (address: string, site: string): boolean =>
    (until.get(keyOf(address, site)) ?? 0) > clock.now();
  return {
    leaveOut(address, site) {
      const isNew = !isLeftOut(address, site);
      until.set(keyOf(address, site), later(clock.now(), LEFT_OUT_MS));
      return isNew;
    },
    isLeftOut,
  };
}
