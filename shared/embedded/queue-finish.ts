/**
 * What the end of a row means for its message: when its last row is final, the message becomes history, its body goes when
 * nobody can need it any more, and later all is forgotten.
 */

import * as z from "zod";

import type { MessageId } from "../domain/ids.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { FinalState } from "../domain/queue-row.ts";
import { later } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { EmbeddedBodyStore } from "./body-store.ts";
import type { TableKey } from "./database.ts";
import type { WriteTransaction } from "./group-commit.ts";
import { changeRow, lastEvent, rowsOfMessage } from "./queue-tables.ts";
import type { QueueTables } from "./queue-tables.ts";

/** What is kept of a message with more than one row while some are open. */
const OpenRowsShape = z.looseObject({
  open: z.int(),
  /** True: a row ended so that the body is wanted later, for a DSN or by an operator. */
  keepBody: z.boolean(),
});
type OpenRows = Readonly<z.infer<typeof OpenRowsShape>>;

export interface Finishing {
  readonly tables: QueueTables;
  readonly bodies: Pick<EmbeddedBodyStore, "forget" | "commitHeld">;
  /** How long a message is kept when all its rows are final. */
  readonly historyMs: number;
}

const ONLY_ROW: OpenRows = { open: 1, keepBody: false };

/** Remember how many rows of a new message are open, or make it history at once. Its events are written. */
export function startMessage(
  finishing: Finishing,
  transaction: WriteTransaction,
  message: { id: MessageId; rows: number; final: number; now: EpochMs },
): void {
  const { id, rows, final, now } = message;
  const open = rows - final;
  if (open === 0) keepHistory(finishing, transaction, { id, now });
  else if (rows > 1) writeOpenRows(finishing.tables, id, { open, keepBody: final > 0 });
}

/** A row of the message came to a final state. Its event is written. */
export function finishRow(
  finishing: Finishing,
  transaction: WriteTransaction,
  row: { messageId: MessageId; state: FinalState; now: EpochMs },
): void {
  const { tables, bodies } = finishing;
  const counted = openRowsOf(tables, row.messageId);
  const before = counted ?? ONLY_ROW;
  const keepBody = before.keepBody || !needsNoBody(row.state);
  if (before.open > 1) {
    writeOpenRows(tables, row.messageId, { open: before.open - 1, keepBody });
    return;
  }
  if (counted) tables.openRows.remove(row.messageId);
  if (!keepBody) bodies.forget(transaction, row.messageId);
  keepHistory(finishing, transaction, { id: row.messageId, now: row.now });
}

/** Forget the message of a key of `history`, with its rows and its body. Gives the number of rows. */
export function purgeHistory(finishing: Finishing, transaction: WriteTransaction, key: TableKey): number {
  const { tables, bodies } = finishing;
  if (!tables.history.has(key)) return 0; // another process was first
  tables.history.remove(key);
  const id = String(Array.isArray(key) ? key[1] : key) as MessageId;
  const rows = rowsOfMessage(tables, id);
  for (const row of rows) changeRow(tables, transaction, { before: row, after: null, now: row.dueAt });
  tables.messages.remove(id);
  bodies.forget(transaction, id);
  return rows.length;
}

function needsNoBody(state: FinalState): boolean {
  return state === "delivered" || state === "dropped";
}

function keepHistory(
  { tables, historyMs }: Finishing,
  transaction: WriteTransaction,
  { id, now }: { id: MessageId; now: EpochMs },
): void {
  tables.history.put([later(now, historyMs), id], lastEvent(transaction));
}

/** Null: the message has one row only. What cannot be read is counted anew, and the body kept to be safe. */
function openRowsOf(tables: QueueTables, id: MessageId): OpenRows | null {
  const stored = tables.openRows.get(id);
  if (stored === undefined) return null;
  const read = OpenRowsShape.safeParse(stored).data;
  if (read) return read;
  const open = rowsOfMessage(tables, id).filter(({ state }) => !isFinal(state)).length + 1; // and the one that just ended
  return { open, keepBody: true };
}

function writeOpenRows(tables: QueueTables, id: MessageId, openRows: OpenRows): void {
  tables.openRows.put(id, openRows);
}
