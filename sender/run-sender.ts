/** A sender as a process: its signals, its screen, its exit code. SIGTERM or SIGINT drains it, a second one ends it at once. */

import { startSender } from "./start.ts";
import { systemClock } from "./system-clock.ts";

/** Ends the process. `workerPath` is the module its workers run. */
export async function runSender(workerPath: string): Promise<never> {
  const stop = new AbortController();
  const cut = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => (stop.signal.aborted ? cut : stop).abort());
  }
  const code = await startSender({
    env: process.env,
    cwd: process.cwd(),
    workerPath,
    clock: systemClock,
    stop: stop.signal,
    cut: cut.signal,
    say: (text) => process.stderr.write(`${text}\n`),
  });
  process.exit(code);
}
