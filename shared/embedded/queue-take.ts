/**
 * Which rows to lease, and leasing them.
 *
 * `ready` is sorted by zone, domain and time, and read by skipping: a domain to be avoided, or one that gave its share, costs
 * one seek however long its backlog is. Each take starts behind the domain where the last one stopped, so no domain's place in
 * the alphabet helps it. What comes due or lapses is first moved to `ready`, a bounded number at a time.
 */

import assert from "node:assert/strict";

import type { Domain } from "../domain/address.ts";
import type { RowId, WorkerId } from "../domain/ids.ts";
import type { Lease, QueueRow } from "../domain/queue-row.ts";
import { later } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import { MAX_ROWS_TOGETHER } from "../ports/queue-store.ts";
import type { Taken, TakeRequest } from "../ports/queue-store.ts";
import type { Table, TableKey } from "./database.ts";
import type { WriteTransaction } from "./group-commit.ts";
import { LAST, changeRow, feedRow, messageOf, rowOf } from "./queue-tables.ts";
import type { QueueTables } from "./queue-tables.ts";

/** Rows moved to `ready` in one transaction. */
export const MAX_FED = 1_000;

/** Rows of one message and one domain, to be leased together. */
export interface Group {
  readonly domain: Domain;
  /** Their places in `ready`. */
  readonly keys: TableKey[];
}

type Wanted = Pick<TakeRequest, "zone" | "max" | "maxPerDomain" | "avoid">;

/** True: a row came due, or a lease lapsed, and has not been moved to `ready`. */
export function hasComeDue(tables: QueueTables, now: EpochMs): boolean {
  return (
    firstOf(tables.waiting.keys(upTo(now, 1))) !== null || firstOf(tables.leases.keys(upTo(now, 1))) !== null
  );
}

/** Move what came due and what lapsed to `ready`. */
export function feed(
  tables: QueueTables,
  transaction: WriteTransaction,
  now: EpochMs,
): { fed: QueueRow[]; lapsed: QueueRow[] } {
  const fed = rowsIn(tables, tables.waiting, now);
  for (const row of fed) feedRow(tables, row);
  const lapsed = rowsIn(tables, tables.leases, now);
  for (const row of lapsed) queueAgain(tables, transaction, row, now);
  return { fed, lapsed };
}

/** End a lease that its worker did not end. What that worker may still write is refused, for the row is not leased. */
export function queueAgain(
  tables: QueueTables,
  transaction: WriteTransaction,
  row: QueueRow,
  now: EpochMs,
): QueueRow {
  const after: QueueRow = { ...row, state: "queued", leasedBy: null, leasedUntil: null };
  changeRow(tables, transaction, { before: row, after, now });
  return after;
}

/** Rows leased by workers that do not live. As many as are in flight: no more than the connections of all processes. */
export function leasesOfDead(tables: QueueTables, living: ReadonlySet<WorkerId>): RowId[] {
  const dead = [...tables.leases.entries({})].filter(({ value }) => !living.has(String(value) as WorkerId));
  return dead.map(({ key }) => rowIdIn(key));
}

/** Find rows to lease: behind the domain `behind` to the last domain of the zone, then from the first one on. */
export function findReady(tables: QueueTables, wanted: Wanted, behind: string): Group[] {
  const groups: Group[] = [];
  const search = { tables, wanted, groups };
  searchDomains(search, { start: [wanted.zone, behind, LAST], end: [wanted.zone, LAST] });
  searchDomains(search, { start: [wanted.zone], end: [wanted.zone, behind, LAST] });
  return groups;
}

/** Lease the rows of a group that can be read. Null: there are none. */
export function leaseGroup(
  tables: QueueTables,
  transaction: WriteTransaction,
  group: Group,
  request: { worker: TakeRequest["worker"]; leaseMs: number; now: EpochMs },
): Taken | null {
  const rows = group.keys.map((key) => readyRow(tables, key)).filter((row) => row !== null);
  const [first] = rows;
  if (!first) return null;
  const message = messageOf(tables, first.messageId);
  if (!message) {
    for (const row of rows) setRowAside(tables, transaction, row, request.now);
    return null;
  }
  const leases = rows.map((row) => leaseRow(tables, transaction, row, request));
  return { message, domain: group.domain, leases };
}

/** Null: it cannot be read, and has no place among the ready any more. */
function readyRow(tables: QueueTables, key: TableKey): QueueRow | null {
  const row = rowOf(tables, rowIdIn(key));
  if (!row) tables.ready.remove(key);
  return row;
}

/** It cannot be sent: its message cannot be read. */
function setRowAside(tables: QueueTables, transaction: WriteTransaction, row: QueueRow, now: EpochMs): void {
  changeRow(tables, transaction, { before: row, after: null, now });
  const error = `the message of row ${row.id} cannot be read`;
  tables.aside.keep(transaction, { table: "rows", key: row.id, error, stored: row });
}

function leaseRow(
  tables: QueueTables,
  transaction: WriteTransaction,
  before: QueueRow,
  { worker, leaseMs, now }: { worker: TakeRequest["worker"]; leaseMs: number; now: EpochMs },
): Lease {
  assert.ok(before.state === "queued" || before.state === "deferred", `ready row ${before.id} can be leased`);
  const until = later(now, leaseMs);
  const token = before.leaseToken + 1;
  const row: QueueRow = {
    ...before,
    state: "leased",
    leaseToken: token,
    leasedBy: worker,
    leasedUntil: until,
  };
  changeRow(tables, transaction, { before, after: row, now });
  return { row, token, worker, until };
}

interface Search {
  readonly tables: QueueTables;
  readonly wanted: Wanted;
  /** What was found so far. */
  readonly groups: Group[];
}

/** Look at the domains of a part of the zone, one seek each, until enough is found. */
function searchDomains(search: Search, part: { start: TableKey; end: TableKey }): void {
  const { tables, wanted } = search;
  let start = part.start;
  for (;;) {
    const room = wanted.max - countRows(search.groups);
    if (room <= 0) return;
    const key = firstOf(tables.ready.keys({ start, end: part.end, limit: 1 }));
    if (key === null) return;
    const domain = readReadyKey(key).domain;
    if (!wanted.avoid.has(domain)) {
      search.groups.push(...groupsOfDomain(tables, wanted.zone, domain, Math.min(room, wanted.maxPerDomain)));
    }
    start = [wanted.zone, domain, LAST];
  }
}

/** The oldest rows of a domain: `room` of them, and what belongs to the last message besides. */
function groupsOfDomain(tables: QueueTables, zone: ZoneName, domain: Domain, room: number): Group[] {
  const groups: Group[] = [];
  const groupOfMessage = new Map<string, Group>(); // its last one, when it has more rows than go together
  let count = 0;
  for (const key of tables.ready.keys({ start: [zone, domain], end: [zone, domain, LAST] })) {
    const messageId = readReadyKey(key).messageId;
    const group = groupOfMessage.get(messageId);
    const fits = group && group.keys.length < MAX_ROWS_TOGETHER;
    if (fits && (count < room || group === groups.at(-1))) {
      group.keys.push(key);
    } else if (count < room) {
      const next: Group = { domain, keys: [key] };
      groupOfMessage.set(messageId, next);
      groups.push(next);
    } else {
      break;
    }
    count++;
  }
  return groups;
}

function countRows(groups: readonly Group[]): number {
  return groups.reduce((sum, { keys }) => sum + keys.length, 0);
}

function readReadyKey(key: TableKey): { domain: Domain; messageId: string } {
  assert.ok(Array.isArray(key));
  const id = rowIdIn(key);
  return { domain: String(key[1]) as Domain, messageId: id.slice(0, id.indexOf(".")) };
}

/** Keys `[time, rowId]` whose time has come. */
function upTo(now: EpochMs, limit: number): { end: TableKey; limit: number } {
  return { end: [now, LAST], limit };
}

/**
 * The rows whose time has come in an index of keys `[time, rowId]`; a place of one that cannot be read is removed.
 * All keys are read before anything is written: a cursor does not like its table changed.
 */
function rowsIn(tables: QueueTables, index: Table<unknown>, now: EpochMs): QueueRow[] {
  const rows: QueueRow[] = [];
  const keys = [...index.keys(upTo(now, MAX_FED))];
  for (const key of keys) {
    const row = rowOf(tables, rowIdIn(key));
    if (row) rows.push(row);
    else index.remove(key);
  }
  return rows;
}

/** The last part of a key `[…, rowId]`. */
function rowIdIn(key: TableKey): RowId {
  return String(Array.isArray(key) ? key.at(-1) : key) as RowId;
}

function firstOf(keys: Iterable<TableKey>): TableKey | null {
  for (const key of keys) return key;
  return null;
}
