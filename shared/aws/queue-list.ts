/**
 * Lists and counts, from the index `byZone`: a run for each zone, shard and state, in the order of row ids, which is that of
 * acceptance. The index has keys only, so listed rows are read from the table, and what changed since is left out.
 *
 * A page costs half a read unit for each 4 KiB of keys (some 40) and half of one for each row. Counts cost the keys of all open
 * rows: 100,000 rows about 2,500 read units, a third of a thousandth of a dollar.
 */

import { QueryCommand } from "@aws-sdk/client-dynamodb";

import { DomainError } from "../domain/errors.ts";
import { parseRowId } from "../domain/ids.ts";
import type { RowId } from "../domain/ids.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { OpenState, QueueRow } from "../domain/queue-row.ts";
import type { ZoneName } from "../domain/zone.ts";
import { MAX_PAGE_ROWS } from "../ports/queue-store.ts";
import type { RowPage, RowQuery, ZoneCounts } from "../ports/queue-store.ts";
import { marshal, unmarshal } from "./items.ts";
import type { Attributes } from "./items.ts";
import { BY_ZONE, keyOfRow, rowIdOfZoneSort, SHARDS, zonePartition, zoneSort } from "./keys.ts";
import type { IndexedState } from "./keys.ts";
import { rowOf } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { leadsTo } from "./queue-look.ts";
import { textOf } from "./row-item.ts";

/** Which runs hold rows of a state: a leased row stands where a queued one does. */
const RUN_OF_STATE: Readonly<Record<OpenState, IndexedState>> = {
  queued: "q",
  leased: "q",
  deferred: "d",
  held: "h",
};
const RUNS: readonly IndexedState[] = ["q", "d", "h"];
/** Keys asked for at once, of one run. */
const KEYS_PER_CALL = 300;
/**
 * Rows of a zone that are read to tell leased ones from queued ones. Of a longer queue the rest counts as queued: its oldest rows
 * are read, and those are the ones that are leased.
 */
const MAX_SPLIT = 1_000;

/** One page. The cursor is the last row's id, so rows that come or change in between neither repeat nor hide one. */
export async function listRows(context: QueueContext, query: RowQuery): Promise<RowPage> {
  check(query);
  const zones = query.zone === null ? context.zones : [query.zone];
  const found = await indexedRows(context, query, zones);
  const page = found.slice(0, query.limit);
  return { rows: page, cursor: found.length > query.limit ? (page.at(-1)?.id ?? null) : null };
}

function check({ limit, cursor }: RowQuery): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE_ROWS) {
    throw new DomainError("invalid-request", `a page has 1 to ${MAX_PAGE_ROWS} rows`, "limit");
  }
  if (cursor !== null && !parseRowId(cursor)) {
    throw new DomainError("invalid-request", "take the cursor from the page before, unchanged", "cursor");
  }
}

/** The first rows of the query, one more than its limit when there are more. */
async function indexedRows(
  context: QueueContext,
  query: RowQuery,
  zones: readonly ZoneName[],
): Promise<QueueRow[]> {
  const letters = new Set(query.states.flatMap((state) => (isFinal(state) ? [] : [RUN_OF_STATE[state]])));
  const runs = zones.flatMap((zone) =>
    shards().flatMap((shard) =>
      [...letters].map((letter) => runOf(context, query, zonePartition(zone, shard), letter)),
    ),
  );
  const rows: QueueRow[] = [];
  const merged = mergedRuns(runs, query.order);
  while (rows.length <= query.limit) {
    const ids = await nextOf(merged, query.limit + 1 - rows.length);
    if (ids.length === 0) break;
    const read = await Promise.all(ids.map((id) => context.read(keyOfRow(id))));
    for (const item of read) {
      const row = rowOf(context, item);
      if (row && query.states.includes(row.state)) rows.push(row);
    }
  }
  return rows;
}

/** Row ids of one run, behind the cursor. */
async function* runOf(
  { dynamo, table }: QueueContext,
  { order, cursor }: RowQuery,
  partition: string,
  letter: IndexedState,
): AsyncGenerator<RowId> {
  const forward = order === "oldest-first";
  const first = zoneSort(letter, "");
  const last = zoneSort(letter, "~"); // behind all ids
  const at = cursor === null ? null : zoneSort(letter, cursor);
  let start: Attributes | undefined;
  do {
    const page = await dynamo.send(
      new QueryCommand({
        TableName: table,
        IndexName: BY_ZONE.name,
        KeyConditionExpression: "#p = :p AND #s BETWEEN :from AND :to",
        ExpressionAttributeNames: { "#p": BY_ZONE.partition, "#s": BY_ZONE.sort },
        ExpressionAttributeValues: marshal({
          ":p": partition,
          ":from": forward && at !== null ? at : first,
          ":to": !forward && at !== null ? at : last,
        }),
        ScanIndexForward: forward,
        Limit: KEYS_PER_CALL,
        ExclusiveStartKey: start,
      }),
    );
    for (const item of page.Items ?? []) {
      const sort = textOf(item[BY_ZONE.sort]);
      const id = rowIdOfZoneSort(sort);
      // BETWEEN includes its ends. What leads nowhere is set aside by who looks for work.
      if (id !== cursor && leadsTo(sort, unmarshal(item))) yield id;
    }
    start = page.LastEvaluatedKey;
  } while (start);
}

/** Ids of sorted runs in one order. A row that moved from run to run meanwhile may come twice, and is given once. */
async function* mergedRuns(
  runs: readonly AsyncGenerator<RowId>[],
  order: RowQuery["order"],
): AsyncGenerator<RowId> {
  const heads = await Promise.all(runs.map(async (run) => ({ run, next: await run.next() })));
  let given: RowId | null = null;
  for (;;) {
    const live = heads.filter(({ next }) => next.done !== true);
    const best = live.reduce<(typeof live)[number] | null>(
      (found, head) => (found === null || isBefore(head.next.value, found.next.value, order) ? head : found),
      null,
    );
    if (!best) return;
    const id = best.next.value as RowId;
    if (id !== given) yield id;
    given = id;
    best.next = await best.run.next();
  }
}

function isBefore(a: unknown, b: unknown, order: RowQuery["order"]): boolean {
  return order === "oldest-first" ? String(a) < String(b) : String(a) > String(b);
}

async function nextOf(ids: AsyncGenerator<RowId>, count: number): Promise<RowId[]> {
  const taken: RowId[] = [];
  while (taken.length < count) {
    const next = await ids.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

/** Open rows by zone. Sums are as exact as the index is; `leased` is exact up to `MAX_SPLIT` active rows of a zone. */
export async function countRows(context: QueueContext): Promise<ZoneCounts[]> {
  const counts = await Promise.all(context.zones.map((zone) => countZone(context, zone)));
  return counts.filter(({ queued, leased, deferred, held }) => queued + leased + deferred + held > 0);
}

async function countZone(context: QueueContext, zone: ZoneName): Promise<ZoneCounts> {
  const [active = 0, deferred = 0, held = 0] = await Promise.all(
    RUNS.map(async (letter) => {
      const counts = await Promise.all(
        shards().map((shard) => countRun(context, zonePartition(zone, shard), letter)),
      );
      return counts.reduce((sum, count) => sum + count, 0);
    }),
  );
  const leased = active === 0 ? 0 : await countLeased(context, zone);
  return { zone, queued: Math.max(0, active - leased), leased, deferred, held };
}

/** Rows of one run. It is gone through to its end, or until there are `enough`. */
export async function countRun(
  { dynamo, table }: QueueContext,
  partition: string,
  letter: IndexedState,
  enough = Number.POSITIVE_INFINITY,
): Promise<number> {
  let count = 0;
  let start: Attributes | undefined;
  do {
    const page = await dynamo.send(
      new QueryCommand({
        TableName: table,
        IndexName: BY_ZONE.name,
        Select: "COUNT",
        KeyConditionExpression: "#p = :p AND begins_with(#s, :s)",
        ExpressionAttributeNames: { "#p": BY_ZONE.partition, "#s": BY_ZONE.sort },
        ExpressionAttributeValues: marshal({ ":p": partition, ":s": zoneSort(letter, "") }),
        ExclusiveStartKey: start,
      }),
    );
    count += page.Count ?? 0;
    start = page.LastEvaluatedKey;
  } while (start && count < enough);
  return count;
}

async function countLeased(context: QueueContext, zone: ZoneName): Promise<number> {
  const query: RowQuery = { zone, states: ["leased"], order: "oldest-first", limit: MAX_SPLIT, cursor: null };
  const runs = shards().map((shard) => runOf(context, query, zonePartition(zone, shard), "q"));
  const ids = await nextOf(mergedRuns(runs, query.order), MAX_SPLIT);
  const items = await Promise.all(ids.map((id) => context.read(keyOfRow(id))));
  return items.filter((item) => rowOf(context, item)?.state === "leased").length;
}

function shards(): number[] {
  return Array.from({ length: SHARDS }, (_, shard) => shard);
}
