/** Units of time (milliseconds) and size (bytes). Every number in the code that is a time or a size is built of these. */

import type { Branded } from "./branded.ts";

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type EpochMs = Branded<number, "EpochMs">;

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export const KIB = 1_024;
export const MIB = 1_024 * KIB;
export const GIB = 1_024 * MIB;

/** The instant `ms` after `at` (before it when negative). */
export function later(at: EpochMs, ms: number): EpochMs {
  return (at + ms) as EpochMs;
}
