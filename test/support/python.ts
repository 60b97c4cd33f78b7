/** Python's mail libraries as a second opinion on what we write. Tests that need one skip, and say so, where it is missing. */

import { spawnSync } from "node:child_process";

const PYTHON = "/usr/bin/python3";
const TIMEOUT_MS = 20_000;

/** False: Python has these modules. Otherwise the reason to skip, for `test(name, { skip })`. */
export function pythonLacks(...modules: readonly string[]): string | false {
  const { status } = spawnSync(PYTHON, ["-c", `import ${modules.join(", ")}`], { timeout: TIMEOUT_MS });
  return status === 0 ? false : `${PYTHON} cannot import ${modules.join(", ")}`;
}

/** Run a script of this folder with `input` as JSON on its stdin, and read JSON from its stdout. */
export function runPython(script: string, input: unknown): unknown {
  const path = new URL(script, import.meta.url).pathname;
  const done = spawnSync(PYTHON, [path], {
    input: JSON.stringify(input),
    timeout: TIMEOUT_MS,
    maxBuffer: 64 * 1_024 * 1_024,
  });
  if (done.status !== 0)
    throw new Error(`${script} failed: ${done.stderr?.toString() ?? String(done.error)}`);
  return JSON.parse(done.stdout.toString());
}
