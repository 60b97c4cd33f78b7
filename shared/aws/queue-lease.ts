/**
 * Leasing the rows of parcels: read them, lease those that can be with a condition on what was read, and say what becomes of the
 * signal they came with. A row that another worker leases in between is refused, however many signals name it.
 */

import { rowIdOf } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import type { Lease, QueueRow } from "../domain/queue-row.ts";
import { later, SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Taken, TakeRequest } from "../ports/queue-store.ts";
import { messageKey, rowKey } from "./keys.ts";
import { CLOCK_SKEW_MS, messageOf, rowOf, setAsideWithMessage } from "./queue-context.ts";
import type { QueueContext } from "./queue-context.ts";
import { giveLastCalls, isTakeable, viewLease } from "./queue-lapse.ts";
import type { SeenRow } from "./queue-lapse.ts";
import { asSeen, bodyRefOfItem, inZoneIndex } from "./row-item.ts";
import { MAX_DELAY_MS } from "./signals.ts";
import type { Parcel, Ticket } from "./stock.ts";

/** A signal stays hidden for longer than its leases last, so that it comes again when they have lapsed for everybody. */
export const HIDDEN_MARGIN_MS = CLOCK_SKEW_MS + 10 * SECOND;

/** How long a parcel of the index lies in the stock after the last call of its leases is over. */
const KEPT_AFTER_CALL_MS = 20 * SECOND;

export type LeaseTerms = Pick<TakeRequest, "worker" | "leaseMs">;

export interface LeasedParcels {
  readonly taken: readonly Taken[];
  /** Found in the index, and to be tried again when they are due: their leases have been given a last call. */
  readonly called: readonly Parcel[];
  /** Whose rows could not be read or leased because DynamoDB failed, with the first reason. */
  readonly failed: { readonly parcels: readonly Parcel[]; readonly error: unknown } | null;
}

export async function leaseParcels(
  context: QueueContext,
  parcels: readonly Parcel[],
  terms: LeaseTerms,
): Promise<LeasedParcels> {
  const claimed = new Set<string>();
  const results = await Promise.allSettled(
    parcels.map((parcel) => leaseParcel(context, withoutClaimed(parcel, claimed), terms)),
  );
  const done = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const taken = done.flatMap((result) => (result.kind === "taken" ? [result.taken] : []));
  const called = done.flatMap((result) => (result.kind === "called" ? [result.parcel] : []));
  const failed = parcels.filter((_, i) => results[i]?.status === "rejected");
  const reason = results.find((result) => result.status === "rejected")?.reason as unknown;
  return { taken, called, failed: failed.length > 0 ? { parcels: failed, error: reason } : null };
}

/** Two signals of one row must not race each other. */
function withoutClaimed(parcel: Parcel, claimed: Set<string>): Parcel {
  const seqs = parcel.seqs.filter((seq) => !claimed.has(rowIdOf(parcel.messageId, seq)));
  for (const seq of seqs) claimed.add(rowIdOf(parcel.messageId, seq));
  return { ...parcel, seqs };
}

type LeasedParcel =
  | { readonly kind: "taken"; readonly taken: Taken }
  | { readonly kind: "called"; readonly parcel: Parcel }
  | { readonly kind: "none" };

const NONE: LeasedParcel = { kind: "none" };

async function leaseParcel(context: QueueContext, parcel: Parcel, terms: LeaseTerms): Promise<LeasedParcel> {
  if (parcel.seqs.length === 0) {
    await letGo(context, parcel.ticket, later(context.clock.now(), terms.leaseMs));
    return NONE;
  }
  const { message, seen } = await readParcel(context, parcel);
  if (!message) {
    await letGo(context, parcel.ticket, null); // never accepted, or its history is over
    return NONE;
  }
  const now = context.clock.now();
  const takeable = seen.filter((one) => isTakeable(context, one, now)).map(({ row }) => row);
  const [leased, calledUntil] = await Promise.all([
    leaseRows(context, takeable, terms),
    giveLastCalls(context, seen),
  ]);
  if (leased.length === 0) {
    const until = calledUntil ?? nextUse(context, seen, { now, leaseMs: terms.leaseMs });
    await letGo(context, parcel.ticket, until);
    return calledUntil === null || parcel.ticket
      ? NONE
      : { kind: "called", parcel: dueAgain(parcel, calledUntil) };
  }
  const { ticket } = parcel;
  if (ticket) ticket.open = leased.length;
  for (const lease of leased) {
    context.leases.add(lease, { recipientCount: message.recipientCount, ticket });
  }
  if (ticket) void keepHidden(context, ticket, later(now, terms.leaseMs));
  return { kind: "taken", taken: { message, domain: parcel.domain, leases: leased } };
}

function dueAgain(parcel: Parcel, dueAt: EpochMs): Parcel {
  return { ...parcel, dueAt, keepUntil: later(dueAt, KEPT_AFTER_CALL_MS) };
}

async function readParcel(
  context: QueueContext,
  { messageId, seqs }: Parcel,
): Promise<{ message: Message | null; seen: SeenRow[] }> {
  const [messageItem, ...items] = await Promise.all([
    context.read(messageKey(messageId)),
    ...seqs.map((seq) => context.read(rowKey(messageId, seq))),
  ]);
  const message = messageOf(context, messageItem ?? null);
  const bodyRef = messageItem && bodyRefOfItem(messageItem);
  if (message && bodyRef !== null) context.bodies.learn(messageId, bodyRef); // spares reading the message for its body
  if (messageItem && !message && messageItem["g"] !== true) {
    for (const item of items) if (item) setAsideWithMessage(context, item);
  }
  const seen = items.flatMap((item) => {
    const row = rowOf(context, item);
    return item && row ? [{ row, item }] : [];
  });
  return { message, seen };
}

async function leaseRows(
  context: QueueContext,
  rows: readonly QueueRow[],
  terms: LeaseTerms,
): Promise<Lease[]> {
  const results = await Promise.allSettled(rows.map((row) => leaseRow(context, row, terms)));
  const leased = results.flatMap((result) =>
    result.status === "fulfilled" && result.value ? [result.value] : [],
  );
  const failure = results.find((result) => result.status === "rejected");
  // What was leased is worked on; a row of which it is not known lapses, if it was leased at all.
  if (failure && leased.length === 0) throw failure.reason;
  return leased;
}

/** Null: another was first. */
async function leaseRow(
  { clock, write }: QueueContext,
  row: QueueRow,
  { worker, leaseMs }: LeaseTerms,
): Promise<Lease | null> {
  const until = later(clock.now(), leaseMs);
  const token = row.leaseToken + 1;
  const wasDeferred = row.state === "deferred";
  const answer = await write({
    kind: "update",
    key: rowKey(row.messageId, row.seq),
    set: { t: token, lb: worker, lu: until, ...(wasDeferred ? { st: "q", ...inZoneIndex(row, "q") } : {}) },
    remove: wasDeferred ? ["d"] : [],
    when: asSeen(row),
  });
  if (answer.kind === "refused") return null;
  const leased: QueueRow = {
    ...row,
    state: "leased",
    leaseToken: token,
    leasedBy: worker,
    leasedUntil: until,
  };
  return { row: leased, token, worker, until };
}

/** When the signal of rows that cannot be leased now is of use again; null: never. */
function nextUse(
  context: QueueContext,
  seen: readonly SeenRow[],
  { now, leaseMs }: { now: EpochMs; leaseMs: number },
): EpochMs | null {
  const times = seen.flatMap((one) => {
    const { row } = one;
    const lease = viewLease(context, one, now);
    if (lease.kind === "lives") return [lease.end];
    if (lease.kind !== "none") return [later(now, leaseMs)]; // over, and another leased it before us
    if (row.state === "queued" || row.state === "deferred")
      return [row.dueAt <= now ? later(now, leaseMs) : row.dueAt];
    return [];
  });
  const next = Math.min(...times);
  // The sweep finds what is due later than a signal can wait.
  return Number.isFinite(next) && next - now <= MAX_DELAY_MS ? (next as EpochMs) : null;
}

/** Put the signal back until then, or take it away. Neither matters enough to fail for. */
export async function letGo(
  { queues, clock, tickets }: Pick<QueueContext, "queues" | "clock" | "tickets">,
  ticket: Ticket | null,
  until: EpochMs | null,
): Promise<void> {
  if (!ticket) return;
  tickets.delete(ticket.sqsId);
  const done =
    until === null
      ? queues.remove(ticket.zone, ticket.receipt)
      : queues.hide(ticket.zone, ticket.receipt, Math.max(0, until - clock.now()));
  await done.catch(() => undefined); // it comes again when it is visible again
}

/** Keep a signal from others for as long as its leases last, and longer. */
export async function keepHidden(
  { queues, clock }: Pick<QueueContext, "queues" | "clock">,
  ticket: Ticket,
  leasedUntil: EpochMs,
): Promise<void> {
  if (ticket.hiddenUntil > leasedUntil) return;
  ticket.hiddenUntil = later(leasedUntil, HIDDEN_MARGIN_MS);
  await queues.hide(ticket.zone, ticket.receipt, ticket.hiddenUntil - clock.now()).catch(() => undefined);
}
