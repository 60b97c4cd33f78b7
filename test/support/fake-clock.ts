/** A clock that moves when told to. `sleep` wakes in `advance`, in the order of the times it was for. */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";

export interface FakeClock extends Clock {
  /** The instant `ms` from now. */
  in(ms: number): EpochMs;
  /** Move on, waking sleepers on the way; what they do is awaited as far as microtasks and one turn of the loop reach. */
  advance(ms: number): Promise<void>;
  /** How many sleep now. */
  readonly sleepers: number;
}

interface Sleeper {
  at: number;
  wake: () => void;
}

export function fakeClock(startMs = Date.UTC(2026, 0, 2, 3, 4, 5)): FakeClock {
  let now = startMs;
  const sleepers = new Set<Sleeper>();
  const next = (until: number): Sleeper | undefined =>
    [...sleepers].filter((sleeper) => sleeper.at <= until).toSorted((a, b) => a.at - b.at)[0];
  return {
    now: () => now as EpochMs,
    in: (ms) => (now + ms) as EpochMs,
    get sleepers() {
      return sleepers.size;
    },
    sleep(ms, signal) {
      if (ms <= 0 || signal?.aborted === true) return Promise.resolve();
      return new Promise((resolve) => {
        const sleeper: Sleeper = { at: now + ms, wake: () => undefined };
        sleeper.wake = () => {
          sleepers.delete(sleeper);
          signal?.removeEventListener("abort", sleeper.wake);
          resolve();
        };
        signal?.addEventListener("abort", sleeper.wake, { once: true });
        sleepers.add(sleeper);
      });
    },
    async advance(ms) {
      const until = now + ms;
      for (let sleeper = next(until); sleeper; sleeper = next(until)) {
        now = Math.max(now, sleeper.at);
        sleeper.wake();
        await settled();
      }
      now = until;
      await settled();
    },
  };
}

/** One turn of the event loop, with the microtasks before and after it. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
