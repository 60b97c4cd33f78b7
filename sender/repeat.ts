/** A chore done again and again until `stop`, with a wait between; an error is told and does not end it. */

import type { Clock } from "#shared/domain/clock.ts";

export async function repeat(
  clock: Clock,
  everyMs: number,
  stop: AbortSignal,
  chore: () => Promise<void>,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!stop.aborted) {
    await chore().catch(onError);
    await clock.sleep(everyMs, stop);
  }
}
