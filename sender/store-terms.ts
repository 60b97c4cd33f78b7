/** What a process does for its store, and how it spares it: the embedded one has nobody else, and calls to it cost next to nothing. */

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { SlotTerms } from "./zone/slot-slice.ts";

export interface StoreTerms {
  readonly slots: SlotTerms;
  /** Between two rounds of housekeeping. */
  readonly sweepMs: number;
  /** True: this process reports bounces, reading the event log; false: something else does, as the event Lambda. */
  readonly reportsBounces: boolean;
}

export const EMBEDDED_TERMS: StoreTerms = {
  slots: { spareMs: 0, maxRetryMs: SECOND / 4 },
  sweepMs: SECOND,
  reportsBounces: true,
};

/** The Lambdas that sweep and report do it every minute and at once; a sender sweeps in case they do not. */
export const AWS_TERMS: StoreTerms = {
  slots: { spareMs: 2 * SECOND, maxRetryMs: 4 * SECOND },
  sweepMs: MINUTE,
  reportsBounces: false,
};
