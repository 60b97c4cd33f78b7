/**
 * What a process is told by signals. SIGTERM or SIGINT drains it, a second one ends it at once. SIGHUP has it read its configuration
 * again; when it came because the terminal is gone, which nobody can end it from any more, it drains.
 */

import { closeSync, openSync } from "node:fs";

/** npm passes on what a terminal or a service manager has sent to the whole process group: one Ctrl-C comes twice. */
const NPM_ECHO_MS = 300;

export interface StopSignals {
  /** Drain. */
  readonly stop: AbortSignal;
  /** End at once. */
  readonly cut: AbortSignal;
  /** `listener` is called at each wish to read the configuration again. */
  readonly onReload: (listener: () => void) => void;
}

export function stopSignals(): StopSignals {
  const stop = new AbortController();
  const cut = new AbortController();
  const echoMs = /^start\b/.test(process.env["npm_lifecycle_event"] ?? "") ? NPM_ECHO_MS : 0;
  let echoUntil = 0;
  const onSignal = (): void => {
    if (performance.now() < echoUntil) return;
    echoUntil = performance.now() + echoMs;
    (stop.signal.aborted ? cut : stop).abort();
  };
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, onSignal);
  const listeners: (() => void)[] = [];
  const hasTerminal = process.stdin.isTTY;
  process.on("SIGHUP", () => {
    if (hasTerminal && !isTerminalThere()) onSignal();
    else for (const listener of listeners) listener();
  });
  return { stop: stop.signal, cut: cut.signal, onReload: (listener) => void listeners.push(listener) };
}

/** Opening the terminal that controls this process fails when that has hung up. */
function isTerminalThere(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}
