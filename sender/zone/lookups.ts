/**
 * Rows that were taken and whose way is being found. Most ways are known at once, but a name server may be silent for as long as
 * `dns.timeout` allows: a domain may have a few rows waiting for it, and not so many that the zone has room for no other.
 */

import type { Domain } from "#shared/domain/address.ts";
import type { Taken } from "#shared/ports/queue-store.ts";
import { MAX_ROWS_TOGETHER } from "#shared/ports/queue-store.ts";

export interface Lookups {
  /** `found` is when the way of the rows is found, or they are let go; it does not reject. */
  add(taken: Taken, found: Promise<void>): void;
  /** Domains of which no more rows are wanted now. */
  crowded(): Set<Domain>;
  /** `listener` replaces the one before; it is called when a domain is not crowded any more. */
  onRoom(listener: () => void): void;
  /** Resolves when all ways are found. */
  finished(): Promise<void>;
}

/** Rows of one domain. */
const MAX_ROWS = 2 * MAX_ROWS_TOGETHER;

export function lookups(): Lookups {
  const going = new Set<Promise<void>>();
  const rows = new Map<Domain, number>();
  let tell = (): void => undefined;

  function count(domain: Domain, change: number): void {
    const before = rows.get(domain) ?? 0;
    if (before + change > 0) rows.set(domain, before + change);
    else rows.delete(domain);
    if (before >= MAX_ROWS && before + change < MAX_ROWS) tell();
  }

  return {
    add({ domain, leases }, found) {
      count(domain, leases.length);
      const counted = found.finally(() => {
        going.delete(counted);
        count(domain, -leases.length);
      });
      going.add(counted);
    },
    crowded() {
      const full = new Set<Domain>();
      for (const [domain, waiting] of rows) if (waiting >= MAX_ROWS) full.add(domain);
      return full;
    },
    onRoom(listener) {
      tell = listener;
    },
    async finished() {
      await Promise.all(going);
    },
  };
}
