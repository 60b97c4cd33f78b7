/** Throttles as an operator writes them. At which times a rate lets mail through is in rate-schedule.ts. */

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
