/**
 * Connection slots of this process: each open connection has one for its site and one for its zone, out of budgets that all
 * processes share, so the caps hold over the fleet. A process that dies loses its slots when they lapse.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { later, MINUTE } from "#shared/domain/units.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";

export interface SlotKey {
  readonly zone: string;
  readonly zoneLimit: number;
  readonly site: string;
  readonly siteLimit: number;
}

export interface ConnectionSlots {
  /** False: the zone or the site has all the connections it may have, here or elsewhere. */
  acquire(key: SlotKey): Promise<boolean>;
  release(key: SlotKey): Promise<void>;
}

/** Renewed by the worker's heartbeat many times in this time. */
export const SLOT_MS = 2 * MINUTE;

export function connectionSlots(deps: {
  limits: LimitStore;
  clock: Clock;
  holder: WorkerId;
}): ConnectionSlots {
  const { limits, clock, holder } = deps;
  const siteKey = (key: SlotKey): string => `site ${key.zone} ${key.site}`;
  const zoneKey = (key: SlotKey): string => `zone ${key.zone}`;
  const take = async (key: string, limit: number): Promise<boolean> =>
    (await limits.acquireSlots(key, { holder, want: 1, limit, until: later(clock.now(), SLOT_MS) })) === 1;
  return {
    // The narrow limit first: a slot of the zone is not taken for a site that is full.
    async acquire(key) {
      if (!(await take(siteKey(key), key.siteLimit))) return false;
      if (await take(zoneKey(key), key.zoneLimit)) return true;
      await limits.releaseSlots(siteKey(key), { holder, count: 1 });
      return false;
    },
    async release(key) {
      await Promise.all([
        limits.releaseSlots(siteKey(key), { holder, count: 1 }),
        limits.releaseSlots(zoneKey(key), { holder, count: 1 }),
      ]);
    },
  };
}
