/**
 * The queue on LMDB. Puts together what the other queue-*.ts files do inside one transaction: here are the works, the waiting
 * of `take`, and the housekeeping.
 *
 * Q1  A row, its place in the indexes, the counters and the event that tells of it are written in one transaction.
 * Q2  A row is leased by one worker at a time: LMDB has one writer, over all processes, so read-then-write is atomic.
 * Q3  All writes resolve when they are on the disk. A settle would not need it (a kill keeps what is committed, and only a
 *     power cut between commit and sync would repeat the delivery), but lmdb-js 3.5 resolves no earlier, and the sync is
 *     shared with whatever else is written in that moment.
 */

import assert from "node:assert/strict";

import type { Clock } from "../domain/clock.ts";
import type { WorkerId } from "../domain/ids.ts";
import type { OpenState, QueueRow } from "../domain/queue-row.ts";
import { KIB, later } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { QueueStore, Taken, TakeRequest, ZoneCounts } from "../ports/queue-store.ts";
import { MAX_MESSAGES } from "../ports/queue-store.ts";
import type { EmbeddedBodyStore } from "./body-store.ts";
import type { EmbeddedDatabase, TableKey } from "./database.ts";
import type { DiskSpace } from "./disk-space.ts";
import type { EmbeddedEventLog } from "./event-log.ts";
import type { WriteTransaction } from "./group-commit.ts";
import { acceptMessage, operateRow, recoverRow, releaseRow, renewRow, settleRow } from "./queue-changes.ts";
import type { Change } from "./queue-changes.ts";
import { purgeHistory } from "./queue-finish.ts";
import { listRows } from "./queue-list.ts";
import { LAST, messageOf, rowCounts, rowsOfMessage } from "./queue-tables.ts";
import type { QueueTables } from "./queue-tables.ts";
import { MAX_FED, feed, findReady, hasComeDue, leaseGroup, leasesOfDead } from "./queue-take.ts";
import { wakeups } from "./wakeups.ts";

/** How soon a waiting take sees what another process wrote, or what came due. */
const POLL_MS = 100;
/** What a row, its indexes and events come to on the disk, more rather than less. */
const BYTES_PER_ROW = 2 * KIB;
/** Rows forgotten in one sweep; the last message may go over it. */
const MAX_PURGED = 2_000;

export interface EmbeddedQueueStore extends QueueStore {
  /** Queue again, at once, the rows leased by workers that do not live. Resolves with the number of rows. */
  recover(living: ReadonlySet<WorkerId>): Promise<number>;
  /** Waiting takes end empty. */
  stop(): void;
}

export interface QueueStoreDeps {
  readonly database: EmbeddedDatabase;
  readonly tables: QueueTables;
  readonly clock: Clock;
  readonly bodies: EmbeddedBodyStore;
  readonly events: EmbeddedEventLog;
  readonly space: DiskSpace;
  /** How long messages are kept when all their rows are final. */
  readonly historyMs: number;
}

export function embeddedQueueStore(deps: QueueStoreDeps): EmbeddedQueueStore {
  const { database, tables, clock, bodies, events, space, historyMs } = deps;
  const waiters = wakeups(clock);
  /** The domain that each zone's last take stopped at. */
  const lastDomains = new Map<ZoneName, string>();
  let stopped = false;
  let feeding: Promise<{ fed: number; lapsed: number }> | null = null;

  /** Do something in one transaction, then wake the takes of the zones whose rows can now be taken. */
  async function write<T>(
    work: (change: Change) => T,
    changed: (result: T) => Iterable<QueueRow | null>,
  ): Promise<T> {
    const result = await database.write((transaction) => work(changeIn(transaction)));
    wakeZones(changed(result));
    return result;
  }

  function changeIn(transaction: WriteTransaction): Change {
    return { tables, bodies, historyMs, transaction, now: clock.now() };
  }

  function wakeZones(rows: Iterable<QueueRow | null>): void {
    const zones = new Set<ZoneName>();
    for (const row of rows) if (row?.state === "queued" || row?.state === "deferred") zones.add(row.zone);
    for (const zone of zones) waiters.wake(zone);
  }

  /** One at a time in this process: all zones' takes see at once that something came due. */
  function feedDue(): Promise<{ fed: number; lapsed: number }> {
    feeding ??= write(
      (change) => feed(tables, change.transaction, change.now),
      ({ fed, lapsed }) => [...fed, ...lapsed],
    )
      .then(({ fed, lapsed }) => ({ fed: fed.length, lapsed: lapsed.length }))
      .finally(() => {
        feeding = null;
      });
    return feeding;
  }

  async function lease(request: TakeRequest): Promise<Taken[]> {
    const taken = await database.write((transaction) => {
      const groups = findReady(tables, request, lastDomains.get(request.zone) ?? "");
      const terms = { worker: request.worker, leaseMs: request.leaseMs, now: clock.now() };
      return groups
        .map((group) => leaseGroup(tables, transaction, group, terms))
        .filter((group) => group !== null);
    });
    const last = taken.at(-1);
    if (last) lastDomains.set(request.zone, last.domain);
    return taken;
  }

  /** A look without a transaction, so that an idle zone costs the disk nothing. */
  function hasReady(request: TakeRequest): boolean {
    return findReady(tables, { ...request, max: 1, maxPerDomain: 1 }, "").length > 0;
  }

  /** What events refer to is kept until they have been read. */
  function historyOver(): TableKey[] {
    const over = tables.history.entries({ end: [clock.now(), LAST], limit: MAX_PURGED });
    const readByAll = events.readByAll();
    const keys: TableKey[] = [];
    for (const { key, value } of over) {
      if (Number(value) > readByAll) break; // those behind it have later ones
      keys.push(key);
    }
    return keys;
  }

  async function purge(): Promise<number> {
    const keys = historyOver();
    if (keys.length === 0) return 0;
    return await database.write((transaction) => {
      let purged = 0;
      for (const key of keys) {
        if (purged >= MAX_PURGED) break;
        purged += purgeHistory(changeIn(transaction), transaction, key);
      }
      return purged;
    });
  }

  return {
    async accept(message, rows) {
      assert.ok(rows.length > 0, "a message has a recipient");
      await space.claim((rows.length + 1) * BYTES_PER_ROW);
      const accepted = await write(
        (change) => acceptMessage(change, message, rows),
        (answer) => (answer === "accepted" ? rows : []),
      );
      if (accepted === "exists") bodies.dropHeld(message.id);
      return accepted;
    },

    async take(request) {
      const deadline = later(clock.now(), request.waitMs);
      for (;;) {
        if (stopped || request.signal?.aborted === true) return [];
        if (hasComeDue(tables, clock.now())) await feedDue();
        const taken = hasReady(request) ? await lease(request) : [];
        const left = deadline - clock.now();
        if (taken.length > 0 || left <= 0) return taken;
        await waiters.wait(request.zone, Math.min(left, POLL_MS), request.signal);
      }
    },

    async renew(leases, until) {
      const rows = await database.write((transaction) => {
        const change = changeIn(transaction);
        return leases.map((lease) => renewRow(change, lease, until));
      });
      return rows.map((row) => row !== null);
    },

    async settle(settlements) {
      const rows = await write(
        (change) => settlements.map((settlement) => settleRow(change, settlement)),
        () => [], // a deferred row is due later, and the poll sees it
      );
      return rows.map((row) => row !== null);
    },

    async release(leases, dueAt) {
      const rows = await write(
        (change) => leases.map((lease) => releaseRow(change, lease, dueAt)),
        (released) => released,
      );
      return rows.map((row) => row !== null);
    },

    async operate(operation, ids) {
      const rows = await write(
        (change) => [...new Set(ids)].map((id) => operateRow(change, operation, id)),
        (operated) => operated,
      );
      return rows.flatMap((row) => (row ? [row.id] : []));
    },

    async get(id) {
      const message = messageOf(tables, id);
      return message && { message, rows: rowsOfMessage(tables, id) };
    },

    async messages(ids) {
      assert.ok(ids.length <= MAX_MESSAGES, `at most ${MAX_MESSAGES} messages are asked for at once`);
      return ids.map((id) => messageOf(tables, id));
    },

    async list(query) {
      const zones =
        query.zone === null ? [...new Set(rowCounts(database).map(({ zone }) => zone))] : [query.zone];
      return listRows(tables, query, zones);
    },

    async counts() {
      return openCounts(database);
    },

    async sweep() {
      const fed = await feedDue();
      const purged = await purge();
      await events.purge(historyMs);
      await bodies.sweep();
      database.clearDeadReaders();
      return { ...fed, purged };
    },

    async recover(living) {
      const dead = leasesOfDead(tables, living);
      let recovered = 0;
      for (let at = 0; at < dead.length; at += MAX_FED) {
        const some = dead.slice(at, at + MAX_FED);
        const rows = await write(
          (change) => some.map((id) => recoverRow(change, id, living)),
          (queued) => queued,
        );
        recovered += rows.filter((row) => row !== null).length;
      }
      return recovered;
    },

    stop() {
      stopped = true;
      waiters.stop();
    },
  };
}

/** Zones with at least one open row. */
function openCounts(database: EmbeddedDatabase): ZoneCounts[] {
  const zones = new Map<ZoneName, Record<OpenState, number>>();
  for (const { zone, state, rows } of rowCounts(database)) {
    if (rows === 0) continue;
    const counts = zones.get(zone) ?? { queued: 0, leased: 0, deferred: 0, held: 0 };
    counts[state] = rows;
    zones.set(zone, counts);
  }
  return [...zones].map(([zone, counts]) => ({ zone, ...counts }));
}
