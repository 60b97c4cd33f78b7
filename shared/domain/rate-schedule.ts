/**
 * The permits of a rate, one after the other, as small data that any store can keep: the time of the last one.
 *
 * 1. Two permits are `perMs / count` apart at least. So no half-open period of `perMs`, wherever it starts, holds more than `count`:
 *    not the first one either, nor the one after a pause, since a permit that nobody took in time is gone.
 * 2. Permits of the near future may be taken ahead, so that who needs one each moment does not ask for each.
 * 3. `retryAt` is when the next permit is there: who asks then gets it, or another did.
 */

import type { Rate } from "./throttle.ts";
import type { EpochMs } from "./units.ts";
import { later, SECOND } from "./units.ts";

/** Permits may be taken so long before their time. What a dead process had taken is lost to all. */
export const MAX_AHEAD_MS = SECOND / 2;
/** A last permit that is further away tells of a clock that was set back. */
const MAX_LAST_AHEAD_MS = 4 * SECOND;

export interface ScheduleRequest {
  readonly want: number;
  readonly rate: Rate;
  /** 0: only what is there now. */
  readonly aheadMs: number;
  /** So much later than they would come all permits come from now on: earlier mail had not gone through in its time. */
  readonly laterMs: number;
  readonly now: EpochMs;
}

export interface ScheduleAnswer {
  /** 0 to `want` times, in order; each is now or up to `aheadMs` later. */
  readonly permits: readonly EpochMs[];
  /** When the permit after these comes; not before now. */
  readonly retryAt: EpochMs;
  /** To be kept in place of the old one; not rounded, for the rate would suffer. Null: there was none yet. */
  readonly last: number | null;
}

/** `last`: what the answer before said; null: there was none. */
export function takeFromSchedule(last: number | null, request: ScheduleRequest): ScheduleAnswer {
  const { want, rate, laterMs, now } = request;
  const everyMs = rate.perMs / rate.count;
  const put = last === null ? null : Math.min(last, now + MAX_LAST_AHEAD_MS) + laterMs;
  const first = put === null ? now : Math.max(now, put + everyMs);
  const aheadMs = Math.min(request.aheadMs, MAX_AHEAD_MS);
  const there = first > now + aheadMs ? 0 : Math.floor((now + aheadMs - first) / everyMs) + 1;
  const granted = Math.max(0, Math.min(want, there));
  const timeOf = (index: number): EpochMs => Math.ceil(first + index * everyMs) as EpochMs;
  return {
    permits: Array.from({ length: granted }, (_, index) => timeOf(index)),
    retryAt: timeOf(granted),
    last: granted > 0 ? first + (granted - 1) * everyMs : put,
  };
}

/** When the last permit no longer holds the next one back. */
export function scheduleOverAt(last: number, { count, perMs }: Rate): EpochMs {
  return later(Math.ceil(last) as EpochMs, Math.ceil(perMs / count));
}
