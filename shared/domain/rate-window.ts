/**
 * How many permits a rate has left: an exact window over what was granted, as small data that any store can keep.
 *
 * 1. In no half-open period of `perMs`, wherever it starts, are more than `count` permits granted.
 * 2. `retryAt` is when this window has the next permit: nobody has to ask before, and who asks then gets it, or another did.
 * 3. A window has at most `MAX_GRANTS` entries. Grants close together are kept as one of the later time, so that a permit may
 *    come back up to a sixty-fourth of the period late, never early.
 *
 * A token bucket would be smaller still, but lets twice the rate through in the period after a pause.
 */

import type { EpochMs } from "./units.ts";
import { later } from "./units.ts";

/** Permits granted at one time. */
export interface Grant {
  readonly at: EpochMs;
  readonly count: number;
}

export interface WindowRequest {
  readonly want: number;
  readonly rate: { readonly count: number; readonly perMs: number };
  readonly now: EpochMs;
}

export interface WindowAnswer {
  /** 0 to `want`. */
  readonly granted: number;
  /** When there will be a permit again; `now` when some are left. */
  readonly retryAt: EpochMs;
  /** What to keep in place of the old window, oldest first. */
  readonly grants: readonly Grant[];
}

const STEPS = 64;
export const MAX_GRANTS = STEPS + 1;

export function takeFromWindow(window: readonly Grant[], { want, rate, now }: WindowRequest): WindowAnswer {
  const open = openGrants(window, rate.perMs, now);
  const left = Math.max(0, rate.count - open.reduce((sum, grant) => sum + grant.count, 0));
  const granted = Math.max(0, Math.min(want, left));
  const grants = granted === 0 ? open : withGrant(open, { at: now, count: granted }, rate.perMs);
  if (left > granted) return { granted, retryAt: now, grants };
  return { granted, retryAt: nextPermitAt(grants, rate, now), grants };
}

/** Grants that still count. One from the future tells of a clock set back: it was at the latest now. */
function openGrants(window: readonly Grant[], perMs: number, now: EpochMs): Grant[] {
  return window
    .map((grant) => (grant.at > now ? { at: now, count: grant.count } : grant))
    .filter((grant) => later(grant.at, perMs) > now);
}

function withGrant(grants: readonly Grant[], grant: Grant, perMs: number): Grant[] {
  const stepMs = Math.max(1, perMs / STEPS);
  const last = grants.at(-1);
  if (!last || Math.floor(last.at / stepMs) !== Math.floor(grant.at / stepMs)) return [...grants, grant];
  return [...grants.slice(0, -1), { at: grant.at, count: last.count + grant.count }];
}

/** The window is full; over-full after the rate was lowered, and then more than one grant has to end first. */
function nextPermitAt(grants: readonly Grant[], rate: WindowRequest["rate"], now: EpochMs): EpochMs {
  let over = grants.reduce((sum, grant) => sum + grant.count, 0) - rate.count;
  for (const grant of grants) {
    over -= grant.count;
    if (over < 0) return later(grant.at, rate.perMs);
  }
  return later(now, rate.perMs); // a rate of nothing
}
