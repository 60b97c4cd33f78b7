/**
 * The changes of rows that front doors, workers and operators ask for, each with its event: accept, settle, release, renew, operate.
 * All run inside a work of `EmbeddedDatabase.write`, where reading and then writing is one step.
 */

import assert from "node:assert/strict";

import type { EventType, MailEvent } from "../domain/event.ts";
import type { RowId, WorkerId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import { droppedByOperator } from "../domain/queue-row.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { FinalState, Lease, QueueRow } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Operation, Settlement } from "../ports/queue-store.ts";
import type { WriteTransaction } from "./group-commit.ts";
import { finishRow, startMessage } from "./queue-finish.ts";
import type { Finishing } from "./queue-finish.ts";
import { queueAgain } from "./queue-take.ts";
import { changeRow, rowOf, writeEvent, writeMessage } from "./queue-tables.ts";

/** One work's view: where to write, and what time it is. */
export interface Change extends Finishing {
  readonly transaction: WriteTransaction;
  readonly now: EpochMs;
}

const EVENT_OF_STATE: Readonly<Record<FinalState | "deferred", EventType>> = {
  delivered: "delivery",
  deferred: "deferral",
  bounced: "bounce",
  expired: "expiry",
  suppressed: "suppression",
  dropped: "drop",
};

/** A message, its body and its rows, or nothing when the message is known. */
export function acceptMessage(
  change: Change,
  message: Message,
  rows: readonly QueueRow[],
): "accepted" | "exists" {
  const { tables, transaction, bodies, now } = change;
  if (tables.messages.has(message.id)) return "exists";
  bodies.commitHeld(transaction, message.id);
  writeMessage(tables, message);
  for (const row of rows) changeRow(tables, transaction, { before: null, after: row, now });
  tellReception(change, message, rows);
  const final = rows.filter(({ state }) => isFinal(state));
  for (const row of final) tell(change, EVENT_OF_STATE[row.state as FinalState], row);
  startMessage(change, transaction, { id: message.id, rows: rows.length, final: final.length, now });
  return "accepted";
}

/** Null: the row is no longer under the lease. */
export function settleRow(change: Change, { lease, settled, attempt }: Settlement): QueueRow | null {
  const before = rowUnder(change, lease);
  if (!before) return null;
  const { now } = change;
  const deferred = settled.state === "deferred";
  const after: QueueRow = {
    ...before,
    ...NO_LEASE,
    state: settled.state,
    dueAt: deferred ? settled.dueAt : before.dueAt,
    attempts: before.attempts + (settled.untried === true ? 0 : 1),
    firstDeferredAt: deferred ? (before.firstDeferredAt ?? now) : before.firstDeferredAt,
    lastAttempt: attempt,
    finishedAt: deferred ? null : now,
  };
  // What a final row came to stays in the row; what a deferred one met stays in its event.
  tell(change, EVENT_OF_STATE[settled.state], after, deferred ? { attempts: after.attempts, attempt } : {});
  replaceRow(change, before, after);
  return after;
}

/** Null: the row is no longer under the lease. Rows given back for later count as deferred, tried or not: they are due later. */
export function releaseRow(change: Change, lease: Lease, dueAt: EpochMs): QueueRow | null {
  const before = rowUnder(change, lease);
  if (!before) return null;
  const state = dueAt <= change.now ? "queued" : "deferred";
  const after: QueueRow = { ...before, ...NO_LEASE, state, dueAt };
  replaceRow(change, before, after);
  return after;
}

/** Null: the row is no longer under the lease. */
export function renewRow(change: Change, lease: Lease, until: EpochMs): QueueRow | null {
  const before = rowUnder(change, lease);
  if (!before) return null;
  const after: QueueRow = { ...before, leasedUntil: until };
  replaceRow(change, before, after);
  return after;
}

/** Null: its worker lives, or the row is leased no more. */
export function recoverRow(change: Change, id: RowId, living: ReadonlySet<WorkerId>): QueueRow | null {
  const row = rowOf(change.tables, id);
  if (row?.state !== "leased" || row.leasedBy === null || living.has(row.leasedBy)) return null;
  return queueAgain(change.tables, change.transaction, row, change.now);
}

/** Null: there is no such row, or the operation is not for its state. */
export function operateRow(change: Change, operation: Operation, id: RowId): QueueRow | null {
  const before = rowOf(change.tables, id);
  const after = before && operated(before, operation, change.now);
  if (!before || !after) return null;
  if (operation !== "retry-now") tell(change, operation, after, { attempts: after.attempts, attempt: null });
  replaceRow(change, before, after);
  return after;
}

const NO_LEASE = { leasedBy: null, leasedUntil: null } as const;

function operated(row: QueueRow, operation: Operation, now: EpochMs): QueueRow | null {
  const isWaiting = row.state === "queued" || row.state === "deferred";
  const dueNow = Math.min(row.dueAt, now) as EpochMs; // a row that is due already keeps its place
  switch (operation) {
    case "retry-now":
      return isWaiting ? { ...row, state: "queued", dueAt: dueNow } : null;
    case "hold":
      return isWaiting ? { ...row, state: "held" } : null;
    case "release":
      return row.state === "held" ? { ...row, state: "queued", dueAt: dueNow } : null;
    case "drop":
      if (!isWaiting && row.state !== "held") return null;
      return { ...row, state: "dropped", finishedAt: now, lastAttempt: droppedByOperator(now) };
  }
}

/** The token alone would do: it rises with every lease. The state refuses a lease that has been settled or has lapsed. */
function rowUnder({ tables }: Change, lease: Lease): QueueRow | null {
  const row = rowOf(tables, lease.row.id);
  return row?.state === "leased" && row.leaseToken === lease.token ? row : null;
}

function replaceRow(change: Change, before: QueueRow, after: QueueRow): void {
  assert.ok(!isFinal(before.state), `row ${before.id} is final, and a final row never changes`);
  const { tables, transaction, now } = change;
  changeRow(tables, transaction, { before, after, now });
  if (isFinal(after.state)) {
    finishRow(change, transaction, { messageId: after.messageId, state: after.state, now });
  }
}

function tellReception(change: Change, message: Message, rows: readonly QueueRow[]): void {
  const zones = new Set(rows.map(({ zone }) => zone));
  writeEvent(change.tables, change.transaction, {
    type: "reception",
    at: change.now,
    messageId: message.id,
    zone: zones.size === 1 ? (rows[0]?.zone ?? null) : null, // of a message in many zones it is of none
  });
}

/** To be called before the row's end is written, which refers to its last event. */
function tell(
  change: Change,
  type: EventType,
  row: QueueRow,
  facts: Pick<Partial<MailEvent>, "attempts" | "attempt"> = {},
): void {
  writeEvent(change.tables, change.transaction, { type, at: change.now, rowId: row.id, ...facts });
}
