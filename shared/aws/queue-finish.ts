/**
 * What the end of a row means: what is written with it, when the body goes, and when the message is forgotten.
 *
 * H1  DynamoDB forgets by itself (TTL), some day after the time; who reads asks the clock.
 * H2  Most mail has one recipient and is delivered: its body goes at once and TTL does the rest. All other messages get a date
 *     in the index `byTime` when their first row ends, at which the sweep looks whether their history is over.
 * H3  A body is deleted only when a consistent read has shown that every row is final and none needs it. What a crash leaves is
 *     deleted with the history, and by the bucket's lifecycle at last.
 */

import type { MessageId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { FinalState, QueueRow } from "../domain/queue-row.ts";
import { DAY, later, SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { Values } from "./batch-statement.ts";
import { itemsOf } from "./items.ts";
import {
  BY_ZONE,
  messageKey,
  purgePartition,
  purgeSort,
  rowIdOfKey,
  rowIdOfZoneSort,
  shardOf,
  zonePartition,
  zoneSort,
} from "./keys.ts";
import { messageOf, rowOf } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { sortsBetween } from "./queue-look.ts";
import { keyOf } from "./row-item.ts";

/** The sweep is given this long to delete a body before TTL takes away what leads to it. */
const SWEEP_GRACE_MS = 7 * DAY;
/** A row that ended stays at least so long beside others of its message that are still open; held ones may be for longer. */
const OPEN_SIBLINGS_MS = 60 * DAY;
/** Messages of so few recipients are read whole to see whether the last one has ended. */
const FEW_RECIPIENTS = 20;

export interface Ending {
  readonly row: Pick<QueueRow, "messageId" | "seq">;
  readonly state: FinalState;
  readonly recipientCount: number;
  readonly now: EpochMs;
}

/** What is written with the end of a row besides the row's own fields. `s` is taken away by the caller. */
export function endAttributes(ending: Ending, historyMs: number): Values {
  const { row, now, recipientCount } = ending;
  const over = later(now, historyMs);
  if (row.seq !== 1) return { ttl: ttlOf(later(over, OPEN_SIBLINGS_MS)) };
  if (recipientCount === 1 && needsNoBody(ending.state)) return { ttl: ttlOf(over) };
  const watch = { w: purgePartition(shardOf(row.messageId)), d: purgeSort(over, row.messageId) };
  return recipientCount === 1 ? { ...watch, ttl: ttlOf(later(over, SWEEP_GRACE_MS)) } : watch;
}

function needsNoBody(state: FinalState): boolean {
  return state === "delivered" || state === "dropped";
}

/** Rows of one message that came to their end just now. */
export interface EndedRows {
  readonly messageId: MessageId;
  readonly recipientCount: number;
  readonly rows: readonly {
    readonly id: QueueRow["id"];
    readonly zone: ZoneName;
    readonly state: FinalState;
  }[];
}

/** Delete the bodies that nobody can need any more. It does not fail: what stays is deleted with the history. */
export async function deleteSpentBodies(context: QueueContext, ended: readonly EndedRows[]): Promise<void> {
  await Promise.all(
    ended.map(async (message) => {
      try {
        if (await isBodySpent(context, message)) context.bodies.deleteSoon(message.messageId);
      } catch (error) {
        context.onTrouble({ kind: "body-not-deleted", error });
      }
    }),
  );
}

async function isBodySpent(context: QueueContext, ended: EndedRows): Promise<boolean> {
  if (!ended.rows.every(({ state }) => needsNoBody(state))) return false;
  if (ended.recipientCount === 1) return true;
  if (ended.recipientCount > FEW_RECIPIENTS && (await hasOpenRows(context, ended))) return false;
  const stored = await readMessage(context, ended.messageId);
  return (
    stored !== null &&
    !stored.isDamaged &&
    stored.rows.every(({ state }) => isFinal(state) && needsNoBody(state))
  );
}

/** By the index, which is cheap, may be late, and does not know the message's rows in other zones. */
async function hasOpenRows(context: QueueContext, { messageId, rows }: EndedRows): Promise<boolean> {
  const justEnded = new Set(rows.map(({ id }) => id));
  const zones = [...new Set(rows.map(({ zone }) => zone))];
  const limit = justEnded.size + 1; // the index may still show all of these
  const runs = zones.flatMap((zone) =>
    (["q", "d", "h"] as const).map((state) =>
      sortsBetween(context, BY_ZONE, {
        partition: zonePartition(zone, shardOf(messageId)),
        behind: zoneSort(state, `${messageId}.`),
        to: zoneSort(state, `${messageId}/`), // "/" follows "."
        limit,
      }),
    ),
  );
  return (await Promise.all(runs)).flat().some((sort) => !justEnded.has(rowIdOfZoneSort(sort)));
}

export interface StoredMessage {
  readonly message: Message;
  /** In the order of the envelope. */
  readonly rows: QueueRow[];
  /** True: rows are missing here that cannot be read, and perhaps need the body. */
  readonly isDamaged: boolean;
}

/** A message with its rows, over or not. Null: there is none. */
export async function readMessage(context: QueueContext, id: MessageId): Promise<StoredMessage | null> {
  let message: Message | null = null;
  const rows: QueueRow[] = [];
  let isDamaged = false;
  for await (const item of itemsOf(context, messageKey(id).PK)) {
    message ??= messageOf(context, item);
    const row = rowOf(context, item);
    if (row) rows.push(row);
    else isDamaged ||= rowIdOfKey(keyOf(item)) !== null;
  }
  return message && { message, isDamaged, rows: rows.toSorted((a, b) => a.seq - b.seq) };
}

/** When the history of a message is over; null: a row is open. */
export function historyEnd(rows: readonly QueueRow[], historyMs: number): EpochMs | null {
  if (rows.some(({ state }) => !isFinal(state))) return null;
  return later(Math.max(...rows.map(({ finishedAt }) => finishedAt ?? 0)) as EpochMs, historyMs);
}

/** TTL counts in seconds. */
function ttlOf(at: EpochMs): number {
  return Math.ceil(at / SECOND);
}
