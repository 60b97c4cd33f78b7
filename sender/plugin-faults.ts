/**
 * What plugins throw where nobody can catch it: in a timer, in a listener of their own. When their code is on the stack and none of ours
 * is, nothing of ours was left half done, so the process goes on and the log says whose fault it is; a hook that waits for what was
 * thrown away runs out of time. Anything else ends the process, as it does without plugins.
 */

import { realpathSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { inspect } from "node:util";

import { pathOfModule } from "#shared/core-plugins/import-module.ts";
import type { PluginConfig } from "#shared/domain/config.ts";
import type { Logger } from "#shared/runtime/log.ts";

/** Of this process, for good. */
export function outlivePluginFaults(plugins: readonly PluginConfig[], log: Logger): void {
  const folders = plugins.flatMap(foldersOf);
  if (folders.length === 0) return;
  process.on("uncaughtException", (error, origin) => {
    const plugin = culprit(error, folders, origin);
    if (plugin === null) {
      process.stderr.write(`${inspect(error)}\n`);
      process.exit(1);
    }
    log.error({ component: "plugin", plugin, err: error }, "plugin has thrown where nobody catches it");
  });
}

interface PluginFolder {
  readonly key: string;
  /** With a slash at its end. */
  readonly folder: string;
}

/** None of one that is ours, nor of an optional one that is not there. */
export function foldersOf({ key, source }: PluginConfig): PluginFolder[] {
  if (source.kind === "core") return [];
  try {
    return [{ key, folder: dirname(realpathSync(pathOfModule(source))) + sep }];
  } catch {
    return [];
  }
}

const HERE = import.meta.dirname + sep;
const OUR_FOLDERS = ["sender", "shared", "lambdas"].map((name) => join(HERE, "..", name) + sep);

/** In a bundle all of our files are those beside this one. */
function isOurs(frame: string): boolean {
  if (import.meta.filename.endsWith(".ts")) return OUR_FOLDERS.some((folder) => frame.includes(folder));
  const at = frame.indexOf(HERE);
  return at !== -1 && /^[^/\\]+\.mjs:/.test(frame.slice(at + HERE.length));
}

/** Packages below it are nobody's: we use some of them too. */
function isIn(folder: string, frame: string): boolean {
  const at = frame.indexOf(folder);
  return at !== -1 && !frame.slice(at + folder.length).includes(`node_modules${sep}`);
}

/**
 * The plugin that alone is on the stack, or of a promise that nobody waits for, which unwinds nothing, is its top; null: the fault may
 * be ours.
 */
export function culprit(
  error: unknown,
  folders: readonly PluginFolder[],
  origin: NodeJS.UncaughtExceptionOrigin,
  isOur = isOurs,
): string | null {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
  const owners = frames.flatMap((frame) => {
    if (isOur(frame)) return [null]; // first: plugins may lie in the folder that ours does
    const plugin = folders.find(({ folder }) => isIn(folder, frame));
    return plugin ? [plugin.key] : [];
  });
  const isOurs = origin === "uncaughtException" && owners.includes(null);
  return isOurs ? null : (owners[0] ?? null);
}
