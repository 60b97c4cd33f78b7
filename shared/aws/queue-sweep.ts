/**
 * The housekeeping of the queue, some of it in each call: feed what comes due, audit what nobody has taken, forget what is over.
 * Any number of sweeps may run at once: what one has done the others' conditions refuse, and a doubled signal finds nothing to
 * lease.
 *
 * Feeding sends the signal first and then marks the row as queued: a crash in between doubles a signal, and never loses a row.
 */

import type { MessageId, RowId } from "../domain/ids.ts";
import type { QueueRow } from "../domain/queue-row.ts";
import { DAY, later, MINUTE } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { Swept } from "../ports/queue-store.ts";
import { itemsOf } from "./items.ts";
import {
  BY_TIME,
  BY_ZONE,
  duePartition,
  isMessageKey,
  keyOfRow,
  messageKey,
  purgePartition,
  purgeSort,
  readDueSort,
  readPurgeSort,
  rowIdOfZoneSort,
  SHARDS,
  timeDigits,
  zonePartition,
  zoneSort,
} from "./keys.ts";
import { sendSignals } from "./queue-accept.ts";
import { messageOf, rowOf, setAsideWithMessage } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { historyEnd, readMessage } from "./queue-finish.ts";
import { giveLastCalls, viewLease } from "./queue-lapse.ts";
import type { SeenRow } from "./queue-lapse.ts";
import { sortsBetween } from "./queue-look.ts";
import { asSeen, inZoneIndex, keyOf, NO_LEASE } from "./row-item.ts";
import type { Item } from "./row-item.ts";

/** Rows that come due so soon are fed now, with a delayed signal: the sweep runs every minute. */
const FEED_AHEAD_MS = MINUTE;
/** A queued row that nobody has leased for so long gets another signal, and no more than one in that time. */
export const AUDIT_AFTER_MS = 10 * MINUTE;
/**
 * Rows whose message has not come after so long never get one: no client waits longer for its answer (RFC 5321 §4.5.3.2.6), and an
 * accept that came later all the same would be refused. So long they stand in lists and counts.
 */
const ORPHAN_AFTER_MS = 10 * MINUTE;
/** How long the item that says so stays. */
const GIVEN_UP_MS = 30 * DAY;
/** A message with open rows whose history might have been over is looked at again after that. */
const CHECK_AGAIN_MS = DAY;
/** Of each shard of a zone, in one sweep. */
const MAX_FED = 500;
const MAX_AUDITED = 250;
/** Of each shard of the table. */
const MAX_PURGED = 50;

export interface QueueSweeper {
  sweep(): Promise<Swept>;
}

export function queueSweeper(context: QueueContext): QueueSweeper {
  /** Where the audit of a partition goes on: a long queue is gone through in many sweeps. */
  const cursors = new Map<string, string>();

  async function nextToAudit(partition: string): Promise<RowId[]> {
    const range = { partition, to: zoneSort("q", "~"), limit: MAX_AUDITED };
    const behind = cursors.get(partition) ?? zoneSort("q", "");
    const sorts = await sortsBetween(context, BY_ZONE, { ...range, behind });
    const last = sorts.at(-1);
    if (last !== undefined && sorts.length === MAX_AUDITED) cursors.set(partition, last);
    else cursors.delete(partition);
    return sorts.map(rowIdOfZoneSort);
  }

  return {
    async sweep() {
      const total = { fed: 0, lapsed: 0, purged: 0 };
      const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
      for (const zone of context.zones) {
        const swept = await Promise.all(shards.map((shard) => sweepShard(zone, shard)));
        for (const { fed, lapsed } of swept) {
          total.fed += fed;
          total.lapsed += lapsed;
        }
      }
      for (const shard of shards) total.purged += await purge(context, purgePartition(shard));
      return total;
    },
  };

  async function sweepShard(zone: ZoneName, shard: number): Promise<{ fed: number; lapsed: number }> {
    const fed = await feedDue(context, duePartition(zone, shard));
    const audited = await audit(context, await nextToAudit(zonePartition(zone, shard)));
    return { fed: fed + audited.fed, lapsed: audited.lapsed };
  }
}

async function feedDue(context: QueueContext, partition: string): Promise<number> {
  const now = context.clock.now();
  const to = timeDigits(later(now, FEED_AHEAD_MS));
  const sorts = await sortsBetween(context, BY_TIME, { partition, behind: "", to, limit: MAX_FED });
  // A signal is under way to those that are signalled: they are ours only when it did not help.
  const due = sorts.map(readDueSort).filter(({ dueAt, signalled }) => !signalled || dueAt <= now);
  const { accepted, orphans } = await readRows(
    context,
    due.map(({ id }) => id),
  );
  await giveUpOrphans(context, orphans, now);
  const rows = accepted.map(({ row }) => row).filter(({ state }) => state === "deferred");
  return await signalAndMark(context, rows, (row) => ({
    set: { st: "q", fd: now, ...inZoneIndex(row, "q") },
    remove: ["d"],
  }));
}

/** Look at queued rows: take back lapsed leases, signal again what nobody took, remove what was never accepted. */
async function audit(context: QueueContext, ids: readonly RowId[]): Promise<{ fed: number; lapsed: number }> {
  const now = context.clock.now();
  const { accepted, orphans } = await readRows(context, ids);
  const over = accepted.filter((seen) => viewLease(context, seen, now).kind === "over");
  await giveLastCalls(context, accepted);
  const forgotten = accepted
    .filter(({ row, item }) => row.state === "queued" && isForgotten(row, item, now))
    .map(({ row }) => row);
  await giveUpOrphans(context, orphans, now);
  return {
    lapsed: await signalAndMark(
      context,
      over.map(({ row }) => row),
      () => ({ set: NO_LEASE, remove: [] }),
    ),
    fed: await signalAndMark(context, forgotten, () => ({ set: { fd: now }, remove: [] })),
  };
}

function isForgotten(row: QueueRow, item: Item, now: EpochMs): boolean {
  const fedAt = typeof item["fd"] === "number" ? item["fd"] : 0;
  return Math.max(row.dueAt, fedAt) <= now - AUDIT_AFTER_MS;
}

/** Resolves with the number of rows marked. */
async function signalAndMark(
  context: QueueContext,
  rows: readonly QueueRow[],
  mark: (row: QueueRow) => { set: Record<string, string | number>; remove: readonly string[] },
): Promise<number> {
  const signalled = await sendSignals(context, rows);
  const answers = await Promise.all(
    signalled.map((row) =>
      context.write({ kind: "update", key: keyOfRow(row.id), ...mark(row), when: asSeen(row) }),
    ),
  );
  return answers.filter(({ kind }) => kind === "written").length;
}

/** Rows with a message, and rows without. */
async function readRows(
  context: QueueContext,
  ids: readonly RowId[],
): Promise<{ accepted: SeenRow[]; orphans: QueueRow[] }> {
  const items = await Promise.all(ids.map((id) => context.read(keyOfRow(id))));
  const found = items.flatMap((item) => {
    const row = rowOf(context, item);
    return item && row ? [{ row, item }] : [];
  });
  const others = new Set(found.filter(({ row }) => row.seq > 1).map(({ row }) => row.messageId));
  const messages = await Promise.all([...others].map((id) => context.read(messageKey(id))));
  const missing = new Set([...others].filter((_, i) => !messages[i] || messages[i]["g"] === true));
  const unread = new Set([...others].filter((_, i) => !messageOf(context, messages[i] ?? null)));
  for (const { row, item } of found) {
    if (unread.has(row.messageId) && !missing.has(row.messageId)) setAsideWithMessage(context, item);
  }
  return {
    accepted: found.filter(({ row }) => !unread.has(row.messageId)),
    orphans: found.map(({ row }) => row).filter(({ messageId }) => missing.has(messageId)),
  };
}

async function giveUpOrphans(
  context: QueueContext,
  orphans: readonly QueueRow[],
  now: EpochMs,
): Promise<void> {
  const old = orphans.filter(({ createdAt }) => createdAt <= now - ORPHAN_AFTER_MS);
  for (const id of new Set(old.map(({ messageId }) => messageId))) await giveUp(context, id, now);
}

/** Fence the message, so that its accept cannot be finished any more, and then remove what it has left. */
async function giveUp(context: QueueContext, id: MessageId, now: EpochMs): Promise<void> {
  const ttl = Math.ceil((now + GIVEN_UP_MS) / 1_000);
  const fence = await context.write({ kind: "insert", key: messageKey(id), set: { g: true, ttl } });
  if (fence.kind === "refused" && fence.item?.["g"] !== true) return; // it came after all
  const rows: Item[] = [];
  for await (const item of itemsOf(context, messageKey(id).PK))
    if (!isMessageKey(keyOf(item))) rows.push(item);
  await Promise.all(
    rows.map((item) => context.write({ kind: "delete", key: keyOf(item), when: { t: item["t"] ?? 0 } })),
  );
  await deleteBody(context, id);
}

/** Forget the messages of a shard whose history is over, with their bodies. Resolves with the number of rows. */
async function purge(context: QueueContext, partition: string): Promise<number> {
  const now = context.clock.now();
  const to = timeDigits(later(now, 1));
  const sorts = await sortsBetween(context, BY_TIME, { partition, behind: "", to, limit: MAX_PURGED });
  const purged = await Promise.all(sorts.map((sort) => purgeMessage(context, sort, now)));
  return purged.reduce((sum, rows) => sum + rows, 0);
}

async function purgeMessage(context: QueueContext, sort: string, now: EpochMs): Promise<number> {
  const id = readPurgeSort(sort);
  const stored = await readMessage(context, id);
  if (!stored) return 0; // another sweep was first, and the index is late
  const end = historyEnd(stored.rows, context.historyMs);
  if (end === null || end > now) {
    const d = purgeSort(end ?? later(now, CHECK_AGAIN_MS), id);
    await context.write({ kind: "update", key: messageKey(id), set: { d }, when: { d: sort } });
    return 0;
  }
  if (stored.isDamaged) return keepForOperator(context, id, sort);
  if (!(await deleteBody(context, id))) return 0; // the next sweep tries again
  const answer = await context.write({ kind: "delete", key: messageKey(id), when: { d: sort } });
  return answer.kind === "written" ? stored.rows.length : 0; // TTL takes the other rows: nothing leads to them any more
}

/** Rows of it lie aside: what was lost can be made good by hand, while the message and its body are there. */
async function keepForOperator(context: QueueContext, id: MessageId, sort: string): Promise<number> {
  await context.write({
    kind: "update",
    key: messageKey(id),
    set: {},
    remove: ["w", "d"],
    when: { d: sort },
  });
  return 0;
}

async function deleteBody(context: QueueContext, id: MessageId): Promise<boolean> {
  try {
    await context.bodies.delete(id);
    return true;
  } catch (error) {
    context.onTrouble({ kind: "body-not-deleted", error });
    return false;
  }
}
