/** A sender as a process: its signals, its screen, its exit code. SIGTERM or SIGINT drains it, a second one ends it at once. */

import { startSender } from "./start.ts";
import { systemClock } from "./system-clock.ts";

/** npm passes on what a terminal or a service manager has sent to the whole process group: one Ctrl-C comes twice. */
const NPM_ECHO_MS = 300;

/** Ends the process. `workerPath` is the module its workers run. */
export async function runSender(workerPath: string): Promise<never> {
  const stop = new AbortController();
  const cut = new AbortController();
  const echoMs = process.env["npm_lifecycle_event"] === "start" ? NPM_ECHO_MS : 0;
  let echoUntil = 0;
  const onSignal = (): void => {
    if (performance.now() < echoUntil) return;
    echoUntil = performance.now() + echoMs;
    (stop.signal.aborted ? cut : stop).abort();
  };
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, onSignal);
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
