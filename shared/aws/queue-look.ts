/**
 * A sender's own look at the index for rows of a zone that no signal has brought: deferred ones that come due, leases that have
 * lapsed, rows whose signal was lost. It makes an idle zone independent of the sweep, and is bounded and cheap: two queries for
 * each shard, a page each, and reads of rows that are not known yet.
 */

import { QueryCommand } from "@aws-sdk/client-dynamodb";
import { LRUCache } from "lru-cache";

import type { RowId } from "../domain/ids.ts";
import type { QueueRow } from "../domain/queue-row.ts";
import { later, SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import { unmarshal } from "./items.ts";
import {
  BY_TIME,
  BY_ZONE,
  duePartition,
  isMessageKey,
  keyOfRow,
  readDueSort,
  rowIdOfKey,
  rowIdOfZoneSort,
  SHARDS,
  timeDigits,
  zonePartition,
  zoneSort,
} from "./keys.ts";
import type { IndexShape } from "./keys.ts";
import { rowOf } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { viewLease } from "./queue-lapse.ts";
import type { SeenRow } from "./queue-lapse.ts";
import { keyOf, StoredItemError, textOf } from "./row-item.ts";
import type { Item } from "./row-item.ts";
import { signalsOf } from "./signals.ts";
import type { Parcel } from "./stock.ts";

/** A look also finds what comes due so soon, which is kept and taken on time. More than the wait until the next look. */
const LOOK_AHEAD_MS = 20 * SECOND;
/** A queued row is left to its signal for so long. */
const SIGNAL_GRACE_MS = 5 * SECOND;
/** Keys read from each run of an index in one look. The next look goes on behind them. */
const LOOK_PAGE = 100;
const MAX_KNOWN = 50_000;

/** Parcels found. `isKnown`: the row lies in the stock. */
export type Look = (zone: ZoneName, isKnown: (row: RowId) => boolean) => Promise<Parcel[]>;

export function indexLook(context: QueueContext): Look {
  /** Rows leased by others, and until when there is no use in looking at them. */
  const leasedElsewhere = new LRUCache<RowId, EpochMs>({ max: MAX_KNOWN });
  /** Where the next look at queued rows goes on. */
  const cursors = new Map<string, string>();

  async function queuedIn(partition: string): Promise<RowId[]> {
    const behind = cursors.get(partition) ?? zoneSort("q", "");
    const sorts = await sortsBetween(context, BY_ZONE, {
      partition,
      behind,
      to: zoneSort("q", "~"),
      limit: LOOK_PAGE,
    });
    const last = sorts.at(-1);
    if (last !== undefined && sorts.length === LOOK_PAGE) cursors.set(partition, last);
    else cursors.delete(partition);
    return sorts.map(rowIdOfZoneSort);
  }

  async function dueIn(partition: string, until: EpochMs): Promise<RowId[]> {
    const to = timeDigits(later(until, 1));
    const sorts = await sortsBetween(context, BY_TIME, { partition, behind: "", to, limit: LOOK_PAGE });
    return sorts.map((sort) => readDueSort(sort).id);
  }

  /** The row, with when it can be leased; null: it is none of our business yet. */
  function worthKeeping(seen: SeenRow, now: EpochMs): QueueRow | null {
    const { row } = seen;
    const lease = viewLease(context, seen, now);
    if (lease.kind === "lives") {
      if (lease.end <= later(now, LOOK_AHEAD_MS)) return { ...row, dueAt: lease.end }; // found dead, if it is, when it is over
      leasedElsewhere.set(row.id, lease.end);
      return null;
    }
    if (lease.kind !== "none") return { ...row, dueAt: now };
    const isLeftToSignal = row.dueAt <= now && row.dueAt > now - SIGNAL_GRACE_MS;
    if (row.state === "queued") return isLeftToSignal || row.dueAt > later(now, LOOK_AHEAD_MS) ? null : row;
    return row.state === "deferred" ? row : null;
  }

  return async (zone, isKnown) => {
    const now = context.clock.now();
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
    const found = await Promise.all(
      shards.flatMap((shard) => [
        dueIn(duePartition(zone, shard), later(now, LOOK_AHEAD_MS)),
        queuedIn(zonePartition(zone, shard)),
      ]),
    );
    const unknown = found.flat().filter((id) => !isKnown(id) && (leasedElsewhere.get(id) ?? 0) <= now);
    const items = await Promise.all([...new Set(unknown)].map((id) => context.read(keyOfRow(id))));
    const rows = items.flatMap((item) => {
      const row = rowOf(context, item);
      return (item && row && worthKeeping({ row, item }, context.clock.now())) || [];
    });
    return parcelsOf(rows, later(now, 2 * LOOK_AHEAD_MS));
  };
}

/** Rows that are due together are one parcel; a lapsed lease makes a row due, whatever its time says. */
function parcelsOf(rows: readonly QueueRow[], keepUntil: EpochMs): Parcel[] {
  const byTime = Map.groupBy(rows, ({ dueAt }) => dueAt);
  return [...byTime.values()].flatMap((group) =>
    signalsOf(group).map((signal) => ({ ...signal, ticket: null, keepUntil })),
  );
}

/**
 * Sort keys of an index, behind one and before another, the first ones. Half a read unit for each 4 KiB of keys. One that does not
 * lead to the item it is of is left out, and its item set aside.
 */
export async function sortsBetween(
  { dynamo, table, setAside }: Pick<QueueContext, "dynamo" | "table" | "setAside">,
  index: IndexShape,
  range: { partition: string; behind: string; to: string; limit: number },
): Promise<string[]> {
  const { Items = [] } = await dynamo.send(
    new QueryCommand({
      TableName: table,
      IndexName: index.name,
      KeyConditionExpression: "#p = :p AND #s BETWEEN :from AND :to",
      ExpressionAttributeNames: { "#p": index.partition, "#s": index.sort },
      ExpressionAttributeValues: {
        ":p": { S: range.partition },
        ":from": { S: `${range.behind}!` }, // behind it and before all of ours: BETWEEN includes its ends
        ":to": { S: range.to },
      },
      Limit: range.limit,
    }),
  );
  return Items.flatMap((keys) => {
    const item = unmarshal(keys);
    const sort = textOf(keys[index.sort]);
    if (leadsTo(sort, item)) return [sort];
    setAside(item, new StoredItemError(`${index.name} has ${sort} of another item`));
    return [];
  });
}

/** True: it ends with the id of the row, or of the message, that the item is. */
export function leadsTo(sort: string, item: Item): boolean {
  const id = rowIdOfKey(keyOf(item));
  if (id === null) return false;
  const named = sort.slice(sort.lastIndexOf("#") + 1);
  return named === id || (isMessageKey(keyOf(item)) && id.startsWith(`${named}.`));
}
