/** Throttles as an operator writes them, and the even pace at which a rate is handed out. */

import { HOUR, MINUTE, SECOND } from "./units.ts";

/** Messages a period, such as 100 a minute. */
export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

/** By first letter, as in ZoneMTA. */
const PERIODS_MS: Readonly<Record<string, number>> = { s: SECOND, m: MINUTE, h: HOUR };
const MAX_COUNT = 1_000_000;
const THROTTLE = /^(\d{1,7})(?:[^\d.,/][^\d/]{0,100})?\/ ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)$/i;

/** `100/minute`, or with any words between, as ZoneMTA has it: `100 messages/minute`. Null: it is not that, or a rate of nothing. */
export function parseThrottle(text: string): Rate | null {
  const [, digits, period = ""] = THROTTLE.exec(text.trim()) ?? [];
  const count = Number(digits);
  const perMs = PERIODS_MS[period.charAt(0).toLowerCase()];
  return perMs !== undefined && count >= 1 && count <= MAX_COUNT ? { count, perMs } : null;
}

/**
 * A part is so long at least: a store under load is late by some hundredths of a second each time a part is over, and what is late
 * is lost.
 */
const MIN_PART_MS = 10 * SECOND;
/** From here on one less makes no difference that anybody allows for, and finds a divisor where the count is prime. */
const MIN_COUNT_TO_LOWER = 100;

/**
 * The same rate in its smallest equal parts, so that 3600 an hour is ten in ten seconds and not all at once. Its period is a whole
 * number of parts long, so who keeps to the part in any time of its length keeps to the rate in any period.
 */
export function evenly({ count, perMs }: Rate): Rate {
  const counts = count < MIN_COUNT_TO_LOWER ? [count] : [count, count - 1];
  const parts = counts.map((total) => smallestPart({ count: total, perMs }));
  return parts.reduce((best, part) => (part.perMs < best.perMs ? part : best));
}

function smallestPart({ count, perMs }: Rate): Rate {
  if (perMs / count >= MIN_PART_MS) return { count: 1, perMs: Math.ceil(perMs / count) };
  for (let parts = Math.floor(perMs / MIN_PART_MS); parts > 1; parts--) {
    if (count % parts === 0) return { count: count / parts, perMs: Math.ceil(perMs / parts) };
  }
  return { count, perMs };
}
