/**
 * The leases this process holds for a zone, kept alive until they are settled or given back. A row whose lease could not be
 * renewed in time is not ours any more: it is not started, not finished unless it can be renewed after all, and a settle for it is
 * refused by its token.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { RowId } from "#shared/domain/ids.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { QueueStore } from "#shared/ports/queue-store.ts";

export interface LeaseKeeper {
  readonly size: number;
  hold(leases: readonly Lease[]): void;
  letGo(leases: readonly Lease[]): void;
  /** True: the lease will last for some while yet, so work on it may start. */
  mayStart(lease: Lease): boolean;
  /** Renew those that may not last (`mayStart`). False: some went to another worker. Rejects when the store does not answer. */
  confirm(leases: readonly Lease[]): Promise<boolean>;
  /** Renew all that are held, until `stop`. Resolves when stopped. */
  run(stop: AbortSignal): Promise<void>;
}

/**
 * A lease nearer to its end than this is not worth starting: a clock may differ by as much from the clock of the store. Of a short
 * lease it is a part, for one that is renewed in thirds has always more than that left.
 */
const START_MARGIN_MS = 10 * SECOND;
const START_MARGIN_SHARE = 1 / 4;
const RENEW_BATCH = 500;
/** After a renewal that failed: within the last call of a lapsed lease, when the store answers again (aws/queue-lapse.ts). */
const RENEW_RETRY_MS = SECOND;
/** A lease with more than this part of its time left is renewed in the next round. */
const FRESH_SHARE = 5 / 6;

interface HeldLease {
  readonly lease: Lease;
  /** 0: it was lost to another worker. */
  until: EpochMs;
}

export function leaseKeeper(deps: {
  queue: QueueStore;
  clock: Clock;
  leaseMs: number;
  onError: (error: unknown) => void;
}): LeaseKeeper {
  const held = new Map<RowId, HeldLease>();
  const { queue, clock, leaseMs } = deps;
  const startMarginMs = Math.min(START_MARGIN_MS, leaseMs * START_MARGIN_SHARE);

  /** False: some could not be renewed, for the store did not answer. One part of it that is down keeps no others from theirs. */
  async function renewAll(): Promise<boolean> {
    const freshUntil = later(clock.now(), leaseMs * FRESH_SHARE);
    const entries = [...held.values()].filter(({ until }) => until > 0 && until <= freshUntil);
    let isDone = true;
    for (let at = 0; at < entries.length; at += RENEW_BATCH) {
      try {
        await renew(entries.slice(at, at + RENEW_BATCH).filter(({ lease }) => isHeld(lease)));
      } catch (error) {
        isDone = false;
        deps.onError(error);
      }
    }
    return isDone;
  }

  async function renew(entries: readonly HeldLease[]): Promise<void> {
    const until = later(clock.now(), leaseMs);
    const renewed = await queue.renew(
      entries.map(({ lease }) => lease),
      until,
    );
    entries.forEach((entry, i) => {
      entry.until = renewed[i] === true ? until : (0 as EpochMs);
    });
  }

  function isHeld(lease: Lease): boolean {
    return held.get(lease.row.id)?.lease === lease;
  }

  function mayStart(lease: Lease): boolean {
    const entry = held.get(lease.row.id);
    return entry?.lease === lease && entry.until > later(clock.now(), startMarginMs);
  }

  return {
    get size() {
      return held.size;
    },
    hold(leases) {
      for (const lease of leases) held.set(lease.row.id, { lease, until: lease.until });
    },
    letGo(leases) {
      for (const lease of leases) if (isHeld(lease)) held.delete(lease.row.id);
    },
    mayStart,
    async confirm(leases) {
      const doubtful = leases.filter((lease) => !mayStart(lease));
      const entries = doubtful.flatMap((lease) => held.get(lease.row.id) ?? []);
      const ours = entries.filter(({ lease, until }) => until > 0 && doubtful.includes(lease));
      if (ours.length < doubtful.length) return false;
      if (ours.length > 0) await renew(ours);
      return ours.every(({ until }) => until > 0);
    },
    async run(stop) {
      const roundMs = leaseMs / 3;
      for (let waitMs = roundMs; !stop.aborted;) {
        await clock.sleep(waitMs, stop);
        waitMs = (await renewAll()) ? roundMs : Math.min(RENEW_RETRY_MS, roundMs);
      }
    },
  };
}
