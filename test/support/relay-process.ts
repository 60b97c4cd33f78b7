/**
 * The relay as an operator runs it: `node sender/main.ts` in a process of its own, with its workers, on a scratch data folder.
 * It can be asked to end, killed in part or as a whole, and started again on the same folder. What it says is kept for the test.
 */

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { SECOND } from "#shared/domain/units.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { patient } from "./patience.ts";
import type { Listening } from "../../sender/worker-protocol.ts";

const ROOT = join(import.meta.dirname, "../..");
const START_TIMEOUT_MS = patient(30 * SECOND);
const END_TIMEOUT_MS = patient(60 * SECOND);
/** Of what was said on each stream, for the message of a failure. */
const KEPT_LINES = 2_000;

/** A folder of the test's own, with a data folder in it. Removed at the end. */
export interface Scratch extends AsyncDisposable {
  readonly folder: string;
  readonly data: string;
}

export interface ProcessOptions {
  readonly scratch: Scratch;
  /** Over the defaults of a test: free ports, no sandbox, local targets allowed. A text is taken for the file as it is. */
  readonly config?: ConfigInput | string;
  readonly processes?: number;
  /** Default: the program itself. */
  readonly command?: readonly string[];
  /** Over everything else. Undefined: not set. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A line of the log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** `node sender/main.ts`, whatever becomes of it. */
export interface MainProcess extends AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** What was said to the person at the screen. */
  screen(): string;
  /** The newest lines of the log. */
  readonly log: readonly LogLine[];
  onLog(listener: (line: LogLine) => void): void;
  /** To the supervisor alone. */
  signal(name: NodeJS.Signals): void;
  /** SIGKILL to supervisor and workers at once. Resolves when all are gone. */
  killAll(): Promise<void>;
  /** Resolves when no process of it is left, the workers that outlive a supervisor included. */
  allGone(): Promise<void>;
}

/** One that has started. */
export interface RelayProcess extends MainProcess {
  /** Of the first SMTP interface. */
  readonly smtpPort: number;
  /** Of the interface `lmtp`; 0: there is none. */
  readonly lmtpPort: number;
  readonly httpUrl: string;
  /** Workers that are ready and have not died: process ids by worker id. */
  workers(): ReadonlyMap<string, number>;
  /** Workers that became ready since the start, those that died included. */
  workersEver(): number;
}

export async function scratchFolder(): Promise<Scratch> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-faults-"));
  return {
    folder,
    data: join(folder, "data"),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** Start the program; it may well end at once. */
export async function startMain({
  scratch,
  config = {},
  processes = 2,
  env,
  command = [process.execPath, "sender/main.ts"],
}: ProcessOptions): Promise<MainProcess> {
  const configFile = join(scratch.folder, "zonefleet.config.json");
  await writeFile(configFile, typeof config === "string" ? config : JSON.stringify(withDefaults(config)));
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: ROOT,
    detached: true, // a process group of its own: it is killed as a whole
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      NODE_OPTIONS: "",
      ZONEFLEET_CONFIG: configFile,
      ZONEFLEET_DATA: scratch.data,
      ZONEFLEET_PROCESSES: String(processes),
      ZONEFLEET_BACKEND: "embedded",
      LOG_LEVEL: "info",
      ...env,
    },
  });
  return mainProcess(child);
}

/** Start the program and wait until all its workers listen. Throws with what it said when it does not come to that. */
export async function startRelayProcess(options: ProcessOptions): Promise<RelayProcess> {
  const main = await startMain(options);
  const living = new Map<string, number>();
  let ever = 0;
  const started = new Promise<readonly Listening[]>((resolve) => {
    main.onLog((line) => {
      if (line["component"] !== "supervisor") return;
      if (line.msg === "worker died") living.delete(String(line["worker"]));
      if (line.msg !== "worker ready") return;
      ever++;
      living.set(String(line["worker"]), Number(line["workerPid"]));
      if (living.size === (options.processes ?? 2)) resolve(line["listens"] as readonly Listening[]);
    });
  });
  const listens = await within(START_TIMEOUT_MS, Promise.race([started, main.ended.then(() => null)]));
  if (!listens) {
    const said = `${main.screen()}\n${main.log.map((line) => JSON.stringify(line)).join("\n")}`;
    await main[Symbol.asyncDispose]();
    throw new Error(`the relay did not start:\n${said}`);
  }
  const portOf = (kind: Listening["kind"]): number => listens.find((each) => each.kind === kind)?.port ?? 0;
  return {
    ...main,
    smtpPort: portOf("smtp"),
    lmtpPort: listens.find(({ name }) => name === "lmtp")?.port ?? 0,
    httpUrl: `http://127.0.0.1:${portOf("http")}`,
    workers: () => living,
    workersEver: () => ever,
  };
}

/** Ask until the answer is not null. Throws, saying `what` did not come, when it takes too long. */
export async function eventually<T>(
  what: string,
  patienceMs: number,
  ask: () => Promise<T | null> | T | null,
): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > deadline) throw new Error(`${what} did not come in ${patienceMs} ms`);
    await systemClock.sleep(50);
  }
}

/** Most memory that a process has held at once. Null: the system does not tell (only Linux does). */
export async function peakMemoryBytes(pid: number): Promise<number | null> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? [];
  return kib === undefined ? null : Number(kib) * 1_024;
}

function mainProcess(child: ChildProcess): MainProcess {
  const pid = child.pid ?? 0;
  const screen: string[] = [];
  const log: LogLine[] = [];
  const listeners: ((line: LogLine) => void)[] = [];
  const ended = once(child, "exit").then(([code, signal]): Ended => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  eachLine(child.stderr, (line) => keep(screen, line));
  eachLine(child.stdout, (line) => {
    const parsed = logLine(line);
    keep(log, parsed);
    for (const listener of listeners) listener(parsed);
  });
  const allGone = async (): Promise<void> => {
    await eventually("the end of all processes", END_TIMEOUT_MS, () => (isGone(pid) ? true : null));
    await ended;
  };
  const killAll = async (): Promise<void> => {
    if (!isGone(pid)) process.kill(-pid, "SIGKILL");
    await allGone();
  };
  return {
    pid,
    ended,
    screen: () => screen.join("\n"),
    log,
    onLog: (listener) => void listeners.push(listener),
    signal: (name) => void child.kill(name),
    killAll,
    allGone,
    [Symbol.asyncDispose]: killAll,
  };
}

/** True: no process is left in the group. */
function isGone(group: number): boolean {
  try {
    process.kill(-group, 0);
    return false;
  } catch {
    return true;
  }
}

function eachLine(stream: NodeJS.ReadableStream | null, listener: (line: string) => void): void {
  if (stream) createInterface({ input: stream }).on("line", listener);
}

function keep<T>(lines: T[], line: T): void {
  lines.push(line);
  if (lines.length > KEPT_LINES) lines.shift();
}

function logLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return { level: "none", msg: text };
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  const over = new AbortController();
  try {
    return await Promise.race([promise, systemClock.sleep(ms, over.signal).then(() => null)]);
  } finally {
    over.abort();
  }
}

/** A configuration of a test, with doors on loopback at any port, and destinations on loopback allowed. */
export function withDefaults(config: ConfigInput): ConfigInput {
  return {
    smtpInterfaces: { feeder: { host: "127.0.0.1", port: 0 } },
    ...config,
    api: { host: "127.0.0.1", port: 0, ...config.api },
    dns: { blockLocalAddresses: false, ...config.dns },
  };
}
