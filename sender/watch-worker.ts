/** Whether the event loop of a worker turns: it is asked again and again, and one that does not answer is as good as dead. */

import type { Clock } from "#shared/domain/clock.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** From an answer of a worker to the next question whether its event loop turns. */
const PING_EVERY_MS = 10 * SECOND;
/** Unanswered twice in a row, which is a minute, it is killed. Once may be this process's fault: it was stopped itself. */
const PONG_TIMEOUT_MS = 30 * SECOND;
const MAX_UNANSWERED = 2;

/** Resolves with true when the worker's event loop hangs; with false when it has ended, or all is over. */
export async function watchWorker(
  child: WorkerProcess,
  { clock, over }: { clock: Clock; over: AbortSignal },
): Promise<boolean> {
  const gone = new AbortController();
  void child.ended.then(() => gone.abort());
  const done = AbortSignal.any([over, gone.signal]);
  let unanswered = 0;
  while (unanswered < MAX_UNANSWERED) {
    await clock.sleep(PING_EVERY_MS, done);
    if (done.aborted) return false;
    const answered = child.next("pong", PONG_TIMEOUT_MS);
    child.send({ type: "ping" });
    unanswered = (await answered) ? 0 : unanswered + 1;
  }
  return !done.aborted;
}
