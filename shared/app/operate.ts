/** Changing rows by hand: send now, drop, hold, release. The store decides which rows are in a state for it. */

import { rowIdOf } from "../domain/ids.ts";
import type { RowId } from "../domain/ids.ts";
import type { RowState } from "../domain/queue-row.ts";
import type { Operation, QueueStore } from "../ports/queue-store.ts";
import { readRowPath } from "./query.ts";

/**
 * - `missing` no such message or recipient, or its history has expired
 * - `unfit` it is there, and no recipient is in a state for the operation: `states` says which they are in
 */
export type Operated =
  | { kind: "changed"; rows: readonly RowId[] }
  | { kind: "missing" }
  | { kind: "unfit"; states: readonly RowState[]; fit: readonly RowState[] };

/** States that an operation is for. */
export const FIT: Readonly<Record<Operation, readonly RowState[]>> = {
  "retry-now": ["queued", "deferred"],
  hold: ["queued", "deferred"],
  release: ["held"],
  drop: ["queued", "deferred", "held"],
};

/** `seq` in hex as in a row id; left out: all recipients of the message. */
export async function operateRows(
  queue: QueueStore,
  operation: Operation,
  { id, seq }: { id: string; seq?: string | undefined },
): Promise<Operated> {
  const wanted = readRowPath(id, seq);
  if (!wanted) return { kind: "missing" };
  const found = await queue.get(wanted.id);
  const rows = found?.rows.filter((row) => wanted.seq === null || row.seq === wanted.seq) ?? [];
  if (rows.length === 0) return { kind: "missing" };
  const changed = await queue.operate(
    operation,
    rows.map((row) => rowIdOf(row.messageId, row.seq)),
  );
  if (changed.length > 0) return { kind: "changed", rows: changed };
  return { kind: "unfit", states: [...new Set(rows.map(({ state }) => state))], fit: FIT[operation] };
}
