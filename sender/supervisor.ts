/**
 * Keeps the workers of this machine alive, and ends them in order. It opens no store and takes no mail.
 *
 * 1. One place for each process; whoever dies is replaced, after a wait that grows while it dies again and again. It gives up
 *    when workers cannot start and none runs: then something has to be changed first, and the worker's words say what.
 * 2. What a dead worker had (leases, slots, claims) is taken back by a worker that lives, or by the first to come. While that goes on no
 *    worker is started, so that nothing is taken from one who is not dead. The first worker of all takes back what a former run left.
 * 3. A worker whose event loop hangs is as good as dead, and keeps its leases from others: when it does not answer it is killed.
 * 4. A reload puts a worker with new settings into each place, one after another. A worker goes when its successor listens, and
 *    gives it the sockets that it listens on, so no connection meets a closed door. Settings that cannot be read, or on which the
 *    first new worker cannot start, change nothing.
 * 5. `stop` drains: workers finish what is in flight, and are killed when they have not ended in time. `cut` kills at once.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Settings } from "#shared/runtime/config.ts";
import type { Logger } from "#shared/runtime/log.ts";
import type { HostAddresses } from "./addresses/deployed-host.ts";
import type { HeldSockets } from "./held-sockets.ts";
import type { ListeningSockets } from "./listening-socket.ts";
import { metricsGatherer } from "./metrics-gatherer.ts";
import { reloadOnWish } from "./reload-fleet.ts";
import type { Replaced, ReloadSource } from "./reload-fleet.ts";
import { watchWorker } from "./watch-worker.ts";
import { forkWorker } from "./worker-process.ts";
import type { WorkerEnd, WorkerProcess } from "./worker-process.ts";
import { GRACE_MS, LEISURE_MS } from "./worker-protocol.ts";
import type { FromWorker, Listening } from "./worker-protocol.ts";

/** Who has not ended by then is killed. The whole of a drain stays under 30 s. */
const KILL_AFTER_MS = 29 * SECOND;
/** Waits before the first, second … replacement in a row. */
const RESTART_WAITS_MS = [100, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND];
/** A worker that lived this long died of something new. */
const STEADY_MS = MINUTE;
/** Deaths in a row at start, with no worker running, before it gives up. */
const MAX_START_FAILURES = 5;
/** From birth to listening; a worker that takes longer hangs. */
const START_TIMEOUT_MS = 2 * MINUTE;
const RECOVERY_TIMEOUT_MS = MINUTE;
/** For a worker to give its sockets; without them its successor opens its own. */
const HAND_OVER_TIMEOUT_MS = 5 * SECOND;

export interface SupervisorOptions {
  /** The module a worker runs. */
  readonly workerPath: string;
  readonly settings: Settings;
  readonly hostname: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stop: AbortSignal;
  readonly cut: AbortSignal;
  /** Called once, when all workers listen. */
  readonly onReady: (listens: readonly Listening[]) => void;
  /** Left out: settings are for good. */
  readonly reload?: ReloadSource;
  /** Elastic IPs that this host holds; left out: there are none. */
  readonly addresses?: HostAddresses | null;
  /** What workers listen on; left out, and for doors that are not among them: they open their own sockets. */
  readonly held?: HeldSockets | null;
}

export type SupervisorEnd =
  | { readonly kind: "drained" }
  | { readonly kind: "cut" }
  | { readonly kind: "gave-up"; readonly message: string };

export async function supervise(options: SupervisorOptions): Promise<SupervisorEnd> {
  const { clock, stop, cut } = options;
  const gaveUp = new AbortController();
  const over = AbortSignal.any([stop, cut, gaveUp.signal]);
  const fleet = workersOf(options, over);
  const ended = new AbortController();
  let message: string | null = null;
  const giveUp = (end: WorkerEnd): void => {
    message ??= end.message ?? `workers die at start (${printEnd(end)}): the lines above say why`;
    gaveUp.abort();
  };
  const places = Array.from({ length: options.settings.processes }, (_, index) =>
    keepPlace(index, { ...options, fleet, over, giveUp }),
  );
  const { reload: source, log } = options;
  if (source) reloadOnWish({ source, settings: fleet.settings, replaceAll: fleet.replaceAll, log });
  whenAborted(over, () => {
    fleet.drain();
    void clock.sleep(KILL_AFTER_MS, ended.signal).then(() => ended.signal.aborted || fleet.kill());
  });
  whenAborted(cut, () => fleet.kill());
  await Promise.all(places);
  ended.abort();
  if (message !== null) return { kind: "gave-up", message };
  return cut.aborted ? { kind: "cut" } : { kind: "drained" };
}

interface Place extends SupervisorOptions {
  readonly fleet: Workers;
  readonly over: AbortSignal;
  readonly giveUp: (end: WorkerEnd) => void;
}

/** Have one worker after another in a place, until all is over. */
async function keepPlace(index: number, { clock, log, fleet, over, giveUp }: Place): Promise<void> {
  let deathsInARow = 0;
  let everReady = false;
  let child: WorkerProcess | null = null;
  while (!over.aborted) {
    const bornAt = clock.now();
    child ??= await fleet.begin(index);
    if (child === null) return;
    const end = await fleet.left(child);
    if (over.aborted) return;
    if ("successor" in end) {
      child = end.successor;
      deathsInARow = 0;
      everReady = true;
      continue;
    }
    everReady ||= end.wasReady;
    deathsInARow = clock.now() - bornAt >= STEADY_MS ? 1 : deathsInARow + 1;
    const fields = { worker: child.worker, index, workerPid: child.pid, deathsInARow, ...end };
    log.error({ component: "supervisor", ...fields }, "worker died");
    child = null;
    const hopeless = end.message !== null && !everReady; // it said what has to be changed
    if (!end.wasReady && !fleet.anyReady() && (hopeless || deathsInARow >= MAX_START_FAILURES))
      return giveUp(end);
    await clock.sleep(RESTART_WAITS_MS[deathsInARow - 1] ?? (RESTART_WAITS_MS.at(-1) as number), over);
  }
}

const DONE: Replaced = { ok: true };

interface Workers {
  /** Start a worker; null: it is over, and none was. */
  begin(index: number): Promise<WorkerProcess | null>;
  /** Resolves when the worker has ended, or another has its place. */
  left(child: WorkerProcess): Promise<WorkerEnd | { readonly successor: WorkerProcess }>;
  readonly settings: () => Settings;
  /** From now on workers have these settings, those that run too. Not ok: they could not start, and nothing has changed. */
  readonly replaceAll: (next: Settings) => Promise<Replaced>;
  anyReady(): boolean;
  drain(): void;
  kill(): void;
}

function workersOf(options: SupervisorOptions, over: AbortSignal): Workers {
  const { clock, log, hostname, workerPath, held } = options;
  let { settings } = options;
  const living = new Map<WorkerId, WorkerProcess>();
  /** Those that another has, or is to have, the place of. */
  const retiring = new Set<WorkerProcess>();
  const successors = new Map<WorkerProcess, PromiseWithResolvers<WorkerProcess>>();
  const ready = (): WorkerProcess[] => [...living.values()].filter((child) => child.listens !== null);
  const metrics = metricsGatherer(ready);
  const inTurn = oneAtATime();
  const dead = new Set<WorkerId>();
  let formerRunRecovered = false;
  let announced = false;

  options.addresses?.onHeld((addresses) => {
    for (const child of living.values())
      if (child.started) child.send({ type: "addresses", held: addresses });
  });

  const recoveryDue = (): boolean => !formerRunRecovered || dead.size > 0;
  const recovery = () => ({ dead: [...dead], living: [...living.keys()] });

  /** Wait until `child` has done it. One that cannot is killed: what it would do later could hit who is not dead. */
  async function recovered(
    child: WorkerProcess,
    those: readonly WorkerId[],
    asked: Promise<boolean>,
  ): Promise<void> {
    if (!(await asked)) return child.kill();
    formerRunRecovered = true;
    for (const worker of those) dead.delete(worker);
    log.info({ component: "supervisor", worker: child.worker, dead: those }, "recovery done");
  }

  async function recoverNow(): Promise<void> {
    const child = ready().find((one) => !retiring.has(one));
    if (!child || !recoveryDue() || over.aborted) return;
    const task = recovery();
    const asked = child.next("recovered", RECOVERY_TIMEOUT_MS);
    child.send({ type: "recover", recovery: task });
    await recovered(child, task.dead, asked);
  }

  async function assign(
    child: WorkerProcess,
    { withRecovery, sockets }: { withRecovery: boolean; sockets: ListeningSockets },
  ): Promise<void> {
    const came = await child.next("hello", START_TIMEOUT_MS);
    if (!came || over.aborted) {
      for (const socket of sockets.values()) socket.close();
      return child.kill();
    }
    for (const [key, socket] of sockets) {
      if (held?.has(key)) socket.close();
      else child.give(key, socket);
    }
    for (const [key, socket] of held?.of(child.index) ?? []) child.lend(key, socket);
    void child.next("ready", START_TIMEOUT_MS).then((isReady) => isReady || child.kill());
    const task = withRecovery ? recovery() : null;
    const asked = task && child.next("recovered", RECOVERY_TIMEOUT_MS);
    const { worker, index } = child;
    const addresses = options.addresses?.held() ?? [];
    child.send({
      type: "start",
      assignment: { worker, index, hostname, addresses, settings, recovery: task },
    });
    if (task && asked) await recovered(child, task.dead, asked);
  }

  function onMessage(child: WorkerProcess, message: FromWorker): void {
    if (message.type === "metrics" && living.has(child.worker))
      metrics.report(child.worker, message.snapshot);
    if (message.type === "totals-request") void metrics.answer(child, message.request);
    if (message.type === "ready") onReady(child);
  }

  function onReady(child: WorkerProcess): void {
    const { worker, index, pid, listens } = child;
    void watchWorker(child, { clock, over }).then((hangs) => {
      if (!hangs) return;
      log.error({ component: "supervisor", worker, index, workerPid: pid }, "worker does not answer");
      child.kill();
    });
    log.info({ component: "supervisor", worker, index, workerPid: pid, listens }, "worker ready");
    void inTurn(recoverNow); // of one that died when nobody could do it
    if (announced || ready().length < settings.processes) return;
    announced = true;
    options.onReady(listens ?? []);
  }

  function onEnd(child: WorkerProcess): void {
    living.delete(child.worker);
    retiring.delete(child);
    successors.delete(child);
    metrics.bury(child.worker);
    if (child.started) dead.add(child.worker);
    void inTurn(recoverNow);
  }

  function begin(index: number, sockets: ListeningSockets): Promise<WorkerProcess | null> {
    return inTurn(async () => {
      if (over.aborted) return null;
      const { dataDir } = settings;
      const child = forkWorker({ path: workerPath, dataDir, hostname, index, clock, onMessage });
      living.set(child.worker, child);
      successors.set(child, Promise.withResolvers());
      void child.ended.then(() => onEnd(child));
      if (recoveryDue() && ready().length === 0) await assign(child, { withRecovery: true, sockets });
      else void assign(child, { withRecovery: false, sockets });
      return child;
    });
  }

  /** Not ok: the new one could not start, and the old one goes on. */
  async function replace(old: WorkerProcess): Promise<Replaced> {
    const sockets = await old.handOver(HAND_OVER_TIMEOUT_MS);
    const child = await begin(old.index, sockets);
    if (child === null) return DONE; // all is over
    if (child.listens === null && !(await child.next("ready", START_TIMEOUT_MS))) {
      child.kill();
      const end = await child.ended;
      const { worker, index, pid } = child;
      log.error({ component: "supervisor", worker, index, workerPid: pid, ...end }, "worker cannot start");
      return over.aborted ? DONE : { ok: false, message: end.message };
    }
    if (!living.has(old.worker)) {
      child.send({ type: "drain", graceMs: GRACE_MS }); // it died meanwhile, and its place was filled
      return DONE;
    }
    retiring.add(old);
    successors.get(old)?.resolve(child);
    old.send({ type: "retire", leisureMs: LEISURE_MS, graceMs: GRACE_MS });
    log.info({ component: "supervisor", worker: old.worker, successor: child.worker }, "worker retires");
    return DONE;
  }

  return {
    begin: (index) => begin(index, new Map()),
    left(child) {
      const successor = successors.get(child)?.promise.then((found) => ({ successor: found }));
      return successor ? Promise.race([child.ended, successor]) : child.ended;
    },
    settings: () => settings,
    async replaceAll(next) {
      const before = settings;
      settings = next;
      for (const old of retiring) old.send({ type: "drain", graceMs: GRACE_MS }); // so that they do not gather
      let replaced = 0;
      for (const old of ready().filter((one) => !retiring.has(one))) {
        if (over.aborted) return DONE;
        const answer = await replace(old);
        if (answer.ok) replaced++;
        else if (replaced === 0) {
          settings = before;
          return answer;
        }
      }
      held?.keepOnly(next.config);
      return DONE;
    },
    anyReady: () => ready().length > 0,
    drain() {
      held?.close();
      for (const child of living.values()) {
        if (child.started) child.send({ type: "drain", graceMs: GRACE_MS });
        else child.kill(); // it has nothing yet
      }
    },
    kill() {
      for (const child of living.values()) child.kill();
    },
  };
}

/** Runs what it is given one after the other. */
function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}

function whenAborted(signal: AbortSignal, action: () => void): void {
  if (signal.aborted) action();
  else signal.addEventListener("abort", action, { once: true });
}

function printEnd({ code, signal }: WorkerEnd): string {
  return signal === null ? `exit code ${code}` : signal;
}
