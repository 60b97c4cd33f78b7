/** How a process is told to end: SIGTERM or SIGINT drains it, a second one ends it at once. */

/** npm passes on what a terminal or a service manager has sent to the whole process group: one Ctrl-C comes twice. */
const NPM_ECHO_MS = 300;

export interface StopSignals {
  /** Drain. */
  readonly stop: AbortSignal;
  /** End at once. */
  readonly cut: AbortSignal;
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
  return { stop: stop.signal, cut: cut.signal };
}
