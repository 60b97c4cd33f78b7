/**
 * Wakes the waiting takes of this process when it has put a row of their zone where they look. Work that another process put
 * there is seen by the poll: waiting is always for a bounded time.
 */

import type { Clock } from "../domain/clock.ts";
import type { ZoneName } from "../domain/zone.ts";

export interface Wakeups {
  wake(zone: ZoneName): void;
  /** Ends after `ms`, by `wake` of the zone, by `signal`, or by `stop`. */
  wait(zone: ZoneName, ms: number, signal: AbortSignal | undefined): Promise<void>;
  /** No wait lasts from now on. */
  stop(): void;
}

/** Without a reason of ours Node would make an error with its stack each time, which is for every mail. */
const AWAKE = "awake";

export function wakeups(clock: Clock): Wakeups {
  const waiting = new Map<ZoneName, Set<AbortController>>();
  let stopped = false;

  function waitersOf(zone: ZoneName): Set<AbortController> {
    const waiters = waiting.get(zone) ?? new Set();
    waiting.set(zone, waiters);
    return waiters;
  }

  return {
    wake(zone) {
      for (const waiter of waiting.get(zone) ?? []) waiter.abort(AWAKE);
    },
    async wait(zone, ms, signal) {
      if (stopped || signal?.aborted === true) return;
      const waiter = new AbortController();
      const stop = (): void => waiter.abort(AWAKE);
      const waiters = waitersOf(zone);
      waiters.add(waiter);
      signal?.addEventListener("abort", stop, { once: true });
      try {
        await clock.sleep(ms, waiter.signal);
      } finally {
        signal?.removeEventListener("abort", stop);
        waiters.delete(waiter);
      }
    },
    stop() {
      stopped = true;
      for (const waiters of waiting.values()) for (const waiter of waiters) waiter.abort(AWAKE);
    },
  };
}
