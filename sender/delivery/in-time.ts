/** Waiting for several answers without letting the slowest decide. */

import type { Clock } from "#shared/domain/clock.ts";

/**
 * Resolves when all answers are there, or `patienceMs` after the first one that is enough; what is missing then is null. What is
 * still being asked goes on, for the cache behind it. Rejects when one rejects before that.
 */
export async function inTime<T>(
  asked: readonly Promise<T>[],
  { isEnough, patienceMs, clock }: { isEnough: (answer: T) => boolean; patienceMs: number; clock: Clock },
): Promise<(T | null)[]> {
  const answers: (T | null)[] = asked.map(() => null);
  const enough = Promise.withResolvers<void>();
  const over = new AbortController();
  const all = Promise.all(
    asked.map(async (promise, i) => {
      const answer = await promise;
      answers[i] = answer;
      if (isEnough(answer)) enough.resolve();
    }),
  );
  try {
    await Promise.race([all, enough.promise.then(() => clock.sleep(patienceMs, over.signal))]);
  } finally {
    over.abort();
  }
  return [...answers];
}
