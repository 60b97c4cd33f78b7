/**
 * The durable state of one recipient of one message (DESIGN.md's table of states is in docs/architecture.md).
 *
 *   queued ──take──▶ leased ──settle──▶ delivered │ bounced │ expired │ suppressed │ dropped     (final, kept as history)
 *     ▲                │ ╰────settle──▶ deferred ──(dueAt comes)──▶ taken again
 *     ╰──release, lapse╯                    held ◀──hold── queued, deferred
 */

import type { Address, Domain } from "./address.ts";
import type { MessageId, RowId, WorkerId } from "./ids.ts";
import type { BounceCategory } from "./bounce-rule.ts";
import type { BounceCause, DeferCause, Route } from "./outcome.ts";
import { NO_ROUTE } from "./outcome.ts";
import type { SmtpReply } from "./smtp-reply.ts";
import type { SuppressionEntry } from "./suppression.ts";
import type { EpochMs } from "./units.ts";
import type { WayId } from "./way.ts";
import type { ZoneName } from "./zone.ts";

export const OPEN_STATES = ["queued", "leased", "deferred", "held"] as const;
export const FINAL_STATES = ["delivered", "bounced", "expired", "suppressed", "dropped"] as const;
export type OpenState = (typeof OPEN_STATES)[number];
export type FinalState = (typeof FINAL_STATES)[number];
export type RowState = OpenState | FinalState;

export interface QueueRow {
  readonly id: RowId;
  readonly messageId: MessageId;
  /** Ordinal of the recipient in the envelope, from 1. */
  readonly seq: number;
  readonly zone: ZoneName;
  readonly recipient: Address;
  readonly domain: Domain;
  /** Of the ways of the message the one to him; null: as the zone goes. */
  readonly way: WayId | null;
  readonly state: RowState;
  readonly createdAt: EpochMs;
  /** When it may be tried next. Final rows keep the last one. */
  readonly dueAt: EpochMs;
  /** Attempts that ended in an outcome. */
  readonly attempts: number;
  /** When the first deferral was; null: none yet. */
  readonly firstDeferredAt: EpochMs | null;
  /** Rises with every lease: the fence against late writes. */
  readonly leaseToken: number;
  /** Who has the lease and until when; null: nobody. */
  readonly leasedBy: WorkerId | null;
  readonly leasedUntil: EpochMs | null;
  /** The last attempt, or what else ended the row; null: never tried. */
  readonly lastAttempt: AttemptRecord | null;
  /** When it came to its final state; null: it has not. */
  readonly finishedAt: EpochMs | null;
}

/** The record of one attempt, or of what the queue did to the row without one (`expired`, `suppressed`, `operator`, `plugin`). */
export interface AttemptRecord {
  readonly at: EpochMs;
  readonly durationMs: number;
  readonly kind: "delivered" | "deferred" | "bounced";
  readonly cause: DeferCause | BounceCause | "expired" | "suppressed" | "operator" | "plugin" | null;
  readonly reply: SmtpReply | null;
  /** In words for the operator. */
  readonly detail: string;
  /** Status for the DSN (RFC 3463). */
  readonly status: string;
  /** What the reply means; null: delivered, or no reply to read. */
  readonly category: BounceCategory | null;
  readonly route: Route;
  /** This deferral is the one at which the sender is told that the mail is late: of all of a row's, one at most. */
  readonly late?: true;
}

/** A worker's right to a row until a time. */
export interface Lease {
  readonly row: QueueRow;
  readonly token: number;
  readonly worker: WorkerId;
  readonly until: EpochMs;
}

/** Where a settled row goes. `untried`: it was put off or ended with no attempt made, and `attempts` stays as it is. */
export type Settled = ({ state: FinalState } | { state: "deferred"; dueAt: EpochMs }) & { untried?: true };

/**
 * What the queue keeps rows apart by, so that mail which cannot go does not stand before other mail: the recipient's domain, and with
 * it the way to him, if he has one of his own.
 */
export function lineOf({ domain, way }: Pick<QueueRow, "domain" | "way">): Domain {
  return way === null ? domain : (`${way}/${domain}` as Domain);
}

/** The domain of a line. */
export function domainOfLine(line: Domain): Domain {
  return line.slice(line.indexOf("/") + 1) as Domain;
}

export function isFinal(state: RowState): state is FinalState {
  return (FINAL_STATES as readonly RowState[]).includes(state);
}

/** What stands in a row that an operator has dropped. */
export function droppedByOperator(at: EpochMs): AttemptRecord {
  return dropRecord(at, "operator", "dropped by an operator");
}

/** `reason` in the plugin's words. */
export function droppedByPlugin(at: EpochMs, reason: string): AttemptRecord {
  return dropRecord(at, "plugin", `dropped by a plugin: ${reason.slice(0, MAX_REASON_CHARS)}`);
}

const MAX_REASON_CHARS = 200;

function dropRecord(at: EpochMs, cause: "operator" | "plugin", detail: string): AttemptRecord {
  return untriedRecord(at, { cause, detail, status: "5.0.0" });
}

/** Of a row that is not sent because its recipient is on the suppression list. */
export function suppressedRecord(entry: SuppressionEntry, at: EpochMs): AttemptRecord {
  const what = entry.address ?? entry.domain;
  const detail = `${what} is on the suppression list${entry.reason === null ? "" : `: ${entry.reason}`}`;
  return untriedRecord(at, { cause: "suppressed", detail, status: "5.7.1" });
}

function untriedRecord(at: EpochMs, why: Pick<AttemptRecord, "cause" | "detail" | "status">): AttemptRecord {
  return { at, durationMs: 0, kind: "bounced", reply: null, category: null, route: NO_ROUTE, ...why };
}
