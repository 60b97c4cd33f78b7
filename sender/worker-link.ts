/**
 * A worker's end of the channel to its supervisor, from the first word to the last: joins the data folder, starts the worker that
 * it is told to be, does recoveries, sends metrics, drains, ends the process.
 *
 * Signals of a terminal or a service manager reach workers too, and are the supervisor's to answer; a SIGTERM to one worker alone
 * drains that one. A worker without supervisor drains, so that nothing goes on that nobody can stop.
 */

import type { SendHandle } from "node:child_process";
import { flushCompileCache } from "node:module";
import type { Server } from "node:net";

import type { Clock } from "#shared/domain/clock.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { MetricsSnapshot } from "#shared/runtime/metrics.ts";
import { heldAddresses } from "./addresses/held-addresses.ts";
import type { HeldAddresses } from "./addresses/held-addresses.ts";
import { joinDataFolder } from "./data-folder.ts";
import { socketOf } from "./listening-socket.ts";
import type { ListeningSocket, ListeningSockets } from "./listening-socket.ts";
import { repeat } from "./repeat.ts";
import { GRACE_MS } from "./worker-protocol.ts";
import type { Assignment, FromWorker, Listening, Recovery, ToWorker } from "./worker-protocol.ts";
import type { Leisure } from "./worker.ts";

/** How long a worker may take after its grace; then it is ended. */
const END_MS = 4 * SECOND;
/** How far behind the totals may be on a worker that is killed between two scrapes. */
const METRICS_EVERY_MS = 10 * SECOND;
/** A scrape waits this long for the totals. */
const TOTALS_TIMEOUT_MS = 2 * SECOND;
/** Scrapes that wait at once; more are answered by this process alone. */
const MAX_TOTALS_REQUESTS = 64;

/** What a link needs of the worker that runs. */
export interface LinkedWorker {
  readonly listens: readonly Listening[];
  /** What fails is told to `onError`: leases and slots lapse by themselves, only later. */
  recover(recovery: Recovery): Promise<void>;
  snapshot(): Promise<MetricsSnapshot>;
  /** What it listens on, by key. */
  sockets(): ReadonlyMap<string, Server>;
  /** Finish what is in flight within `graceMs`, then let go of everything. With `leisure` clients that are connected have so long before. */
  drain(graceMs: number, leisure?: Leisure): Promise<void>;
  onError(what: string, error: unknown): void;
}

export interface WorkerStart {
  readonly assignment: Assignment;
  /** Kept true for as long as the worker runs. */
  readonly addresses: HeldAddresses;
  /** From the worker whose place this one takes. */
  readonly sockets: ListeningSockets;
  /** To be called when `assignment.recovery` is done, before the worker listens: other workers wait for it. */
  readonly recovered: () => void;
  /** The sum over all processes as text; null: not to be had in time. */
  readonly totals: () => Promise<string | null>;
}

/** What it throws goes to the operator's screen by its message: say what to change. */
export type StartLinkedWorker = (start: WorkerStart) => Promise<LinkedWorker>;

/** Be a worker under the supervisor that forked this process, with the data folder as first argument. Ends the process. */
export async function runUnderSupervisor(start: StartLinkedWorker, clock: Clock): Promise<void> {
  const link = openLink(clock);
  try {
    joinDataFolder(process.argv[2] ?? "");
    await link.send({ type: "hello" });
    const assignment = await Promise.race([link.assignment, link.ending.then(() => null)]);
    if (assignment !== null) await live(link, await start({ ...link, assignment }), clock);
    process.exit(0);
  } catch (error) {
    await link.send({ type: "failed", message: error instanceof Error ? error.message : String(error) });
    process.exit(1);
  }
}

async function live(link: Link, worker: LinkedWorker, clock: Clock): Promise<void> {
  const report = async (): Promise<void> => link.send({ type: "metrics", snapshot: await worker.snapshot() });
  const failed = (what: string) => (error: unknown) => worker.onError(what, error);
  link.serve({
    report: () => report().catch(failed("metrics")),
    handOver: () => handOver(worker.sockets()),
    recover: (recovery) =>
      worker
        .recover(recovery)
        .catch(failed("recovery"))
        .then(() => link.recovered()),
  });
  await link.send({ type: "ready", listens: worker.listens });
  flushCompileCache(); // Node does it at exit, which a worker that is killed never comes to
  const reporting = repeat(clock, METRICS_EVERY_MS, link.ended, report, failed("metrics"));
  const { graceMs, leisure } = await link.ending;
  await worker.drain(graceMs, leisure);
  await Promise.all([reporting, report()]);
}

/** What a worker that runs does when it is told to. */
interface Services {
  report(): Promise<void>;
  handOver(): Promise<void>;
  recover(recovery: Recovery): Promise<void>;
}

interface Ending {
  readonly graceMs: number;
  readonly leisure: Leisure | undefined;
}

interface Link {
  readonly assignment: Promise<Assignment>;
  readonly addresses: HeldAddresses;
  readonly sockets: ListeningSockets;
  /** Resolves when the worker has to end. */
  readonly ending: Promise<Ending>;
  /** Aborts then too. */
  readonly ended: AbortSignal;
  /** Resolves when the message has left, or can no longer. */
  send(message: FromWorker): Promise<void>;
  recovered(): void;
  totals(): Promise<string | null>;
  serve(services: Services): void;
}

function openLink(clock: Clock): Link {
  if (process.send === undefined) throw new Error("a worker is started by sender/main.ts, never by itself");
  const assigned = Promise.withResolvers<Assignment>();
  const end = endOfWorker(clock);
  const requests = new Map<number, (text: string) => void>();
  const sockets = new Map<string, ListeningSocket>();
  const addresses = heldAddresses(clock);
  let lastRequest = 0;
  let services: Services | null = null;

  process.on("message", (message: ToWorker, socket?: unknown) => {
    switch (message.type) {
      case "start":
        addresses.replace(message.assignment.addresses);
        return assigned.resolve(message.assignment);
      case "addresses":
        return addresses.replace(message.held);
      case "socket":
        if (socket !== undefined) sockets.set(message.key, socket as ListeningSocket);
        return;
      case "hand-over":
        return void services?.handOver();
      case "retire":
        return end.ask(message.graceMs, message.leisureMs);
      case "drain":
        return end.ask(message.graceMs);
      case "recover":
        return void services?.recover(message.recovery);
      case "ping":
        return void send({ type: "pong" });
      case "metrics-request":
        return void services?.report();
      case "totals":
        return requests.get(message.request)?.(message.text);
    }
  });

  return {
    assignment: assigned.promise,
    addresses,
    sockets,
    ending: end.asked,
    ended: end.signal,
    send,
    recovered: () => void send({ type: "recovered" }),
    async totals() {
      if (requests.size >= MAX_TOTALS_REQUESTS || !process.connected) return null;
      const request = ++lastRequest;
      const answered = new AbortController();
      let answer: string | null = null;
      requests.set(request, (text) => {
        answer = text;
        answered.abort();
      });
      void send({ type: "totals-request", request });
      await clock.sleep(TOTALS_TIMEOUT_MS, answered.signal);
      requests.delete(request);
      return answer;
    },
    serve(those) {
      services = those;
    },
  };
}

async function handOver(servers: ReadonlyMap<string, Server>): Promise<void> {
  for (const [key, server] of servers) {
    const socket = socketOf(server);
    if (socket) await send({ type: "socket", key }, socket);
  }
  await send({ type: "sockets" });
}

function send(message: FromWorker, socket?: ListeningSocket): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve();
    process.send(message, socket as SendHandle | undefined, {}, () => resolve()); // an error: the supervisor is gone, which `disconnect` tells
  });
}

/** The first word to end counts; a later one only ends the leisure. From then on the process ends, at the latest a little after its grace. */
function endOfWorker(clock: Clock) {
  const asked = Promise.withResolvers<Ending>();
  const ended = new AbortController();
  const hurry = new AbortController();
  const ask = (graceMs: number, leisureMs = 0): void => {
    if (leisureMs === 0) hurry.abort();
    if (ended.signal.aborted) return;
    ended.abort();
    asked.resolve({
      graceMs,
      leisure: leisureMs === 0 ? undefined : { forMs: leisureMs, hurry: hurry.signal },
    });
    void clock
      .sleep(leisureMs, hurry.signal)
      .then(() => clock.sleep(graceMs + END_MS))
      .then(() => process.exit(1));
  };
  process.on("disconnect", () => ask(GRACE_MS));
  process.on("SIGTERM", () => ask(GRACE_MS));
  process.on("SIGHUP", () => undefined); // a terminal tells all of them; the supervisor reads the configuration
  process.on("SIGINT", () => undefined); // Ctrl-C goes to all; the supervisor says what follows from it
  return { asked: asked.promise, signal: ended.signal, ask };
}
