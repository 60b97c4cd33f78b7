/** Whether a site can be reached, as the jobs of one lane find it, and how long it is left alone when it cannot. */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, MINUTE } from "#shared/domain/units.ts";
import type { Delivered } from "../delivery/deliver.ts";

export interface Outage {
  readonly until: EpochMs;
  /** Why a mail that was put off was not tried. */
  readonly detail: string;
}

export interface SiteHealth {
  /** Null: it may be tried. */
  readonly outage: Outage | null;
  /** True: it was down when last tried, so that one job at a time is enough to see whether it still is. */
  readonly isProbed: boolean;
  /** True: nothing of an outage needs to be remembered. */
  readonly isForgotten: boolean;
  note(delivered: Delivered): void;
}

/** How long a site that cannot be reached is left alone, doubled with each failed probe. */
const DOWN_FIRST_MS = MINUTE;
const DOWN_MAX_MS = 15 * MINUTE;
/** So long after that its rows may still come back, and the first of them is the probe. */
const DOWN_MEMORY_MS = 5 * MINUTE;

export function siteHealth(site: string, clock: Clock): SiteHealth {
  let down: (Outage & { readonly failures: number }) | null = null;
  return {
    get outage() {
      return down && clock.now() < down.until ? down : null;
    },
    get isProbed() {
      return down !== null;
    },
    get isForgotten() {
      return !down || clock.now() >= later(down.until, DOWN_MEMORY_MS);
    },
    note({ siteDown, outcomes }) {
      const [first] = outcomes;
      if (!first) return; // nothing was tried
      if (!siteDown) {
        down = null;
        return;
      }
      const failures: number = (down?.failures ?? 0) + 1;
      const ms = Math.min(DOWN_FIRST_MS * 2 ** (failures - 1), DOWN_MAX_MS);
      const why = first.kind === "delivered" ? "no host answered" : first.detail;
      const detail = `not tried: ${site} could not be reached: ${why}`;
      down = { failures, until: later(clock.now(), ms), detail };
    },
  };
}
