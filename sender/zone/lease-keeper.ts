/**
 * The leases this process holds for a zone, kept alive until they are settled or given back. A row whose lease could not be
 * renewed in time is not ours any more: it is not started, and a settle for it is refused by its token.
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

export function leaseKeeper(deps: {
  queue: QueueStore;
  clock: Clock;
  leaseMs: number;
  onError: (error: unknown) => void;
}): LeaseKeeper {
  const held = new Map<RowId, { lease: Lease; until: EpochMs }>();
  const { queue, clock, leaseMs } = deps;
  const startMarginMs = Math.min(START_MARGIN_MS, leaseMs * START_MARGIN_SHARE);

  async function renewAll(): Promise<void> {
    const entries = [...held.values()];
    for (let at = 0; at < entries.length; at += RENEW_BATCH) {
      const batch = entries.slice(at, at + RENEW_BATCH);
      const until = later(clock.now(), leaseMs);
      const renewed = await queue.renew(
        batch.map((entry) => entry.lease),
        until,
      );
      batch.forEach((entry, i) => {
        entry.until = renewed[i] === true ? until : (0 as EpochMs);
      });
    }
  }

  return {
    get size() {
      return held.size;
    },
    hold(leases) {
      for (const lease of leases) held.set(lease.row.id, { lease, until: lease.until });
    },
    letGo(leases) {
      for (const lease of leases) if (held.get(lease.row.id)?.lease === lease) held.delete(lease.row.id);
    },
    mayStart(lease) {
      const entry = held.get(lease.row.id);
      return entry?.lease === lease && entry.until > later(clock.now(), startMarginMs);
    },
    async run(stop) {
      while (!stop.aborted) {
        await clock.sleep(leaseMs / 3, stop);
        if (held.size > 0) await renewAll().catch(deps.onError); // a store that is down now may be back before the leases end
      }
    },
  };
}
