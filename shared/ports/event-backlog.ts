/**
 * Events that a receiver has not taken yet, kept for it in order where no log of events can be read a second time. While all goes
 * well nothing is kept.
 *
 * The backlog of a receiver is open from `open` or `keep` until `close`, and for as long as it holds events. While it is open,
 * new events go behind those that are in it: so each receiver is told of a message in order, and one that is dead costs nobody's
 * time. One worker at a time empties it, under a claim.
 */

import type { MailEvent } from "../domain/event.ts";
import type { EpochMs } from "../domain/units.ts";

export interface PlacedEvent {
  /** Where it was read: digits that rise, as numbers do, among events of one message. */
  readonly place: string;
  readonly event: MailEvent;
}

/** When a receiver is tried next, and after how many failures in a row. */
export interface Pause {
  readonly failures: number;
  readonly retryAt: EpochMs;
  /** Key of a part: whoever claims it next may go on behind it. Null, or left out: with the oldest. */
  readonly behind?: string | null;
}

export interface BacklogClaim {
  readonly consumer: string;
  /** Fences out who held it before. */
  readonly token: string;
  /** In a row, before this claim. */
  readonly failures: number;
  /** As its last pause said; null: with the oldest. */
  readonly behind: string | null;
}

/** Events that are told in one request, and removed together. */
export interface KeptEvents {
  readonly key: string;
  /** In order; null: they cannot be read. */
  readonly events: readonly MailEvent[] | null;
}

export interface EventBacklog {
  isOpen(consumer: string): Promise<boolean>;
  /** One that is open stays as it is. */
  open(consumer: string, pause: Pause): Promise<void>;
  /** Behind those that are there, in parts of up to `perPart`; durable when it resolves. The same events again are kept twice. */
  keep(consumer: string, events: readonly PlacedEvent[], perPart: number): Promise<void>;
  /** The right to tell of it until then. Null: another has it, or its pause is not over. */
  claim(consumer: string, until: EpochMs): Promise<BacklogClaim | null>;
  /** The oldest parts behind that key, or of all (null), some at a time; those of one message in order. Empty: there are none. */
  read(claim: BacklogClaim, behind: string | null): Promise<KeptEvents[]>;
  remove(claim: BacklogClaim, parts: readonly Pick<KeptEvents, "key">[]): Promise<void>;
  /** End the claim. Nothing is written when it is another's by now. */
  pause(claim: BacklogClaim, pause: Pause): Promise<void>;
  /** End the claim, and the backlog unless there are events in it. Nothing is written when it is another's by now. */
  close(claim: BacklogClaim): Promise<void>;
}
