/**
 * When a recipient that was deferred is tried again, and when that ends: after the last rung of the ladder, or when the mail
 * has been tried for `queue.maxQueueTime`.
 *
 * The time counts from the first deferral and not from the acceptance, since a mail may have been accepted to be sent much
 * later, or have been held before its first attempt. The attempt that the time cuts short is made at its end and not left out.
 */

import type { DeferCause } from "./outcome.ts";
import type { EpochMs } from "./units.ts";
import { DAY, HOUR, later, MINUTE, SECOND } from "./units.ts";

/** Waits are made longer by a random part of up to this, never shorter: after an outage mails must not come back as one wave. */
export const JITTER_SHARE = 0.1;

/**
 * A peer that was lost after the final dot may still be at work on the mail, and a quick second copy is what makes a duplicate;
 * so its wait is this much longer.
 */
export const AMBIGUOUS_FACTOR = 2;

export interface Deferral {
  /** Attempts so far, with the one that was just deferred. */
  readonly attempts: number;
  /** Null: this is the first deferral. */
  readonly firstDeferredAt: EpochMs | null;
  readonly createdAt: EpochMs;
  readonly now: EpochMs;
  /** The ladder: the wait after the first attempt, after the second, and so on. */
  readonly deferTimesMs: readonly number[];
  readonly maxQueueTimeMs: number;
  /** At least 0 and less than 1. */
  readonly random: () => number;
  /** Left out: nothing that would change the wait. */
  readonly cause?: DeferCause;
}

export type NextAttempt =
  | { kind: "retry"; dueAt: EpochMs }
  /** `detail`: in words for the operator and the DSN. */
  | { kind: "expired"; detail: string };

export function nextAttempt(deferral: Deferral): NextAttempt {
  const { attempts, now, random } = deferral;
  const deadline = later(deferral.firstDeferredAt ?? now, deferral.maxQueueTimeMs);
  const rung = rungOf(deferral);
  if (rung === null || now >= deadline) {
    const tries = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
    return { kind: "expired", detail: `given up after ${tries} in ${inWords(now - deferral.createdAt)}` };
  }
  const wait = deferral.cause === "ambiguous" ? rung * AMBIGUOUS_FACTOR : rung;
  const dueAt = later(now, Math.round(wait * (1 + JITTER_SHARE * random())));
  return { kind: "retry", dueAt: Math.min(dueAt, deadline) as EpochMs };
}

/** When a recipient that stays out of reach is given up, without the chance in the waits. */
export function givenUpAt({
  attempts,
  firstDeferredAt,
  deferTimesMs,
  maxQueueTimeMs,
  now,
}: Pick<Deferral, "attempts" | "firstDeferredAt" | "deferTimesMs" | "maxQueueTimeMs" | "now">): EpochMs {
  const waits = deferTimesMs.slice(Math.max(0, attempts - 1)).reduce((sum, wait) => sum + wait, 0);
  return Math.min(later(now, waits), later(firstDeferredAt ?? now, maxQueueTimeMs)) as EpochMs;
}

/**
 * True: of all the deferrals of a row, this is the first that comes so long after the first one. Each is told the time of the one
 * before it, so that this is decided where the row is written, once, and nobody has to remember whom he has warned.
 */
export function becomesLate(
  deferral: {
    readonly now: EpochMs;
    readonly firstDeferredAt: EpochMs | null;
    readonly lastAt: EpochMs | null;
  },
  afterMs: number,
): boolean {
  const { now, firstDeferredAt, lastAt } = deferral;
  if (firstDeferredAt === null) return false;
  const lateAt = later(firstDeferredAt, afterMs);
  return now >= lateAt && (lastAt ?? firstDeferredAt) < lateAt;
}

/** Null: the ladder is over. For a fault of ours its last rung is climbed again and again: it is not the recipient's. */
function rungOf({ attempts, deferTimesMs, cause }: Deferral): number | null {
  const rung = deferTimesMs[attempts - 1] ?? null;
  return rung === null && cause === "internal" ? (deferTimesMs.at(-1) ?? null) : rung;
}

/** The largest unit of which there are at least two: `36 hours`, `5 days`. */
function inWords(ms: number): string {
  const units = [
    [DAY, "days"],
    [HOUR, "hours"],
    [MINUTE, "minutes"],
    [SECOND, "seconds"],
  ] as const;
  const unit = units.find(([length]) => ms >= 2 * length);
  const [length, name] = unit ?? [1, "milliseconds"];
  return `${Math.round(ms / length)} ${name}`;
}
