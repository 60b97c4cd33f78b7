/**
 * Where messages, rows and what is looked up by lie in LMDB. Every change of a row goes through `changeRow`, so that no index,
 * counter or row can disagree. What the changes mean for mail is not decided here.
 *
 *   messages   messageId                        the message
 *   rows       rowId                            the row: the truth, all below can be made from it
 *   byState    [zone, state, rowId]             open rows, for lists
 *   ready      [zone, line, dueAt, rowId]       queued or deferred, and due: what `take` reads
 *   waiting    [dueAt, rowId]                   queued or deferred, due later
 *   leases     [until, rowId]                   leased, with its worker
 *   openRows   messageId                        of a message with more than one row, how many are not final
 *   history    [purgeAt, messageId]             messages whose rows are all final, with the number of their last event
 *   events     number                           what happened, in order
 *
 * The counter `rows <state> <zone>` is the number of rows in an open state, exact. A row that cannot be read (set-aside.ts) leaves
 * places in `ready`, `waiting` or `leases` that lead nowhere: who comes by removes them.
 */

import type { Clock } from "../domain/clock.ts";
import type { MailEvent } from "../domain/event.ts";
import { parseRowId } from "../domain/ids.ts";
import type { MessageId, RowId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import { isFinal, lineOf } from "../domain/queue-row.ts";
import type { OpenState, QueueRow } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { EmbeddedDatabase, Table, TableKey } from "./database.ts";
import type { WriteTransaction } from "./group-commit.ts";
import { readEvent, readMessage, readRow, shortEvent, shortMessage, shortRow } from "./records.ts";
import type { StoredEvent } from "./records.ts";
import { setAside } from "./set-aside.ts";
import type { SetAside, SetAsideDeps } from "./set-aside.ts";

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
  readonly aside: SetAside;
}

/** Sorts after every text and number in its place of a key. */
export const LAST = "\uffff";
/** Value of a key that says all. */
const PRESENT = 0;
const ROWS_COUNTER = "rows ";
const EVENTS_COUNTER = "events";

export interface QueueTablesDeps {
  readonly database: EmbeddedDatabase;
  readonly clock: Clock;
  readonly onSetAside: SetAsideDeps["onSetAside"];
}

export function queueTables({ database, clock, onSetAside }: QueueTablesDeps): QueueTables {
  const byState = database.table("by-state");
  const uncount: SetAsideDeps["uncount"] = (transaction, { table, key }) => {
    if (table !== "rows") return;
    for (const { zone, state } of rowCounts(database)) {
      const place = { zone, state, id: String(key) as RowId };
      if (byState.has(stateKey(place))) leaveState({ byState }, transaction, place);
    }
  };
  return {
    messages: database.table("messages"),
    rows: database.table("rows"),
    byState,
    ready: database.table("ready"),
    waiting: database.table("waiting"),
    leases: database.table("leases"),
    openRows: database.table("open-rows"),
    history: database.table("history"),
    events: database.table("events"),
    aside: setAside({ database, clock, onSetAside, uncount }),
  };
}

/** Null: there is none, or it cannot be read. */
export function messageOf({ messages, aside }: QueueTables, id: MessageId): Message | null {
  const stored = messages.get(id);
  if (stored === undefined) return null;
  return aside.readable({ table: "messages", key: id }, () => readMessage(stored, id));
}

/** Null: there is none, or it cannot be read. */
export function rowOf({ rows, aside }: QueueTables, id: RowId): QueueRow | null {
  const stored = rows.get(id);
  return stored === undefined ? null : readStoredRow(aside, stored, id);
}

/** In the order of the envelope, without what cannot be read. */
export function rowsOfMessage({ rows, aside }: QueueTables, id: MessageId): QueueRow[] {
  const found = rows.entries({ start: `${id}.`, end: `${id}/` }); // "/" follows "."
  return [...found]
    .map(({ key, value }) => readStoredRow(aside, value, String(key)))
    .filter((row) => row !== null)
    .toSorted((a, b) => a.seq - b.seq);
}

/** Null: it cannot be read, or what it tells of cannot or is forgotten. */
export function eventOf(tables: QueueTables, stored: unknown, number: number): MailEvent | null {
  const event = tables.aside.readable({ table: "events", key: number }, () => readEvent(stored, number));
  return event && wholeEvent(tables, event);
}

export function writeMessage({ messages }: QueueTables, message: Message): void {
  messages.put(message.id, shortMessage(message));
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
    if (isOpen(before)) leaveState(tables, transaction, before);
    if (isOpen(after)) enterState(tables, transaction, after);
  }
  if (after) {
    tables.rows.put(after.id, shortRow(after));
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

export function writeEvent(tables: QueueTables, transaction: WriteTransaction, event: StoredEvent): void {
  tables.events.put(transaction.count(EVENTS_COUNTER, 1), shortEvent(event));
}

/** Number of the last event that was written. */
export function lastEvent(transaction: WriteTransaction): number {
  return transaction.count(EVENTS_COUNTER, 0);
}

/** Number of rows by open state and zone; may hold zeros. */
export function rowCounts(database: EmbeddedDatabase): { zone: ZoneName; state: OpenState; rows: number }[] {
  return [...database.counters(ROWS_COUNTER)].map(([counter, rows]) => {
    const [, state, ...zone] = counter.split(" ");
    return { zone: zone.join(" ") as ZoneName, state: state as OpenState, rows };
  });
}

/** Where a row is in its index: all that a place needs of it. */
type Place = Pick<QueueRow, "zone" | "state" | "id">;

function readStoredRow(aside: SetAside, stored: unknown, key: string): QueueRow | null {
  return aside.readable({ table: "rows", key }, () => readRow(stored, key));
}

/** The row and the message say what the event leaves out. They are kept until it has been read by all. */
function wholeEvent(tables: QueueTables, event: StoredEvent): MailEvent | null {
  const rowId = event.rowId ?? null;
  const messageId = event.messageId ?? (rowId === null ? null : (parseRowId(rowId)?.messageId ?? null));
  const message = messageId && messageOf(tables, messageId);
  const row = rowId && rowOf(tables, rowId);
  if (!message || (rowId !== null && !row)) return null;
  return {
    messageId: message.id,
    rowId,
    zone: row ? row.zone : null,
    returnPath: message.returnPath,
    recipient: row ? row.recipient : null,
    attempts: row ? row.attempts : 0,
    attempt: row ? row.lastAttempt : null,
    ...event,
  };
}

function isOpen(row: QueueRow | null): row is QueueRow {
  return row !== null && !isFinal(row.state);
}

function stateKey(row: Place): TableKey {
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

function leaveState(
  { byState }: Pick<QueueTables, "byState">,
  transaction: WriteTransaction,
  row: Place,
): void {
  byState.remove(stateKey(row));
  transaction.count(`${ROWS_COUNTER}${row.state} ${row.zone}`, -1);
}

function readyKey(row: QueueRow): TableKey {
  return [row.zone, lineOf(row), row.dueAt, row.id];
}

function waitingKey(row: QueueRow): TableKey {
  return [row.dueAt, row.id];
}

function leaseKey(row: QueueRow): TableKey {
  return [row.leasedUntil ?? 0, row.id];
}
