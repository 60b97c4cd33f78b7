/** The command line as a process, in a folder of its own with a configuration. */

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { SECOND } from "#shared/domain/units.ts";
import { patient } from "./patience.ts";

const CLI = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CliFolder extends AsyncDisposable {
  readonly path: string;
  /** `zonefleet.config.json`. */
  configure(config: object): Promise<void>;
  zonefleet(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
}

export async function cliFolder(): Promise<CliFolder> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-cli-"));
  return {
    path,
    configure: (config) => writeFile(join(path, "zonefleet.config.json"), JSON.stringify(config)),
    zonefleet: (args, env = {}) =>
      new Promise((resolve) => {
        const options = { cwd: path, env, timeout: patient(60 * SECOND) };
        execFile(process.execPath, [CLI, ...args], options, (error, out, err) => {
          resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, out, err });
        });
      }),
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
    },
  };
}
