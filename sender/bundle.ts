/**
 * Bundles a sender for AWS hosts into a folder: its processes, the command line, and the checked configuration without its secrets.
 * A host needs Node 24 and this folder: no packages, no build, and nothing from the network at start.
 *
 * The embedded store stays behind (its database is a native module): these hosts keep nothing.
 */

import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import type { Config } from "#shared/domain/config.ts";
import { DEPLOYED_SUFFIX, printDeployedConfig } from "#shared/runtime/deployed-config.ts";

/** What ZONEFLEET_CONFIG is to say on the host, in the folder. */
export const SENDER_CONFIG_FILE = `zonefleet${DEPLOYED_SUFFIX}`;

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const ENTRY_POINTS = {
  main: "sender/main.ts",
  "worker-main": "sender/worker-main.ts",
  zonefleet: "cli/main.ts",
};
/** Native, and loaded by the embedded store alone. */
const NEVER_LOADED = ["lmdb", "esbuild"];
/** CommonJS packages in an ES module ask for Node's own modules by `require`. */
const BANNER =
  'import{createRequire as requireOf}from"node:module";const require=requireOf(import.meta.url);';

/** `outDir` is made anew. */
export async function bundleSender({ outDir, config }: { outDir: string; config: Config }): Promise<void> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  await build({
    absWorkingDir: ROOT,
    entryPoints: ENTRY_POINTS,
    outdir: outDir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true, // what is imported when it is wanted stays apart
    format: "esm",
    platform: "node",
    target: "node24",
    mainFields: ["module", "main"],
    sourcemap: "linked", // for the traces in the log of a fault
    legalComments: "none",
    external: NEVER_LOADED,
    banner: { js: BANNER },
    logLevel: "error",
  });
  await writeFile(join(outDir, SENDER_CONFIG_FILE), printDeployedConfig(config));
}
