/**
 * How much slower a zone sends to a site that asked for it (`slowdown` in the classification), and how it comes back.
 *
 * Each complaint makes it one step slower: half the connections, and a rate for all processes together. Complaints close together
 * are one, for all connections hear the same at the same time. Each while without a complaint takes one step back.
 */

import type { EpochMs } from "./units.ts";
import { later, MINUTE, SECOND } from "./units.ts";

export interface Pace {
  /** 1 to `MAX_STEP`, as it was at the last complaint. */
  readonly step: number;
  /** When the step was made. */
  readonly raisedAt: EpochMs;
  /** When the last complaint was. */
  readonly complainedAt: EpochMs;
}

/** Mails a minute at each step: at the first, what a site takes that only wants a pause; at the last, a probe now and then. */
const MAILS_A_MINUTE = [240, 120, 60, 30, 12, 4] as const;
export const MAX_STEP = MAILS_A_MINUTE.length;
/** Complaints within this time of a step belong to what was sent before it. */
export const STEP_UP_MS = 30 * SECOND;
/** As long as the first wait of the retry ladder: what was deferred has come back and had its answer by then. */
export const STEP_DOWN_MS = 5 * MINUTE;

/** After one more complaint; null: there was none before. */
export function slowedOnce(before: Pace | null, now: EpochMs): Pace {
  const step = before ? stepAt(before, now) : 0;
  if (before && step > 0 && now < later(before.raisedAt, STEP_UP_MS))
    return { step, raisedAt: before.raisedAt, complainedAt: now };
  return { step: Math.min(step + 1, MAX_STEP), raisedAt: now, complainedAt: now };
}

/** 0: as fast as ever. */
export function stepAt({ step, complainedAt }: Pace, now: EpochMs): number {
  return Math.max(0, step - Math.floor(Math.max(0, now - complainedAt) / STEP_DOWN_MS));
}

/** When it is as fast as ever again, if there is no further complaint. */
export function recoveredAt({ step, complainedAt }: Pace): EpochMs {
  return later(complainedAt, step * STEP_DOWN_MS);
}

/** One connection at least: a site that is not tried is never known to have recovered. */
export function connectionsAt(step: number, limit: number): number {
  return Math.max(1, Math.floor(limit / 2 ** step));
}

/** Null: no rate. */
export function rateAt(step: number): { readonly count: number; readonly perMs: number } | null {
  const count = step > 0 ? MAILS_A_MINUTE[Math.min(step, MAX_STEP) - 1] : undefined;
  return count === undefined ? null : { count, perMs: MINUTE };
}
