/** Lists of rows by state: the index has one sorted run per zone and state, and a page is the merge of the runs asked for. */

import { DomainError } from "../domain/errors.ts";
import { parseRowId } from "../domain/ids.ts";
import type { RowId } from "../domain/ids.ts";
import type { RowState } from "../domain/queue-row.ts";
import type { ZoneName } from "../domain/zone.ts";
import { MAX_PAGE_ROWS } from "../ports/queue-store.ts";
import type { RowPage, RowQuery } from "../ports/queue-store.ts";
import type { TableKey, TableRange } from "./database.ts";
import { LAST, rowOf } from "./queue-tables.ts";
import type { QueueTables } from "./queue-tables.ts";

/**
 * One page, in the order of row ids, which is that of acceptance. The cursor is the last row's id, so rows that come or change
 * in between neither repeat nor hide one. `zones`: those that are asked for, each once. Throws a `DomainError`.
 */
export function listRows(tables: QueueTables, query: RowQuery, zones: readonly ZoneName[]): RowPage {
  const { limit, order } = checked(query);
  const states = [...new Set(query.states)];
  const runs = zones.flatMap((zone) => states.map((state) => runOf(tables, query, zone, state)));
  const ids = merged(runs, { order, count: limit + 1 });
  const page = ids.slice(0, limit);
  const rows = page.map((id) => rowOf(tables, id)).filter((row) => row !== null);
  return { rows, cursor: ids.length > limit ? (page.at(-1) ?? null) : null };
}

function checked(query: RowQuery): RowQuery {
  if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > MAX_PAGE_ROWS) {
    throw new DomainError("invalid-request", `a page has 1 to ${MAX_PAGE_ROWS} rows`, "limit");
  }
  if (query.cursor !== null && !parseRowId(query.cursor)) {
    throw new DomainError("invalid-request", "take the cursor from the page before, unchanged", "cursor");
  }
  return query;
}

function runOf(
  tables: QueueTables,
  { order, cursor }: RowQuery,
  zone: ZoneName,
  state: RowState,
): Iterator<TableKey> {
  const first: TableKey = [zone, state, ""];
  const last: TableKey = [zone, state, LAST];
  const ends: TableRange =
    order === "oldest-first" ? { start: first, end: last } : { start: last, end: first, reverse: true };
  const behind: TableRange = cursor === null ? {} : { start: [zone, state, cursor], exclusiveStart: true };
  return tables.byState.keys({ ...ends, ...behind })[Symbol.iterator]();
}

/** The first `count` ids of sorted runs. */
function merged(
  runs: readonly Iterator<TableKey>[],
  { order, count }: { order: RowQuery["order"]; count: number },
): RowId[] {
  const heads = runs.map((run) => ({ run, id: nextId(run) }));
  const ids: RowId[] = [];
  try {
    while (ids.length < count) {
      const best = heads.reduce<(typeof heads)[number] | null>(
        (found, head) =>
          head.id !== null && (!found?.id || isBefore(head.id, found.id, order)) ? head : found,
        null,
      );
      if (!best || best.id === null) break;
      ids.push(best.id);
      best.id = nextId(best.run);
    }
  } finally {
    for (const { run } of heads) run.return?.();
  }
  return ids;
}

function isBefore(a: RowId, b: RowId, order: RowQuery["order"]): boolean {
  return order === "oldest-first" ? a < b : a > b;
}

/** Null: the run has ended. */
function nextId(run: Iterator<TableKey>): RowId | null {
  const next = run.next();
  return next.done === true || !Array.isArray(next.value) ? null : (String(next.value[2]) as RowId);
}
