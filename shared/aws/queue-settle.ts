/**
 * What a worker writes under its lease: outcomes, a longer lease, the rows given back. Each write names the lease's token, so a
 * late one is refused and changes nothing. The signal a lease came of is deleted when the last of its rows has ended.
 */

import { isFinal } from "../domain/queue-row.ts";
import type { Lease, QueueRow } from "../domain/queue-row.ts";
import { SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Settlement } from "../ports/queue-store.ts";
import type { Values } from "./batch-statement.ts";
import { TELLS_OF_STATE } from "./event-stream.ts";
import { messageKey, rowKey } from "./keys.ts";
import { sendSignals } from "./queue-accept.ts";
import { messageOf } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { deleteSpentBodies, endAttributes } from "./queue-finish.ts";
import type { EndedRows } from "./queue-finish.ts";
import { writingUnder } from "./queue-lapse.ts";
import { keepHidden, letGo } from "./queue-lease.ts";
import { attributeOfAttempt, inDueIndex, inZoneIndex, LETTER_OF_STATE, NO_LEASE } from "./row-item.ts";
import { MAX_DELAY_MS } from "./signals.ts";
import type { Ticket } from "./stock.ts";

/**
 * A row that is due again after at least so long is signalled before it is written, so that a crash in between does not leave it
 * to the sweep. A signal for sooner could come before the row is written, and be put back.
 */
const SIGNAL_FIRST_MS = 2 * SECOND;

export async function settleRows(
  context: QueueContext,
  settlements: readonly Settlement[],
): Promise<boolean[]> {
  const again = settlements.map(({ lease, settled }) =>
    settled.state === "deferred" ? { ...lease.row, dueAt: settled.dueAt } : null,
  );
  let ended: readonly EndedRows[] = [];
  let spent: readonly Ticket[] = [];
  const written = await withSignals(context, again, async () => {
    const done = await allDone(settlements.map((settlement) => settleOnce(context, settlement)));
    const final = settlements.filter((_, i) => done[i] === true);
    ended = await endedRows(context, final);
    spent = endLeases(
      context,
      settlements.map(({ lease }) => lease),
    );
    return done;
  });
  await deleteSpentBodies(context, ended);
  await discard(context, spent);
  return written;
}

export async function releaseRows(
  context: QueueContext,
  leases: readonly Lease[],
  dueAt: EpochMs,
): Promise<boolean[]> {
  const again = leases.map(({ row }) => ({ ...row, dueAt }));
  let spent: readonly Ticket[] = [];
  const written = await withSignals(context, again, async () => {
    const done = await allDone(leases.map((lease) => releaseRow(context, lease, dueAt)));
    spent = endLeases(context, leases);
    return done;
  });
  await discard(context, spent);
  return written;
}

export async function renewLeases(
  context: QueueContext,
  leases: readonly Lease[],
  until: EpochMs,
): Promise<boolean[]> {
  const written = await allDone(
    leases.map((lease) => writeUnder(context, lease, { set: { lu: until }, remove: [] })),
  );
  const renewed = leases.flatMap(({ row, token }, i) =>
    written[i] ? (context.leases.find(row.id, token) ?? []) : [],
  );
  for (const lease of renewed) lease.until = until;
  const tickets = new Set(renewed.map(({ ticket }) => ticket));
  await Promise.all(
    [...tickets].filter((ticket) => ticket !== null).map((ticket) => keepHidden(context, ticket, until)),
  );
  return written;
}

/** When a call failed in part, the caller makes it again: what was written under the lease by the first is not refused then. */
async function settleOnce(context: QueueContext, settlement: Settlement): Promise<boolean> {
  const { row, token } = settlement.lease;
  const held = context.leases.find(row.id, token);
  if (held?.settled === true) return true;
  const written = await settleRow(context, settlement);
  if (held) held.settled = written;
  return written;
}

async function settleRow(context: QueueContext, { lease, settled, attempt }: Settlement): Promise<boolean> {
  const { row } = lease;
  const now = context.clock.now();
  const common = {
    ...NO_LEASE,
    st: LETTER_OF_STATE[settled.state],
    a: row.attempts + (settled.untried === true ? 0 : 1),
    la: attributeOfAttempt(attempt),
  };
  const tells = TELLS_OF_STATE[settled.state];
  if (settled.state === "deferred") {
    const { dueAt } = settled;
    const place = inDueIndex(row, dueAt, dueAt - now <= MAX_DELAY_MS ? "signalled" : "silent");
    const set = { ...common, u: dueAt, f: row.firstDeferredAt ?? now, ...place };
    return await writeUnder(context, lease, { set, remove: [], tells });
  }
  const ending = { row, state: settled.state, recipientCount: await recipientCountOf(context, lease), now };
  const set = { ...common, fi: now, ...endAttributes(ending, context.historyMs) };
  return await writeUnder(context, lease, { set, remove: ["s"], tells });
}

async function releaseRow(context: QueueContext, lease: Lease, dueAt: EpochMs): Promise<boolean> {
  const { row } = lease;
  const now = context.clock.now();
  const place =
    dueAt <= now
      ? { st: "q", ...inZoneIndex(row, "q") }
      : { st: "d", ...inDueIndex(row, dueAt, dueAt - now <= MAX_DELAY_MS ? "signalled" : "silent") };
  return await writeUnder(context, lease, { set: { ...NO_LEASE, u: dueAt, ...place }, remove: [] });
}

/** False: the row is no longer under the lease. The name of the worker refuses a lease that has ended. */
async function writeUnder(
  context: QueueContext,
  lease: Lease,
  change: { set: Values; remove: readonly string[]; tells?: string },
): Promise<boolean> {
  const { row, token, worker } = lease;
  const key = rowKey(row.messageId, row.seq);
  const when = { t: token, lb: worker };
  const answer = await writingUnder(context, lease, () =>
    context.write({ kind: "update", key, ...change, when }),
  );
  return answer.kind === "written";
}

/** Awaits all, then rises with what failed: of a write that failed it is not known whether it was done. */
async function allDone(writing: readonly Promise<boolean>[]): Promise<boolean[]> {
  const results = await Promise.allSettled(writing);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return results.map((result) => result.status === "fulfilled" && result.value);
}

/** Write rows that are due again, with their signals before it or behind it. Null: a row that is not. */
async function withSignals(
  context: QueueContext,
  rows: readonly (QueueRow | null)[],
  write: () => Promise<boolean[]>,
): Promise<boolean[]> {
  const now = context.clock.now();
  const early: QueueRow[] = [];
  const late: { row: QueueRow; i: number }[] = [];
  for (const [i, row] of rows.entries()) {
    if (!row || row.dueAt - now > MAX_DELAY_MS) continue; // the sweep signals what is due later than a signal can wait
    if (row.dueAt - now >= SIGNAL_FIRST_MS) early.push(row);
    else late.push({ row, i });
  }
  await sendSignals(context, early);
  const written = await write();
  await sendSignals(
    context,
    late.filter(({ i }) => written[i] === true).map(({ row }) => row),
  );
  return written;
}

/** Known with the lease; a lease of another process makes us read the message. */
async function recipientCountOf(context: QueueContext, { row, token }: Lease): Promise<number> {
  const held = context.leases.find(row.id, token);
  if (held) return held.recipientCount;
  const item = await context.read(messageKey(row.messageId));
  return messageOf(context, item)?.recipientCount ?? Number.MAX_SAFE_INTEGER; // as one whose last row is not known
}

async function endedRows(context: QueueContext, settlements: readonly Settlement[]): Promise<EndedRows[]> {
  const byMessage = Map.groupBy(
    settlements.filter(({ settled }) => isFinal(settled.state)),
    ({ lease }) => lease.row.messageId,
  );
  return await Promise.all(
    [...byMessage].map(async ([messageId, group]) => {
      const [first] = group;
      return {
        messageId,
        recipientCount: first ? await recipientCountOf(context, first.lease) : 0,
        rows: group.flatMap(({ lease: { row }, settled }) =>
          settled.state === "deferred" ? [] : [{ id: row.id, zone: row.zone, state: settled.state }],
        ),
      };
    }),
  );
}

/**
 * The leases have ended, or another worker has the rows. Called before the rows are signalled: a signal that is back at once would
 * else be taken for a double. Gives the signals of which no row is leased any more, to be discarded.
 */
function endLeases(context: QueueContext, leases: readonly Lease[]): Ticket[] {
  const spent: Ticket[] = [];
  for (const lease of leases) {
    const ticket = context.leases.find(lease.row.id, lease.token)?.ticket ?? null;
    context.leases.end(lease);
    if (ticket && --ticket.open === 0) spent.push(ticket);
  }
  return spent;
}

async function discard(context: QueueContext, spent: readonly Ticket[]): Promise<void> {
  await context.beside.run(() => Promise.all(spent.map((ticket) => letGo(context, ticket, null))));
}
