/** The shortest that anything took in the last period or two: what is longer than that was held up. */

import type { Clock } from "#shared/domain/clock.ts";
import { later } from "#shared/domain/units.ts";

export interface ShortestLately {
  /** Infinite while nothing was noted. */
  ms(): number;
  note(ms: number): void;
}

export function shortestLately(perMs: number, clock: Clock): ShortestLately {
  let since = clock.now();
  let lately = Number.POSITIVE_INFINITY;
  let before = Number.POSITIVE_INFINITY;
  return {
    ms: () => Math.min(lately, before),
    note(ms) {
      const now = clock.now();
      if (now >= later(since, perMs)) {
        before = lately;
        lately = Number.POSITIVE_INFINITY;
        since = now;
      }
      lately = Math.min(lately, ms);
    },
  };
}
