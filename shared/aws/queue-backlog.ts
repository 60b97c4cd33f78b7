/**
 * What waits in each zone, for metrics: read every minute, so it costs little. A zone in which nothing waits is 24 queries of half a
 * read unit (at US$0.125 a million US$0.07 a month); counting costs the keys of what waits, up to a bound; and of the rows that are due some
 * are read for how long they have been.
 */

import type { RowId } from "../domain/ids.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { RowState } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { ZoneBacklog } from "../ports/zone-backlog.ts";
import {
  BY_TIME,
  BY_ZONE,
  duePartition,
  keyOfRow,
  readDueSort,
  rowIdOfZoneSort,
  SHARDS,
  timeDigits,
  zonePartition,
  zoneSort,
} from "./keys.ts";
import type { IndexedState } from "./keys.ts";
import { rowOf } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { countRun } from "./queue-list.ts";
import { sortsBetween } from "./queue-look.ts";

/** Of each shard and state, from where on that is what is told. More is trouble by any measure, and to count on would cost more by the minute. */
const MAX_COUNTED = 100_000;
/** Rows of each shard that were accepted first: what stands still for good comes to stand there. */
const OLDEST_READ = 10;
/** Rows of each shard behind those, other ones each time until all have been read: what waits behind mail that moves. */
const NEXT_READ = 40;
/** Rows of each shard that wait for their time longest. */
const OVERDUE_READ = 10;

export interface BacklogReader {
  read(): Promise<ZoneBacklog[]>;
}

/** Of all zones, also those in which nothing waits. */
export function backlogReader(context: QueueContext): BacklogReader {
  /** Where the next reading of a partition goes on. */
  const cursors = new Map<string, string>();

  async function someQueued(partition: string): Promise<RowId[]> {
    const first = zoneSort("q", "");
    const range = { partition, to: zoneSort("q", "~") };
    const [oldest, next] = await Promise.all([
      sortsBetween(context, BY_ZONE, { ...range, behind: first, limit: OLDEST_READ }),
      sortsBetween(context, BY_ZONE, {
        ...range,
        behind: cursors.get(partition) ?? first,
        limit: NEXT_READ,
      }),
    ]);
    const last = next.at(-1);
    if (last !== undefined && next.length === NEXT_READ) cursors.set(partition, last);
    else cursors.delete(partition);
    return [...oldest, ...next].map(rowIdOfZoneSort);
  }

  async function overdue(partition: string): Promise<RowId[]> {
    const to = timeDigits(context.clock.now());
    const sorts = await sortsBetween(context, BY_TIME, { partition, behind: "", to, limit: OVERDUE_READ });
    return sorts.map((sort) => readDueSort(sort).id);
  }

  async function oldestDueAt(zone: ZoneName): Promise<EpochMs | null> {
    const found = await Promise.all(
      shards().flatMap((shard) => [
        someQueued(zonePartition(zone, shard)),
        overdue(duePartition(zone, shard)),
      ]),
    );
    const ids = [...new Set(found.flat())];
    const items = await Promise.all(ids.map((id) => context.read(keyOfRow(id))));
    const rows = items.flatMap((item) => rowOf(context, item) ?? []);
    const due = rows.filter(({ state, dueAt }) => isWaiting(state) && dueAt <= context.clock.now());
    return due.length === 0 ? null : (Math.min(...due.map(({ dueAt }) => dueAt)) as EpochMs);
  }

  async function count(zone: ZoneName, state: IndexedState): Promise<number> {
    const counts = await Promise.all(
      shards().map((shard) => countRun(context, zonePartition(zone, shard), state, MAX_COUNTED)),
    );
    return counts.reduce((sum, one) => sum + Math.min(one, MAX_COUNTED), 0);
  }

  async function backlogOf(zone: ZoneName): Promise<ZoneBacklog> {
    const [queued, deferred, held, oldest] = await Promise.all([
      count(zone, "q"),
      count(zone, "d"),
      count(zone, "h"),
      oldestDueAt(zone),
    ]);
    return { zone, queued, deferred, held, oldestDueAt: oldest };
  }

  return { read: () => Promise.all(context.zones.map(backlogOf)) };
}

/** For its turn, be it under a lease: one that is held waits for an operator. */
function isWaiting(state: RowState): boolean {
  return !isFinal(state) && state !== "held";
}

function shards(): number[] {
  return Array.from({ length: SHARDS }, (_, shard) => shard);
}
