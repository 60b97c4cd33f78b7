/**
 * Messages and their queue rows until they expire from history. The row is the truth about its recipient.
 *
 * At least once: a lapsed lease goes to the next worker that asks. Every write under a lease carries its token, and a write
 * with an old token changes nothing. Each change of a row and the event that tells of it are one write.
 *
 * A stored record that cannot be read (a fault of ours, or of the disk) stops nothing: the store goes on as if it were not there,
 * keeps it aside for an operator and tells of it. With a message, the rows that cannot be sent without it go aside.
 */

import type { Domain } from "../domain/address.ts";
import type { MessageId, RowId, WorkerId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import type { AttemptRecord, Lease, QueueRow, RowState, Settled } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";

export interface QueueStore {
  /**
   * Store a message and its rows, all or nothing, and resolve when they and the body are durable.
   * Rows come `queued` (due now), `deferred` (due later), or `suppressed` or `dropped` (final from the start).
   * `exists`: this message id was accepted before, and nothing was written.
   */
  accept(message: Message, rows: readonly QueueRow[]): Promise<"accepted" | "exists">;

  /**
   * Lease rows of a zone that are due, oldest first within a domain, no domain starving another.
   * Waits up to `waitMs` for the first; empty when none came or `signal` aborted. Never gives a row of a domain in `avoid`,
   * however long the backlog of that domain is.
   */
  take(request: TakeRequest): Promise<Taken[]>;

  /**
   * Rows of these domains are for other workers to take: give away what this process keeps of them without having leased it. Left
   * out by a store that keeps nothing. Costs time at worst, so it neither waits nor fails.
   */
  leave?(zone: ZoneName, domains: ReadonlySet<Domain> | "all"): void;

  /** Move the end of leases to `until`. False: that row is no longer under this lease. */
  renew(leases: readonly Lease[], until: EpochMs): Promise<boolean[]>;

  /** Write outcomes and end the leases. False: that row is no longer under this lease, and nothing was written for it. */
  settle(settlements: readonly Settlement[]): Promise<boolean[]>;

  /** Give rows back untried, due at `dueAt`. False as in `settle`. */
  release(leases: readonly Lease[], dueAt: EpochMs): Promise<boolean[]>;

  /** Change rows by hand. Rows in a state the operation is not for are left alone. Resolves with the rows changed. */
  operate(operation: Operation, rows: readonly RowId[]): Promise<RowId[]>;

  /** Null: no such message, or its history has expired. Rows in the order of the envelope. */
  get(id: MessageId): Promise<{ message: Message; rows: QueueRow[] } | null>;

  /** Messages alone, in order; null: no such message. Up to `MAX_MESSAGES`. */
  messages(ids: readonly MessageId[]): Promise<(Message | null)[]>;

  list(query: RowQuery): Promise<RowPage>;

  /** Rows in each open state by zone; zones with none are missing. */
  counts(): Promise<ZoneCounts[]>;

  /** Housekeeping: feed what came due, take back lapsed leases, forget history older than its time. Bounded work a call. */
  sweep(): Promise<Swept>;
}

export interface TakeRequest {
  readonly zone: ZoneName;
  readonly worker: WorkerId;
  /** Rows at most; the rows of one message and domain stay together and may go over by `MAX_ROWS_TOGETHER`. */
  readonly max: number;
  /** Rows of one domain at most, with the same allowance. */
  readonly maxPerDomain: number;
  readonly avoid: ReadonlySet<Domain>;
  readonly leaseMs: number;
  readonly waitMs: number;
  readonly signal?: AbortSignal;
}

/** Rows of one message and one recipient domain that are leased together: RFC 5321 §4.5.3.1.10 promises 100 recipients. */
export const MAX_ROWS_TOGETHER = 100;

/** Messages in one `messages`. */
export const MAX_MESSAGES = 1_000;

/** Leased rows of one message and one domain. */
export interface Taken {
  readonly message: Message;
  readonly domain: Domain;
  readonly leases: readonly Lease[];
}

export interface Settlement {
  readonly lease: Lease;
  readonly settled: Settled;
  readonly attempt: AttemptRecord;
}

/**
 * - `retry-now` queued and deferred rows are due at once
 * - `hold` queued and deferred rows stop · `release` held rows are queued again
 * - `drop` queued, deferred and held rows end as `dropped`
 */
export type Operation = "retry-now" | "hold" | "release" | "drop";

/** Rows in one page of a list. */
export const MAX_PAGE_ROWS = 1_000;

export interface RowQuery {
  /** Null: all zones. */
  readonly zone: ZoneName | null;
  /** Open ones: final rows are history, found by their message alone. */
  readonly states: readonly RowState[];
  readonly order: "oldest-first" | "newest-first";
  /** 1 to `MAX_PAGE_ROWS`; else invalid-request is thrown. */
  readonly limit: number;
  /** From the page before; null: from the start. */
  readonly cursor: string | null;
}

export interface RowPage {
  readonly rows: readonly QueueRow[];
  /** Null: that was the last page. */
  readonly cursor: string | null;
}

export interface ZoneCounts {
  readonly zone: ZoneName;
  readonly queued: number;
  readonly leased: number;
  readonly deferred: number;
  readonly held: number;
}

export interface Swept {
  readonly fed: number;
  readonly lapsed: number;
  readonly purged: number;
}
