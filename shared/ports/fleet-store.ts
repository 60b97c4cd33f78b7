/** Which worker is alive, and which egress addresses it holds. */

import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";

export interface FleetMember {
  readonly worker: WorkerId;
  readonly hostname: string;
  readonly pid: number;
  readonly startedAt: EpochMs;
  /** Alive until then unless it says so again. */
  readonly until: EpochMs;
  /** Egress addresses it holds. */
  readonly addresses: readonly string[];
}

export interface FleetStore {
  /** Enter or stay. */
  beat(member: FleetMember): Promise<void>;
  leave(worker: WorkerId): Promise<void>;
  /** Those whose time is not over. */
  living(): Promise<FleetMember[]>;
}
