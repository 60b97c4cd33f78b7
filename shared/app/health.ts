/** Whether mail can be taken now: the store answers a question, and soon. */

import type { Clock } from "../domain/clock.ts";
import { messageIdOfFact } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import { SECOND } from "../domain/units.ts";
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
