/**
 * What was reported to `POST /report-bounce`, for who tries `core/http-bounce` out: the newest reports, for a day. It is no part of
 * the mail's way, and nothing follows from what is in it.
 */

import type { EpochMs } from "../domain/units.ts";
import { DAY } from "../domain/units.ts";

export interface ReportedBounce {
  readonly receivedAt: EpochMs;
  /** As they were sent. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Older ones make room. */
export const MAX_REPORTED = 100;
export const REPORTED_KEPT_MS = DAY;

export interface BounceSink {
  add(bounce: ReportedBounce): Promise<void>;
  /** At most the newest `MAX_REPORTED` of the last day, in the order in which they came. */
  list(): Promise<ReportedBounce[]>;
}
