/** Changing rows by hand: each on what was read of it, and again a few times when it changed in between. */

import type { RowId } from "../domain/ids.ts";
import { droppedByOperator } from "../domain/queue-row.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { FinalState, QueueRow } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Operation } from "../ports/queue-store.ts";
import type { ItemWrite } from "./batch-statement.ts";
import { TELLS } from "./event-stream.ts";
import { keyOfRow, messageKey } from "./keys.ts";
import { sendSignals } from "./queue-accept.ts";
import { inTurns, messageOf, rowOf } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { deleteSpentBodies, endAttributes } from "./queue-finish.ts";
import { asSeen, attributeOfAttempt, inZoneIndex, LETTER_OF_STATE } from "./row-item.ts";

/** Reads of a row that changes under our hands. */
const MAX_OPERATE_TRIES = 4;

interface Operated {
  /** As it is now. */
  readonly row: QueueRow;
  readonly recipientCount: number;
}

export async function operateRows(
  context: QueueContext,
  operation: Operation,
  ids: readonly RowId[],
): Promise<RowId[]> {
  const results = await inTurns([...new Set(ids)], (id) => operateRow(context, operation, id));
  const operated = results.filter((result) => result !== null);
  await sendSignals(
    context,
    operated.map(({ row }) => row).filter(({ state }) => state === "queued"),
  );
  const ended = Map.groupBy(
    operated.filter(({ row }) => isFinal(row.state)),
    ({ row }) => row.messageId,
  );
  await deleteSpentBodies(
    context,
    [...ended].map(([messageId, group]) => ({
      messageId,
      recipientCount: Math.max(...group.map(({ recipientCount }) => recipientCount)),
      rows: group.map(({ row: { id, zone, state } }) => ({ id, zone, state: state as FinalState })),
    })),
  );
  return operated.map(({ row }) => row.id);
}

/** Null: there is no such row, or the operation is not for its state. */
async function operateRow(context: QueueContext, operation: Operation, id: RowId): Promise<Operated | null> {
  const key = keyOfRow(id);
  let item = await context.read(key);
  for (let tried = 1; tried <= MAX_OPERATE_TRIES; tried++) {
    const before = rowOf(context, item);
    if (!before) return null;
    const recipientCount = await recipientCountOf(context, before);
    const change = changeOf(context, operation, before, recipientCount);
    if (!change || recipientCount === null) return null;
    const answer = await context.write(change.write);
    if (answer.kind === "written") return { row: change.after, recipientCount };
    ({ item } = answer);
  }
  throw new Error(`row ${id} changed ${MAX_OPERATE_TRIES} times while it was operated on`);
}

/** Null: the message was never accepted, and this is not a row of anything. */
async function recipientCountOf(context: QueueContext, row: QueueRow): Promise<number | null> {
  const item = await context.read(messageKey(row.messageId));
  return messageOf(context, item)?.recipientCount ?? null;
}

interface Change {
  readonly after: QueueRow;
  readonly write: ItemWrite;
}

function changeOf(
  context: QueueContext,
  operation: Operation,
  before: QueueRow,
  recipientCount: number | null,
): Change | null {
  const now = context.clock.now();
  const isWaiting = before.state === "queued" || before.state === "deferred";
  const dueAt = Math.min(before.dueAt, now) as EpochMs; // a row that is due already keeps its place
  switch (operation) {
    case "retry-now":
      return isWaiting ? moved(before, { ...before, state: "queued", dueAt }, { now }) : null;
    case "hold":
      return isWaiting ? moved(before, { ...before, state: "held" }, { now, tells: TELLS.hold }) : null;
    case "release":
      return before.state === "held"
        ? moved(before, { ...before, state: "queued", dueAt }, { now, tells: TELLS.release })
        : null;
    case "drop":
      if (!isWaiting && before.state !== "held") return null;
      return dropped(context, before, { recipientCount: recipientCount ?? 1, now });
  }
}

function moved(before: QueueRow, after: QueueRow, { now, tells }: { now: EpochMs; tells?: string }): Change {
  const letter = after.state === "held" ? "h" : "q";
  return {
    after,
    write: {
      kind: "update",
      key: keyOfRow(before.id),
      set: { st: letter, u: after.dueAt, ot: now, ...inZoneIndex(after, letter) },
      remove: before.state === "deferred" ? ["d"] : [],
      when: asSeen(before),
      ...(tells === undefined ? {} : { tells }),
    },
  };
}

function dropped(
  { historyMs }: QueueContext,
  before: QueueRow,
  { recipientCount, now }: { recipientCount: number; now: EpochMs },
): Change {
  const lastAttempt = droppedByOperator(now);
  const after: QueueRow = { ...before, state: "dropped", finishedAt: now, lastAttempt };
  const ending = endAttributes({ row: before, state: "dropped", recipientCount, now }, historyMs);
  return {
    after,
    write: {
      kind: "update",
      key: keyOfRow(before.id),
      set: { st: LETTER_OF_STATE.dropped, fi: now, ot: now, la: attributeOfAttempt(lastAttempt), ...ending },
      remove: before.state === "deferred" && !("d" in ending) ? ["s", "d"] : ["s"],
      when: asSeen(before),
      tells: TELLS["operator-drop"],
    },
  };
}
