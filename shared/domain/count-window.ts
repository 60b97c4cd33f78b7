/** Windows of time in which something is counted: all of one length, each beginning where the one before it ends. */

import type { EpochMs } from "./units.ts";

/** When the window that `at` lies in is over. Windows begin at multiples of their length since 1970. */
export function windowEndAfter(at: EpochMs, windowMs: number): EpochMs {
  return ((Math.floor(at / windowMs) + 1) * windowMs) as EpochMs;
}
