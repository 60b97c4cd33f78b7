/**
 * The value of a configuration that is a program. ZoneMTA runs such a file with all rights of its process; to read it once, it gets a
 * process of its own with Node's permission model: it may read its folder, may write nothing and start nothing, has of the environment
 * only `NODE_ENV`, and 10 seconds. (The network is not closed to it: Node 24 cannot. The file is the operator's own.)
 */

import { fork } from "node:child_process";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";

import { DomainError } from "#shared/domain/errors.ts";
import { SECOND } from "#shared/domain/units.ts";

import type { Tree } from "./tree.ts";
import { isTree } from "./tree.ts";

const TIMEOUT_MS = 10 * SECOND;
const CHILD = join(import.meta.dirname, "evaluate-child.cjs");

export interface Evaluated {
  readonly tree: Tree;
  /** Where values stood that are no data, such as functions. */
  readonly unusable: readonly (readonly string[])[];
}

export async function evaluate(file: string, environment: string): Promise<Evaluated> {
  const child = fork(CHILD, [file], {
    execArgv: ["--permission", `--allow-fs-read=${CHILD}`, `--allow-fs-read=${dirname(file)}/*`],
    env: { NODE_ENV: environment },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let sent: unknown = null;
  child.on("message", (message) => void (sent ??= message));
  const ended = new Promise<string | null>((resolve) => {
    child.once("exit", (_code, signal) => resolve(signal));
  });
  const [complaints, signal] = await Promise.all([child.stderr ? text(child.stderr) : "", ended]);
  const evaluated = sent as Evaluated | null;
  if (evaluated !== null && isTree(evaluated.tree)) return evaluated;
  if (evaluated !== null) throw new DomainError("invalid-config", `${file}: expected it to export an object`);
  throw new DomainError("invalid-config", `${file}: ${whyNot(complaints, signal)}`);
}

function whyNot(complaints: string, signal: string | null): string {
  if (signal === "SIGKILL") return `took longer than ${TIMEOUT_MS / SECOND} seconds`;
  const error = /^\w*Error.*$/m.exec(complaints)?.[0] ?? "it ended without a value";
  return `cannot be evaluated: ${error}`;
}
