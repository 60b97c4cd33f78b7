/** Mails of a queue under test, by the handful: accept them, deliver them, see what state they are in. */

import assert from "node:assert/strict";

import type { QueueRow } from "#shared/domain/queue-row.ts";
import type { Message } from "#shared/domain/message.ts";
import type { QueueStore, Taken } from "#shared/ports/queue-store.ts";
import { attempt, message, queueRow } from "./builders.ts";
import type { FakeClock } from "./fake-clock.ts";

export interface Mail {
  readonly message: Message;
  readonly rows: readonly QueueRow[];
}

export function mailOf(clock: FakeClock, recipients = 1, fields: Partial<QueueRow> = {}): Mail {
  const mail = message({ acceptedAt: clock.now(), recipientCount: recipients });
  const rows = Array.from({ length: recipients }, (_, i) => queueRow(mail, i + 1, fields));
  return { message: mail, rows };
}

export async function acceptSome(queue: QueueStore, clock: FakeClock, count: number): Promise<Mail[]> {
  const mails = Array.from({ length: count }, () => mailOf(clock));
  const answers = await Promise.all(mails.map((mail) => queue.accept(mail.message, mail.rows)));
  assert.ok(answers.every((answer) => answer === "accepted"));
  return mails;
}

/** Ids of rows, sorted: of what was taken, and of what was accepted. */
export const idsOf = (taken: readonly Taken[]): string[] =>
  taken.flatMap(({ leases }) => leases.map(({ row }) => row.id)).toSorted();
export const rowIdsOf = (mails: readonly Mail[]): string[] =>
  mails.flatMap(({ rows }) => rows.map(({ id }) => id as string)).toSorted();

/** Settle all that was taken as delivered; for each row whether its lease still held. */
export async function deliver(queue: QueueStore, taken: readonly Taken[]): Promise<boolean[]> {
  const leases = taken.flatMap((group) => group.leases);
  return await queue.settle(
    leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() })),
  );
}

/** The state of each row, in the order of `mails`; `missing` for a mail that is not stored. */
export async function statesOf(
  { queue }: { readonly queue: QueueStore },
  mails: readonly Mail[],
): Promise<string[]> {
  const stored = await Promise.all(mails.map((mail) => queue.get(mail.message.id)));
  return stored.flatMap((found) => found?.rows.map(({ state }) => state) ?? ["missing"]);
}
