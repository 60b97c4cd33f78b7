/**
 * The events that QueueStore writes, to be read in order. A consumer's position is durable and only one worker at a time
 * reads for it, so what follows from an event (DSN, webhook) follows once, or again after a crash in between.
 */

import type { NumberedEvent } from "../domain/event.ts";
import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";

export interface EventClaim {
  readonly consumer: string;
  readonly token: number;
  /** Number of the last event that is done with; 0: none. */
  readonly position: number;
}

export interface EventLog {
  /** Events after `position`, oldest first, at most `limit`. One that cannot be read, or whose history is forgotten, is left out. */
  read(position: number, limit: number): Promise<NumberedEvent[]>;
  /** The right to read for `consumer` until then; the same worker may renew it. Null: another worker has it. */
  claim(consumer: string, worker: WorkerId, until: EpochMs): Promise<EventClaim | null>;
  /** Events up to `position` are done with. False: the claim went to another worker, and nothing was written. */
  advance(claim: EventClaim, position: number): Promise<boolean>;
  /** End the claims of a worker that is known to be dead or done, so that nobody waits for their time to be over. */
  dropReader(worker: WorkerId): Promise<void>;
}
