/** What the parts of the queue on AWS share: where things are, how they are read and written, and which leases are ours. */

import { LRUCache } from "lru-cache";

import type { RowId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import type { Lease, QueueRow } from "../domain/queue-row.ts";
import { SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { WriteItem } from "./batch-statement.ts";
import type { Beside } from "./beside.ts";
import type { S3BodyStore } from "./body-store.ts";
import { gatherer } from "./gather.ts";
import { getItems, MAX_BATCH_KEYS } from "./items.ts";
import type { TableDeps } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { keyOf, messageOfItem, rowOfItem, StoredItemError } from "./row-item.ts";
import type { Item } from "./row-item.ts";
import { isAside } from "./queue-aside.ts";
import type { SetAside } from "./queue-aside.ts";
import type { ZoneQueues } from "./signals.ts";
import type { Ticket } from "./stock.ts";

/** What goes wrong beside the mail's way and is set right by others later: told, never thrown. */
export type QueueTrouble =
  | {
      readonly kind: "signal-not-sent";
      readonly zone: ZoneName;
      readonly rows: number;
      readonly error: unknown;
    }
  | { readonly kind: "foreign-signal"; readonly zone: ZoneName; readonly body: string }
  | { readonly kind: "body-not-deleted"; readonly error: unknown }
  | { readonly kind: "poll-failed"; readonly zone: ZoneName; readonly error: unknown }
  /** An item was set aside (queue-aside.ts), and all goes on as if it were not there. */
  | { readonly kind: "unreadable"; readonly error: unknown };

/** What the queue has to do with bodies: which one a message was accepted with, and when it is wanted no more. */
export type QueueBodies = Pick<S3BodyStore, "refOf" | "learn" | "delete" | "deleteSoon">;

/**
 * Who signals new mail to one recipient: the process that has accepted it, or the reader of the table's stream. A sender takes in
 * much and shares its calls; a Lambda takes in one mail at a time. All other signals are sent by whoever has written the row.
 */
export type SignalsOfNewMail = "own" | "streamed";

export interface QueueContext extends TableDeps {
  readonly random: () => number;
  readonly signals: SignalsOfNewMail;
  readonly zones: readonly ZoneName[];
  readonly queues: ZoneQueues;
  readonly bodies: QueueBodies;
  /** How long messages are kept when all their rows are final. */
  readonly historyMs: number;
  readonly write: WriteItem;
  readonly read: ReadItem;
  readonly leases: LeaseBook;
  /** The signals that this process holds, in a stock or under leases, by SQS's id. */
  readonly tickets: Pick<Map<string, Ticket>, "get" | "set" | "delete">;
  /** What callers of the queue do not wait for. */
  readonly beside: Beside;
  readonly setAside: SetAside;
  readonly onTrouble: (trouble: QueueTrouble) => void;
}

/** Null: there is none. What is asked for at the same time is one call. */
export type ReadItem = (key: ItemKey) => Promise<Item | null>;

/**
 * How far the clocks of two senders may lie apart: a lease that another process gave is over for us only so long after its end.
 * A lease of this process needs no such margin.
 */
export const CLOCK_SKEW_MS = 5 * SECOND;
/** More leases than any process holds. What falls out of the book is read from the table again. */
const MAX_LEASES = 100_000;
/** What falls out is treated as a signal never seen. */
const MAX_TICKETS = 100_000;
const MAX_READS = 16;
/** Rows of one message that are written at once. */
const MAX_AT_ONCE = 1_000;

export function itemReader(deps: TableDeps): ReadItem {
  const nameOf = (key: ItemKey): string => `${key.PK} ${key.SK}`;
  /** Asked for and not yet on the way: who asks for the same now gets the same answer. */
  const waiting = new Map<string, Promise<Item | null>>();
  const gathered = gatherer<ItemKey, Item | null>({
    maxItems: MAX_BATCH_KEYS,
    maxCalls: MAX_READS,
    async call(keys) {
      for (const key of keys) waiting.delete(nameOf(key));
      const items = await getItems(deps, keys, { consistent: true });
      const found = new Map(items.map((item) => [nameOf(keyOf(item)), item]));
      return keys.map((key) => found.get(nameOf(key)) ?? null);
    },
  });
  return (key) => {
    const asked = waiting.get(nameOf(key));
    if (asked) return asked;
    const asking = gathered(key);
    waiting.set(nameOf(key), asking);
    asking.catch(() => waiting.delete(nameOf(key)));
    return asking;
  };
}

/** Do something with many rows, some at a time: what waits for a call is bounded. */
export async function inTurns<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let at = 0; at < items.length; at += MAX_AT_ONCE) {
    results.push(...(await Promise.all(items.slice(at, at + MAX_AT_ONCE).map(work))));
  }
  return results;
}

/** A lease of this process. */
export interface HeldLease {
  readonly token: number;
  readonly recipientCount: number;
  /** The signal that it came of; null: none, it was found in the index. */
  readonly ticket: Ticket | null;
  /** Its end as this process last wrote it. */
  until: EpochMs;
  /** True: its outcome is written, in a call that failed for other rows. */
  settled?: boolean;
  /** We are at it to write under the lease, and count on a next try until then (queue-lapse.ts); null or left out: we are not. */
  writingUntil?: EpochMs | null;
}

export function ticketBook(): QueueContext["tickets"] {
  return new LRUCache<string, Ticket>({ max: MAX_TICKETS }) as QueueContext["tickets"];
}

/** The leases that this process gave and that have not ended, by row. */
export interface LeaseBook {
  add(lease: Lease, held: Pick<HeldLease, "recipientCount" | "ticket">): void;
  /** Null: not ours, or not any more. */
  find(row: RowId, token: number): HeldLease | null;
  /** The last lease of the row, which may have lapsed; null: none of ours. */
  current(row: RowId): HeldLease | null;
  end(lease: Lease): void;
}

export function leaseBook(): LeaseBook {
  const held = new LRUCache<RowId, HeldLease>({ max: MAX_LEASES });
  const find = (row: RowId, token: number): HeldLease | null => {
    const found = held.get(row);
    return found?.token === token ? found : null;
  };
  return {
    add: (lease, { recipientCount, ticket }) =>
      void held.set(lease.row.id, { token: lease.token, until: lease.until, recipientCount, ticket }),
    find,
    current: (row) => held.get(row) ?? null,
    end: ({ row, token }) => {
      if (find(row.id, token)) held.delete(row.id);
    },
  };
}

/** Null: there is no row, or it cannot be read and is set aside. */
export function rowOf(context: Pick<QueueContext, "setAside">, item: Item | null): QueueRow | null {
  return item && readable(context, item, rowOfItem);
}

/** Null: there is no message, or it cannot be read and is set aside. */
export function messageOf(context: Pick<QueueContext, "setAside">, item: Item | null): Message | null {
  return item && readable(context, item, messageOfItem);
}

function readable<T>(
  { setAside }: Pick<QueueContext, "setAside">,
  item: Item,
  read: (item: Item) => T | null,
): T | null {
  if (isAside(item)) return null;
  try {
    return read(item);
  } catch (error) {
    if (!(error instanceof StoredItemError)) throw error;
    setAside(item, error);
    return null;
  }
}

/** The row of a message that is there and cannot be read: it cannot be sent, and goes aside with it. */
export function setAsideWithMessage({ setAside }: Pick<QueueContext, "setAside">, item: Item): void {
  if (isAside(item)) return;
  const { PK, SK } = keyOf(item);
  setAside(item, new StoredItemError(`cannot read the message of row ${PK} ${SK}`));
}
