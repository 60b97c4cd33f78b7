/**
 * When a lease is over. A worker whose writes DynamoDB refuses for a while still has its rows in hand, and perhaps an outcome to write:
 * who finds its lease lapsed does not take the row, but first gives it a last call.
 *
 * K1  A last call makes the lease as long as `LAST_CALL_MS` from now, under the same token. That it could be written shows that the
 *     table takes writes to this row again, so the worker has that time to write its own: it tries every second.
 * K2  That there was one lies in the row (`lc`, the end that it gave), so that any process may go on with it, as one that has just
 *     started. A lease that was renewed since has another end, and may get another last call.
 * K3  A lease of this process needs none: we know whether we are still trying to write under it.
 */

import type { Lease, QueueRow } from "../domain/queue-row.ts";
import { later, SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import { keyOfRow } from "./keys.ts";
import { CLOCK_SKEW_MS } from "./queue-context.ts";
import type { HeldLease, QueueContext } from "./queue-context.ts";
import { asSeen } from "./row-item.ts";
import type { Item } from "./row-item.ts";

/**
 * A call that had no answer when the table came back ends after seven seconds (aws/clients.ts); then comes the next. And as long after
 * a write of our own that failed we count on its next try.
 */
export const LAST_CALL_MS = 10 * SECOND;
/** Attribute: the end of the lease that its last call gave. */
const LAST_CALL = "lc";

/** A row as it was read, with the item it was read from. */
export interface SeenRow {
  readonly row: QueueRow;
  readonly item: Item;
}

/** `lapsed`: it must be given its last call before its row may be taken. */
export type LeaseView =
  | { readonly kind: "none" }
  | { readonly kind: "lives"; readonly end: EpochMs }
  | { readonly kind: "lapsed" }
  | { readonly kind: "over" };

export function viewLease(
  { leases }: Pick<QueueContext, "leases">,
  { row, item }: SeenRow,
  now: EpochMs,
): LeaseView {
  if (row.leasedUntil === null) return { kind: "none" };
  const held = leases.find(row.id, row.leaseToken);
  const end = held
    ? (Math.max(row.leasedUntil, held.writingUntil ?? 0) as EpochMs)
    : later(row.leasedUntil, CLOCK_SKEW_MS);
  if (end > now) return { kind: "lives", end };
  return held || item[LAST_CALL] === row.leasedUntil ? { kind: "over" } : { kind: "lapsed" };
}

/** True: a worker may lease it now. */
export function isTakeable(context: Pick<QueueContext, "leases">, seen: SeenRow, now: EpochMs): boolean {
  const { kind } = viewLease(context, seen, now);
  if (kind !== "none") return kind === "over";
  const { state, dueAt } = seen.row;
  return (state === "queued" || state === "deferred") && dueAt <= now;
}

/**
 * 1 write unit for each row: only after a worker that died, or an outage. Resolves with when the rows may be taken; who was changed
 * in between is left to those who did. Null: there was nothing to call.
 */
export async function giveLastCalls(
  context: QueueContext,
  seen: readonly SeenRow[],
): Promise<EpochMs | null> {
  const now = context.clock.now();
  const lapsed = seen.filter((one) => viewLease(context, one, now).kind === "lapsed");
  if (lapsed.length === 0) return null;
  const until = later(now, LAST_CALL_MS);
  await Promise.all(
    lapsed.map(({ row }) =>
      context.write({
        kind: "update",
        key: keyOfRow(row.id),
        set: { lu: until, [LAST_CALL]: until },
        when: asSeen(row),
      }),
    ),
  );
  return later(until, CLOCK_SKEW_MS);
}

/** Do a write under a lease, so that this process does not take the row from itself while it tries (K3). */
export async function writingUnder<Answer>(
  context: Pick<QueueContext, "leases" | "clock">,
  { row, token }: Lease,
  write: () => Promise<Answer>,
): Promise<Answer> {
  const held: HeldLease | null = context.leases.find(row.id, token);
  if (!held) return await write();
  held.writingUntil = Infinity as EpochMs;
  try {
    const answer = await write();
    held.writingUntil = null;
    return answer;
  } catch (error) {
    held.writingUntil = later(context.clock.now(), LAST_CALL_MS);
    throw error;
  }
}
