/** Time as code may know it: nothing reads the wall clock or a timer but through this, so that tests can turn it. */

import type { EpochMs } from "./units.ts";

export interface Clock {
  now(): EpochMs;
  /** Resolves after `ms`, or at once when `signal` aborts: callers look at the signal, they do not catch. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
