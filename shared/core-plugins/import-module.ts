/** Finds and imports the module of a plugin on this machine. Lambdas do not: theirs are in their bundles (lambdas/build.ts). */

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { PluginConfig, PluginSource } from "../domain/config.ts";
import { CORE_MODULES } from "./table.ts";

export async function importPlugin({ source }: PluginConfig): Promise<unknown> {
  if (source.kind === "core") return coreModule(source.name);
  return import(pathToFileURL(pathOfModule(source)).href);
}

/** Where the module of a plugin that is not our own lies. Throws when a package is not installed. */
export function pathOfModule(source: Exclude<PluginSource, { kind: "core" }>): string {
  if (source.kind === "file") return source.path;
  return createRequire(join(source.baseDir, "package.json")).resolve(source.name);
}

function coreModule(name: string): Promise<unknown> {
  const load = CORE_MODULES[name];
  if (!load) throw new Error(`there is no core plugin of that name`);
  return load();
}
