/**
 * The value of a configuration that is a program. ZoneMTA runs such a file with all rights of its process; to read it once, it gets a
 * process of its own with Node's permission model: it may read the folder of ZoneMTA and those that the operator names, may write
 * nothing and start nothing, and has 10 seconds. It has the environment, as it has in ZoneMTA, and what it asks of it is told. (The
 * network is not closed to it: Node 24 cannot. The file is the operator's own.)
 */

import { fork } from "node:child_process";
import { realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { text } from "node:stream/consumers";

import { DomainError } from "#shared/domain/errors.ts";
import { SECOND } from "#shared/domain/units.ts";

import type { Value } from "./tree.ts";
import { isValue } from "./tree.ts";

const TIMEOUT_MS = 10 * SECOND;
const CHILD = join(import.meta.dirname, "evaluate-child.cjs");

export interface ReadOptions {
  /** What NODE_ENV was for that ZoneMTA. */
  readonly environment: string;
  /** Variables that its modules may ask for. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** The folder where that ZoneMTA was started; null: the one that the file lies in, or the one above `config`. */
  readonly root: string | null;
  /** Folders that its modules may read besides that. */
  readonly readable: readonly string[];
}

export interface Evaluated {
  readonly value: Value;
  /** Where values stood that are no data, such as functions. */
  readonly unusable: readonly (readonly string[])[];
  /** Variables of the environment that it asked for: those that have a value, and those that have none. */
  readonly set: readonly string[];
  readonly unset: readonly string[];
}

export async function evaluate(file: string, options: ReadOptions): Promise<Evaluated> {
  const { NODE_OPTIONS: _, ...variables } = options.variables; // they would take the permissions apart
  const root = options.root ?? rootOf(file);
  const readable = await withRealPaths([root, dirname(file), ...options.readable]);
  const child = fork(CHILD, [file], {
    execArgv: [
      "--permission",
      `--allow-fs-read=${CHILD}`,
      ...readable.map((folder) => `--allow-fs-read=${folder}/*`),
    ],
    cwd: root,
    env: { ...variables, NODE_ENV: options.environment },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let sent: unknown = null;
  child.on("message", (message) => void (sent ??= message));
  const ended = new Promise<string | null>((done) => {
    child.once("exit", (_code, signal) => done(signal));
  });
  const [complaints, signal] = await Promise.all([child.stderr ? text(child.stderr) : "", ended]);
  const evaluated = sent as Evaluated | null;
  if (evaluated !== null && typeof evaluated.value === "object" && isValue(evaluated.value)) return evaluated;
  if (evaluated !== null) throw new DomainError("invalid-config", `${file}: expected it to export an object`);
  throw new DomainError("invalid-config", `${file}: ${whyNot(complaints, signal)}`);
}

/** Modules are read by their real paths, what a module reads itself is not. */
async function withRealPaths(folders: readonly string[]): Promise<string[]> {
  const real = folders.map((folder) => realpath(folder).catch(() => folder));
  return [...new Set([...folders.map((folder) => resolve(folder)), ...(await Promise.all(real))])];
}

function whyNot(complaints: string, signal: string | null): string {
  if (signal === "SIGKILL") return `took longer than ${TIMEOUT_MS / SECOND} seconds`;
  const closed = /permission: 'FileSystemRead'[^]*?resource: '([^']+)'/.exec(complaints)?.[1];
  if (closed !== undefined) return `reads ${closed}; --allow-read ${dirname(closed)} lets it`;
  const error = /^\w*Error.*$/m.exec(complaints)?.[0] ?? "it ended without a value";
  return `cannot be evaluated: ${error}`;
}

/** ZoneMTA is started in the folder that has `config` in it. */
export function rootOf(mainFile: string): string {
  const folder = dirname(mainFile);
  return basename(folder) === "config" ? dirname(folder) : folder;
}
