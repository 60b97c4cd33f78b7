/**
 * `accept`. The item of the message, with its first row in it, is the commit point.
 *
 * A1  One recipient: one conditional put. More: the other rows first, then the message. Rows whose message never came are
 *     delivered by nobody, and the audit removes them (queue-audit.ts). A transaction would do the same at twice the price.
 * A2  The audit fences such a message with an item that says it was given up, before it removes the rows: a late commit is
 *     refused, and the caller learns that nothing was accepted.
 * A3  Signals go when all is stored. One that cannot be sent costs time: looks and the sweep find the rows. Where accepters share
 *     no calls (Lambdas), the signal of mail to one recipient is left to the reader of the table's stream (stream-signals.ts).
 */

import assert from "node:assert/strict";

import type { Message } from "../domain/message.ts";
import { isFinal, lineOf } from "../domain/queue-row.ts";
import type { QueueRow } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Values } from "./batch-statement.ts";
import { suppressedAttribute, TELLS } from "./event-stream.ts";
import { messageKey, rowKey } from "./keys.ts";
import { inTurns, messageOf } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { endAttributes } from "./queue-finish.ts";
import { attributesOfMessage, attributesOfRow, bodyRefOfItem, inDueIndex, inZoneIndex } from "./row-item.ts";
import type { Item } from "./row-item.ts";
import { MAX_DELAY_MS, signalsOf } from "./signals.ts";

export async function acceptMessage(
  context: QueueContext,
  message: Message,
  rows: readonly QueueRow[],
): Promise<"accepted" | "exists"> {
  const [first, ...others] = rows.toSorted((a, b) => a.seq - b.seq);
  assert.ok(first?.seq === 1, "a message has a recipient, and they are counted from 1");
  for (const { zone } of rows) assert.ok(context.zones.includes(zone), `zone ${zone} has a queue`);
  const now = context.clock.now();
  const terms = { recipientCount: rows.length, historyMs: context.historyMs, now };
  if (others.length > 0) {
    const there = await context.read(messageKey(message.id));
    if (there) return known(context, there);
    await storeRows(context, others, terms, message);
  }
  const toSignal = rowsToSignal(rows, now);
  // Mail to many fills calls of its own, and only its accepter has all its rows at hand.
  const isLeftToStream = context.signals === "streamed" && rows.length === 1 && toSignal.length === 1;
  const bodyRef = context.bodies.refOf(message.id);
  const answer = await context.write({
    kind: "insert",
    key: messageKey(message.id),
    set: {
      ...attributesOfMessage(message, bodyRef),
      ...envelopeFacts(rows),
      ...newRow(first, terms, message),
    },
    tells: isLeftToStream ? TELLS["reception-to-signal"] : receptionOf(rows),
  });
  if (answer.kind === "refused") return known(context, answer.item);
  if (bodyRef !== null) context.bodies.learn(message.id, bodyRef);
  if (!isLeftToStream) await context.beside.run(() => sendSignals(context, toSignal));
  return "accepted";
}

function receptionOf(rows: readonly QueueRow[]): string {
  const isSuppressed = rows.some(({ state }) => isFinal(state));
  return isSuppressed ? TELLS["reception-with-suppressed"] : TELLS.reception;
}

/** The message was given up as one that would never be committed, and its rows are gone or going (A2). */
class GivenUpError extends Error {
  override readonly name = "GivenUpError";
}

function known(context: QueueContext, item: Item | null): "exists" {
  const message = messageOf(context, item);
  const bodyRef = item && bodyRefOfItem(item);
  if (message && bodyRef !== null) context.bodies.learn(message.id, bodyRef); // what was put this time is not wanted
  if (item?.["g"] === true) throw new GivenUpError("the message came too late after its rows; send it again");
  return "exists";
}

/** A row that is there already is that of an earlier try: the same, for an id stands for one envelope. */
async function storeRows(
  context: QueueContext,
  rows: readonly QueueRow[],
  terms: NewRowTerms,
  message: Message,
): Promise<void> {
  await inTurns(rows, (row) =>
    context.write({ kind: "insert", key: rowKey(row.messageId, row.seq), set: newRow(row, terms, message) }),
  );
}

/** What the events of a new message tell of its other rows, which were written before it was. */
function envelopeFacts([first, ...others]: readonly QueueRow[]): Values {
  const suppressed = others.filter(({ state }) => isFinal(state)).slice(0, MAX_TOLD);
  return {
    ...(others.some(({ zone }) => zone !== first?.zone) ? { mz: true } : {}),
    ...(suppressed.length > 0 ? { ns: suppressed.map(suppressedAttribute) } : {}),
  };
}

/** Suppressed recipients that a new message tells of: an item takes 400 KiB. */
const MAX_TOLD = 500;

interface NewRowTerms {
  readonly recipientCount: number;
  readonly historyMs: number;
  readonly now: EpochMs;
}

function newRow(row: QueueRow, terms: NewRowTerms, { returnPath }: Message): Values {
  return { ...attributesOfRow(row, returnPath), ...placeOf(row, terms) };
}

/** Where the indexes have a new row, or how long it is kept. */
function placeOf(row: QueueRow, { recipientCount, historyMs, now }: NewRowTerms): Values {
  const { state, dueAt } = row;
  if (state === "queued") return inZoneIndex(row, "q");
  if (state === "deferred")
    return inDueIndex(row, dueAt, dueAt - now <= MAX_DELAY_MS ? "signalled" : "silent");
  assert.ok(isFinal(state), `a row is not accepted as ${state}`);
  return endAttributes({ row, state, recipientCount, now }, historyMs);
}

/** Those that are due now, or as soon as a signal can wait. */
function rowsToSignal(rows: readonly QueueRow[], now: EpochMs): QueueRow[] {
  return rows.filter(
    ({ state, dueAt }) => state === "queued" || (state === "deferred" && dueAt - now <= MAX_DELAY_MS),
  );
}

/** Send signals for rows, each for when it is due, and give the rows that have one. What could not be sent is told, not thrown. */
export async function sendSignals(context: QueueContext, rows: readonly QueueRow[]): Promise<QueueRow[]> {
  const now = context.clock.now();
  const byDelay = Map.groupBy(rows, ({ dueAt }) => Math.max(0, dueAt - now));
  const sent = await Promise.all(
    [...byDelay].flatMap(([delayMs, group]) =>
      signalsOf(group).map(async (signal) => {
        try {
          await context.queues.send(signal, delayMs);
          const { zone, messageId, domain, seqs } = signal;
          return group.filter(
            (row) =>
              row.zone === zone &&
              row.messageId === messageId &&
              lineOf(row) === domain &&
              seqs.includes(row.seq),
          );
        } catch (error) {
          context.onTrouble({ kind: "signal-not-sent", zone: signal.zone, rows: signal.seqs.length, error });
          return [];
        }
      }),
    ),
  );
  return sent.flat();
}
