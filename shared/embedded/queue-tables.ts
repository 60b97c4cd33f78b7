/**
 * Where messages, rows and what is looked up by lie in LMDB. Every change of a row goes through `changeRow`, so that no index,
 * counter or row can disagree. What the changes mean for mail is not decided here.
 *
 *   messages   messageId                        the message
 *   rows       rowId                            the row: the truth, all below can be made from it
 *   byState    [zone, state, rowId]             for lists
 *   ready      [zone, domain, dueAt, rowId]     queued or deferred, and due: what `take` reads
 *   waiting    [dueAt, rowId]                   queued or deferred, due later
 *   leases     [until, rowId]                   leased, with its worker
 *   openRows   messageId                        of a message with more than one row, how many are not final
 *   history    [purgeAt, messageId]             messages whose rows are all final
 *   events     number                           what happened, in order
 *
 * The counter `rows <state> <zone>` is the number of rows in a state, exact.
 */

import type { MailEvent } from "../domain/event.ts";
import type { MessageId, RowId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import type { QueueRow, RowState } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { EmbeddedDatabase, Table, TableKey } from "./database.ts";
import type { WriteTransaction } from "./group-commit.ts";
import { readMessage, readRow } from "./records.ts";

export interface QueueTables {
  readonly messages: Table<unknown>;
  readonly rows: Table<unknown>;
  readonly byState: Table<unknown>;
  readonly ready: Table<unknown>;
  readonly waiting: Table<unknown>;
  readonly leases: Table<unknown>;
  readonly openRows: Table<unknown>;
  readonly history: Table<unknown>;
  readonly events: Table<unknown>;
}

/** Sorts after every text and number in its place of a key. */
export const LAST = "\uffff";
/** Value of a key that says all. */
const PRESENT = 0;
const ROWS_COUNTER = "rows ";
const EVENTS_COUNTER = "events";

export function queueTables(database: EmbeddedDatabase): QueueTables {
  return {
    messages: database.table("messages"),
    rows: database.table("rows"),
    byState: database.table("by-state"),
    ready: database.table("ready"),
    waiting: database.table("waiting"),
    leases: database.table("leases"),
    openRows: database.table("open-rows"),
    history: database.table("history"),
    events: database.table("events"),
  };
}

export function messageOf(tables: QueueTables, id: MessageId): Message | null {
  const stored = tables.messages.get(id);
  return stored === undefined ? null : readMessage(stored, id);
}

export function rowOf(tables: QueueTables, id: RowId): QueueRow | null {
  const stored = tables.rows.get(id);
  return stored === undefined ? null : readRow(stored, id);
}

/** In the order of the envelope. */
export function rowsOfMessage(tables: QueueTables, id: MessageId): QueueRow[] {
  const found = tables.rows.entries({ start: `${id}.`, end: `${id}/` }); // "/" follows "."
  return [...found].map(({ key, value }) => readRow(value, String(key))).toSorted((a, b) => a.seq - b.seq);
}

/**
 * Write a row as it is from now on, with its places in the indexes. `before` is what is stored, null for a new row; `after`
 * is null to forget it. A row whose time has come by `now` is put where `take` looks.
 */
export function changeRow(
  tables: QueueTables,
  transaction: WriteTransaction,
  change: { before: QueueRow | null; after: QueueRow | null; now: EpochMs },
): void {
  const { before, after, now } = change;
  if (before) removeFromIndexes(tables, before);
  if (before?.state !== after?.state) {
    if (before) leaveState(tables, transaction, before);
    if (after) enterState(tables, transaction, after);
  }
  if (after) {
    tables.rows.put(after.id, after);
    addToIndexes(tables, after, now);
  } else if (before) {
    tables.rows.remove(before.id);
  }
}

/** Put a row whose time has come where `take` looks. */
export function feedRow(tables: QueueTables, row: QueueRow): void {
  tables.waiting.remove(waitingKey(row));
  tables.ready.put(readyKey(row), PRESENT);
}

export function writeEvent(tables: QueueTables, transaction: WriteTransaction, event: MailEvent): void {
  tables.events.put(transaction.count(EVENTS_COUNTER, 1), event);
}

/** Number of rows by state and zone; may hold zeros. */
export function rowCounts(database: EmbeddedDatabase): { zone: ZoneName; state: RowState; rows: number }[] {
  return [...database.counters(ROWS_COUNTER)].map(([counter, rows]) => {
    const [, state, ...zone] = counter.split(" ");
    return { zone: zone.join(" ") as ZoneName, state: state as RowState, rows };
  });
}

export function stateKey(row: Pick<QueueRow, "zone" | "state" | "id">): TableKey {
  return [row.zone, row.state, row.id];
}

function addToIndexes(tables: QueueTables, row: QueueRow, now: EpochMs): void {
  if (row.state === "leased") tables.leases.put(leaseKey(row), row.leasedBy);
  else if (row.state === "queued" || row.state === "deferred") {
    if (row.dueAt <= now) tables.ready.put(readyKey(row), PRESENT);
    else tables.waiting.put(waitingKey(row), PRESENT);
  }
}

function removeFromIndexes(tables: QueueTables, row: QueueRow): void {
  if (row.state === "leased") tables.leases.remove(leaseKey(row));
  else if (row.state === "queued" || row.state === "deferred") {
    tables.ready.remove(readyKey(row)); // it is in one of the two, and the clock does not tell in which
    tables.waiting.remove(waitingKey(row));
  }
}

function enterState(tables: QueueTables, transaction: WriteTransaction, row: QueueRow): void {
  tables.byState.put(stateKey(row), PRESENT);
  transaction.count(`${ROWS_COUNTER}${row.state} ${row.zone}`, 1);
}

function leaveState(tables: QueueTables, transaction: WriteTransaction, row: QueueRow): void {
  tables.byState.remove(stateKey(row));
  transaction.count(`${ROWS_COUNTER}${row.state} ${row.zone}`, -1);
}

function readyKey(row: QueueRow): TableKey {
  return [row.zone, row.domain, row.dueAt, row.id];
}

function waitingKey(row: QueueRow): TableKey {
  return [row.dueAt, row.id];
}

function leaseKey(row: QueueRow): TableKey {
  return [row.leasedUntil ?? 0, row.id];
}
