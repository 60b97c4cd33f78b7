/**
 * On a schedule: the queue's housekeeping (`QueueStore.sweep`), again and again while there is some and time is left; and beside it what
 * stands in the store is told once (fleet-state.ts), which neither waits for the sweep nor holds it up.
 */

import type { QueueStore, Swept } from "#shared/ports/queue-store.ts";

import type { Telemetry } from "./telemetry.ts";

/** Left for the last round to end in: one is a bounded number of calls, each with a timeout of its own. */
export const RESERVED_MS = 15_000;
/** The next invocation goes on, so none has to go on for ever. */
export const MAX_ROUNDS = 100;

export interface RemainingTime {
  getRemainingTimeInMillis(): number;
}

export interface SweepDeps {
  readonly queue: Pick<QueueStore, "sweep">;
  readonly telemetry: Telemetry;
  /** Never rejects. */
  readonly tellState: () => Promise<void>;
}

export function sweepHandler({ queue, telemetry, tellState }: SweepDeps) {
  return async (_event: unknown, context: RemainingTime): Promise<Swept> => {
    const stateTold = tellState();
    let sum: Swept = { fed: 0, lapsed: 0, purged: 0 };
    try {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        const swept = await queue.sweep();
        sum = added(sum, swept);
        if (isNothing(swept) || context.getRemainingTimeInMillis() < RESERVED_MS) break;
      }
      return sum;
    } finally {
      tell(telemetry, sum);
      await stateTold;
    }
  };
}

function tell({ count, log }: Telemetry, sum: Swept): void {
  count("RowsFed", sum.fed);
  count("LeasesLapsed", sum.lapsed);
  count("MessagesPurged", sum.purged);
  if (!isNothing(sum)) log.info({ component: "sweep", ...sum }, "queue swept");
}

function added(one: Swept, other: Swept): Swept {
  return {
    fed: one.fed + other.fed,
    lapsed: one.lapsed + other.lapsed,
    purged: one.purged + other.purged,
  };
}

function isNothing({ fed, lapsed, purged }: Swept): boolean {
  return fed + lapsed + purged === 0;
}
