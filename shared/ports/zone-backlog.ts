/** What waits in a zone, for metrics: cheaper than `counts`, and with how long mail has waited. */

import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";

export interface ZoneBacklog {
  readonly zone: ZoneName;
  /** Due or being sent. Of very long queues a number that is too small. */
  readonly queued: number;
  readonly deferred: number;
  readonly held: number;
  /** Since when the oldest of the rows that were looked at has been due; null: none is. */
  readonly oldestDueAt: EpochMs | null;
}
