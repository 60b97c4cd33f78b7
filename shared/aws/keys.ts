/**
 * The shape of the table: keys, indexes, and the prefixes that keep kinds of item apart. table.ts creates what is named here;
 * every adapter builds its keys here or from its own prefix in `KINDS`.
 *
 *   PK            SK          what
 *   m#<message>   m           a message, with the row of its first recipient: most mail has one, and two items cost two writes
 *   m#<message>   r#<seq>     the row of another recipient, seq in hex from 002
 *
 * Two indexes, both sparse (an item is in one when it has both attributes) and both of keys only:
 *
 *   byZone   z = z#<zone>#<shard>   s = <state>#<rowId>          open rows, in the order of acceptance: lists, counts, audit.
 *                                                                A lease leaves it alone: `q` is queued or leased.
 *   byTime   w = t#<zone>#<shard>   d = <time>#<fed>#<rowId>     deferred rows by the time they are due
 *            w = p#<shard>          d = <time>#<messageId>       messages to look at when their history may be over
 *
 * A hot zone is spread over shards by message id: a partition takes 1,000 writes a second, and a mail costs an index two.
 */

import type { MessageId, RowId } from "../domain/ids.ts";
import { parseRowId, rowIdOf } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";

/** The table's own key. Both are strings. */
export const PARTITION_KEY = "PK";
export const SORT_KEY = "SK";
/** Seconds since 1970 after which DynamoDB deletes the item, some day. */
export const TTL_ATTRIBUTE = "ttl";

export interface IndexShape {
  readonly name: string;
  readonly partition: string;
  readonly sort: string;
}

/** Both of strings, projecting keys only. */
export const BY_ZONE: IndexShape = { name: "byZone", partition: "z", sort: "s" };
export const BY_TIME: IndexShape = { name: "byTime", partition: "w", sort: "d" };
export const INDEXES: readonly IndexShape[] = [BY_ZONE, BY_TIME];

/** First part of the partition key of each kind of item. */
export const KINDS = {
  message: "m#",
  suppression: "s#",
  limit: "l#",
  fleet: "f#",
  config: "c#",
  event: "e#",
  secret: "k#",
  /** Among the secrets, so that who stores DKIM keys need not be able to write API keys. */
  dkim: "k#dkim",
  idempotency: "i#",
  /** Reports of bounces that were sent to `POST /report-bounce`. */
  bounce: "b#",
  check: "x#",
} as const;

/** Partitions that a zone's rows are spread over: four take 2,000 mails a second. It never changes for a table. */
export const SHARDS = 4;

const MESSAGE_SORT = "m";
const ROW_SORT = "r#";
const FIRST_SEQ = 1;
const TIME_DIGITS = 13;
const MESSAGE_ID_CHARS = 26;
const SHARD_CHARS = 2;

export interface ItemKey {
  readonly PK: string;
  readonly SK: string;
}

/** Where an open row stands in `byZone`: queued (or leased), deferred or held. */
export type IndexedState = "q" | "d" | "h";

/** The message, and with it its first row. */
export function messageKey(id: MessageId): ItemKey {
  return { PK: `${KINDS.message}${id}`, SK: MESSAGE_SORT };
}

export function rowKey(id: MessageId, seq: number): ItemKey {
  if (seq === FIRST_SEQ) return messageKey(id);
  return { PK: `${KINDS.message}${id}`, SK: ROW_SORT + rowIdOf(id, seq).slice(MESSAGE_ID_CHARS + 1) };
}

/** Key of the row's item. The id was checked when it came in. */
export function keyOfRow(id: RowId): ItemKey {
  const parsed = parseRowId(id);
  if (!parsed) throw new TypeError(`not a row id: ${id}`);
  return rowKey(parsed.messageId, parsed.seq);
}

/** Null: the item is no row of a message. */
export function rowIdOfKey(key: ItemKey): RowId | null {
  if (!key.PK.startsWith(KINDS.message)) return null;
  const id = key.PK.slice(KINDS.message.length) as MessageId;
  if (key.SK === MESSAGE_SORT) return rowIdOf(id, FIRST_SEQ);
  if (!key.SK.startsWith(ROW_SORT)) return null;
  return parseRowId(`${id}.${key.SK.slice(ROW_SORT.length)}`)?.id ?? null;
}

export function isMessageKey(key: ItemKey): boolean {
  return key.PK.startsWith(KINDS.message) && key.SK === MESSAGE_SORT;
}

/** The same for all rows of a message. Its last characters are of chance. */
export function shardOf(id: MessageId): number {
  return Number.parseInt(id.slice(-SHARD_CHARS), 36) % SHARDS;
}

export function zonePartition(zone: ZoneName, shard: number): string {
  return `z#${zone}#${shard}`;
}

/** Sorts as row ids do within a state. */
export function zoneSort(state: IndexedState, rowOrMessage: string): string {
  return `${state}#${rowOrMessage}`;
}

/** Row id in a sort key of `byZone`. */
export function rowIdOfZoneSort(sort: string): RowId {
  return sort.slice(2) as RowId;
}

export function duePartition(zone: ZoneName, shard: number): string {
  return `t#${zone}#${shard}`;
}

/** `signalled`: a delayed signal is under way, so that only its loss makes the row the sweep's matter. */
export function dueSort(dueAt: EpochMs, how: "signalled" | "silent", id: RowId): string {
  return `${timeDigits(dueAt)}#${how === "signalled" ? "s" : "u"}#${id}`;
}

export function purgePartition(shard: number): string {
  return `p#${shard}`;
}

export function purgeSort(at: EpochMs, id: MessageId): string {
  return `${timeDigits(at)}#${id}`;
}

/** Sorts before all entries of `byTime` of that time and behind all earlier ones. */
export function timeDigits(at: EpochMs): string {
  return String(Math.max(0, at)).padStart(TIME_DIGITS, "0");
}

/** What a sort key of a due row says. */
export function readDueSort(sort: string): { dueAt: EpochMs; signalled: boolean; id: RowId } {
  const [time = "", how = "", id = ""] = sort.split("#");
  return { dueAt: Number(time) as EpochMs, signalled: how === "s", id: id as RowId };
}

export function readPurgeSort(sort: string): MessageId {
  return sort.slice(TIME_DIGITS + 1) as MessageId;
}
