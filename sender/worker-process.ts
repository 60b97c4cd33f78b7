/** The supervisor's end of one worker: its process, the channel to it, and how it ended. */

import type { ChildProcess, SendHandle } from "node:child_process";
import { fork } from "node:child_process";
import nodeProcess from "node:process";
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";

import type { Clock } from "#shared/domain/clock.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { workerId } from "#shared/domain/ids.ts";
import type { ListeningSocket, ListeningSockets } from "./listening-socket.ts";
import type { FromWorker, Listening, ToWorker } from "./worker-protocol.ts";

export interface WorkerProcess {
  readonly worker: WorkerId;
  readonly index: number;
  readonly pid: number;
  /** What it listens on; null: it is not ready yet. */
  readonly listens: readonly Listening[] | null;
  /** True: it was told to start, so it may have leases and slots. */
  readonly started: boolean;
  readonly ended: Promise<WorkerEnd>;
  send(message: ToWorker): void;
  /** Hand a socket on; ours is closed. */
  give(key: string, socket: ListeningSocket): void;
  /** Let it listen on a socket that stays ours. */
  lend(key: string, socket: ListeningSocket): void;
  /** Its listening sockets. None when it ended, or `withinMs` went by. */
  handOver(withinMs: number): Promise<ListeningSockets>;
  /** The next message of that type: true; it ended, or `withinMs` went by: false. */
  next(type: FromWorker["type"], withinMs: number): Promise<boolean>;
  kill(): void;
}

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly wasReady: boolean;
  /** Why it could not start, in its own words; null: it did not say. */
  readonly message: string | null;
}

export interface ForkOptions {
  readonly path: string;
  readonly dataDir: string;
  readonly hostname: string;
  readonly index: number;
  readonly clock: Clock;
  readonly onMessage: (from: WorkerProcess, message: FromWorker) => void;
}

/**
 * Mail is short-lived: with V8's own sizes a busy worker lets 120 MB of dead buffers and rows gather before it looks at them, and
 * the C library keeps a heap for each of Node's threads. These two bring a worker under load from 350 to 200 MB at no cost in speed.
 */
const YOUNG_SPACE = "--max-semi-space-size=4";

/**
 * Where workers keep their compiled sources: from the second start on a worker is ready in half the time and 20 MB smaller, as it
 * needs no type stripper. In the data folder, which is its owner's alone: what lies there is run, so it is not used by anybody else,
 * root included.
 */
const COMPILE_CACHE = "compile-cache";

export function forkWorker(options: ForkOptions): WorkerProcess {
  const child = fork(options.path, [options.dataDir], {
    serialization: "advanced", // the configuration has maps
    execArgv: [...nodeProcess.execArgv, YOUNG_SPACE],
    env: {
      MALLOC_ARENA_MAX: "2",
      ...(isOurs(options.dataDir) && { NODE_COMPILE_CACHE: join(options.dataDir, COMPILE_CACHE) }),
      ...nodeProcess.env,
    },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const pid = child.pid ?? 0; // none: it could not be made, and `error` follows
  const listeners = new Set<(type: FromWorker["type"] | null) => void>();
  const told = (type: FromWorker["type"] | null): void => {
    for (const listener of listeners) listener(type);
  };
  const state: ProcessState = {
    sockets: new Map(),
    listens: null,
    started: false,
    message: null,
  };
  const process: WorkerProcess = {
    worker: workerId(options.hostname, pid, randomBytes(4)),
    index: options.index,
    pid,
    get listens() {
      return state.listens;
    },
    get started() {
      return state.started;
    },
    ended: endOf(child).then((end) => {
      told(null);
      return { ...end, wasReady: state.listens !== null, message: state.message ?? end.message };
    }),
    send(message) {
      if (message.type === "start") state.started = true;
      if (child.connected) child.send(message, () => undefined); // an error: it has ended, which `ended` tells
    },
    give(key, socket) {
      const message: ToWorker = { type: "socket", key };
      if (!child.connected) return socket.close();
      child.send(message, socket as unknown as SendHandle, () => socket.close());
    },
    lend(key, socket) {
      const message: ToWorker = { type: "socket", key };
      if (child.connected) child.send(message, socket as unknown as SendHandle, () => undefined); // an error: as for `send`
    },
    async handOver(withinMs) {
      const all = nextOf(listeners, "sockets", options.clock, withinMs);
      process.send({ type: "hand-over" });
      await all;
      const given = new Map(state.sockets);
      state.sockets.clear();
      return given;
    },
    next: (type, withinMs) => nextOf(listeners, type, options.clock, withinMs),
    kill: () => void child.kill("SIGKILL"),
  };
  child.on("message", (message: FromWorker, socket?: unknown) => {
    if (message.type === "socket" && socket !== undefined)
      state.sockets.set(message.key, socket as ListeningSocket);
    if (message.type === "ready") state.listens = message.listens;
    if (message.type === "failed") state.message = message.message;
    options.onMessage(process, message);
    told(message.type);
  });
  return process;
}

function isOurs(folder: string): boolean {
  return statSync(folder).uid === nodeProcess.geteuid?.();
}

interface ProcessState {
  listens: readonly Listening[] | null;
  started: boolean;
  message: string | null;
  readonly sockets: Map<string, ListeningSocket>;
}

async function nextOf(
  listeners: Set<(type: FromWorker["type"] | null) => void>,
  type: FromWorker["type"],
  clock: Clock,
  withinMs: number,
): Promise<boolean> {
  let came = false;
  const over = new AbortController();
  const listener = (told: FromWorker["type"] | null): void => {
    if (told !== type && told !== null) return;
    came = told === type;
    over.abort();
  };
  listeners.add(listener);
  await clock.sleep(withinMs, over.signal);
  listeners.delete(listener);
  return came;
}

function endOf(child: ChildProcess): Promise<Omit<WorkerEnd, "wasReady">> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal, message: null }));
    child.on("error", (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, message: error.message });
    });
  });
}
