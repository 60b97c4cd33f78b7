/** A sender as a process: its signals, its screen, its exit code. */

import { startSender } from "./start.ts";
import { stopSignals } from "./stop-signals.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

/** Ends the process. `workerPath` is the module its workers run. */
export async function runSender(workerPath: string): Promise<never> {
  const code = await startSender({
    ...stopSignals(),
    env: process.env,
    cwd: process.cwd(),
    workerPath,
    clock: systemClock,
    say: (text) => process.stderr.write(`${text}\n`),
  });
  process.exit(code);
}
