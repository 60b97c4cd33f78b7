/** The record of a fact: written together with the state it tells of, numbered in the order the store saw them. */

import type { Address } from "./address.ts";
import type { MessageId, RowId } from "./ids.ts";
import type { AttemptRecord } from "./queue-row.ts";
import type { EpochMs } from "./units.ts";
import type { ZoneName } from "./zone.ts";

export const EVENT_TYPES = [
  "reception",
  "delivery",
  "deferral",
  "bounce",
  "expiry",
  "suppression",
  "drop",
  "hold",
  "release",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

export interface MailEvent {
  readonly type: EventType;
  readonly at: EpochMs;
  readonly messageId: MessageId;
  /** Null in a `reception`, which is of the whole message. */
  readonly rowId: RowId | null;
  readonly zone: ZoneName | null;
  readonly returnPath: Address | null;
  readonly recipient: Address | null;
  /** Attempts so far. */
  readonly attempts: number;
  /** What the attempt came to; null: the event is of no attempt. */
  readonly attempt: AttemptRecord | null;
}

export interface NumberedEvent extends MailEvent {
  /** Unique, rising with no promise of being dense. */
  readonly number: number;
}
