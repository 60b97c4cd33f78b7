/** `npm start`: the relay on this machine. SIGTERM or SIGINT drains it, a second one ends it at once. */

import { join } from "node:path";

import { startSender } from "./start.ts";
import { systemClock } from "./system-clock.ts";

const stop = new AbortController();
const cut = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => (stop.signal.aborted ? cut : stop).abort());
}

process.exitCode = await startSender({
  env: process.env,
  cwd: process.cwd(),
  workerPath: join(import.meta.dirname, "worker-main.ts"),
  clock: systemClock,
  stop: stop.signal,
  cut: cut.signal,
  say: (text) => process.stderr.write(`${text}\n`),
});
process.exit();
