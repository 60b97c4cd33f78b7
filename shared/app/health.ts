/** Whether mail can be taken now: the store answers a question, and soon. And what a scrape reads out of the stores. */

import type { Clock } from "../domain/clock.ts";
import { messageIdOfFact } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import { SECOND } from "../domain/units.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import type { QueueStore } from "../ports/queue-store.ts";

const HEALTH_TIMEOUT_MS = 2 * SECOND;
/** No message has it: the cheapest question there is. */
const NO_MESSAGE = messageIdOfFact(0 as EpochMs, Buffer.alloc(10));

/** Never throws. */
export async function checkHealth({
  queue,
  clock,
}: {
  queue: QueueStore;
  clock: Clock;
}): Promise<{ ok: boolean }> {
  const answered = new AbortController();
  const asked = queue
    .get(NO_MESSAGE)
    .then(() => true)
    .catch(() => false);
  const late = clock.sleep(HEALTH_TIMEOUT_MS, answered.signal).then(() => false);
  const ok = await Promise.race([asked, late]);
  answered.abort();
  return { ok };
}

/** For `/metrics`: what the stores know, whoever is asked. */
export async function readStore({
  queue,
  limits,
}: {
  queue: Pick<QueueStore, "counts">;
  limits: Pick<LimitStore, "blocked" | "slowed">;
}): Promise<{ queued: number; deferred: number; blacklisted: number; slowed: number }> {
  const counts = await queue.counts();
  return {
    queued: counts.reduce((sum, { queued, leased }) => sum + queued + leased, 0),
    deferred: counts.reduce((sum, { deferred }) => sum + deferred, 0),
    blacklisted: (await limits.blocked()).length,
    slowed: (await limits.slowed()).filter(({ step }) => step > 0).length, // 0: an operator has ended it
  };
}
