/** Rate sources of several processes, over one real store and a clock that is told the time. */

import type { Rate } from "#shared/domain/throttle.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import { rateSource } from "../../sender/zone/rate-source.ts";
import type { RateSource } from "../../sender/zone/rate-source.ts";
import { embeddedBackend } from "./backend.ts";
import { fakeClock } from "./fake-clock.ts";

/** Processes on one store, under a clock that does not move on before the store has answered. */
export async function rateFleet() {
  const clock = fakeClock();
  const opened = await embeddedBackend(clock);
  const asked = new Set<Promise<unknown>>();
  let calls = 0;
  const limits: Pick<LimitStore, "takeBudget"> = {
    takeBudget(key, request) {
      calls++;
      const answer = opened.backend.limits.takeBudget(key, request);
      asked.add(answer);
      return answer.finally(() => asked.delete(answer));
    },
  };
  return {
    clock,
    source: (key: string, rate: Rate): RateSource =>
      rateSource(key, rate, {
        limits,
        clock,
        onError(error) {
          throw error;
        },
      }),
    get calls() {
      return calls;
    },
    async pass(ms: number, stepMs = 5) {
      for (let passed = 0; passed < ms; passed += stepMs) {
        await clock.advance(stepMs);
        while (asked.size > 0) await Promise.all(asked);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

export type RateFleet = Awaited<ReturnType<typeof rateFleet>>;
