/** From the table of plugins to the modules that are to be loaded, in the order in which their hooks run. */

import { statSync } from "node:fs";
import { resolve } from "node:path";

import type { PluginConfig, PluginSource } from "../domain/config.ts";
import { MODULE_KEYS, OwnPluginSchema } from "./config-core-plugins.ts";
import type { Report } from "./config-errors.ts";
import { problemsOf } from "./config-errors.ts";
import type { ConfigSettings } from "./config-schema.ts";
import { foreignPackage } from "./zonemta-keys.ts";

interface Context {
  readonly baseDir: string;
  readonly report: Report;
}

/** Tried in this order after the path as it is written. */
const ENDINGS = ["", ".ts", ".js", ".mjs", ".cjs", "/index.ts", "/index.js"];
const PACKAGE = /^modules?\/(.+)$/;

export function pluginsOf(
  settings: Pick<ConfigSettings, "plugins" | "pluginsPath">,
  context: Context,
): PluginConfig[] {
  const { plugins } = settings;
  const isModule = (key: string): boolean => (MODULE_KEYS as readonly string[]).includes(key);
  const found = Object.entries(plugins).flatMap(([key, options]) => {
    if (key.startsWith("core/") && !isModule(key)) return [];
    const read = key.startsWith("core/") ? (options as Settings) : ownPlugin(key, options, context.report);
    if (!read || read.enabled.length === 0) return [];
    const foreign = foreignPackage(key);
    if (foreign === null) return [{ key, options: read }];
    context.report(["plugins", key], foreign);
    return [];
  });
  return found
    .toSorted((one, other) => orderOf(one.options) - orderOf(other.options))
    .flatMap(({ key, options }) => {
      const source = sourceOf(key, settings.pluginsPath, context);
      return source === null ? [] : [pluginOf(key, source, options)];
    });
}

interface Settings {
  readonly enabled: PluginConfig["contexts"];
  readonly ordering?: number | undefined;
  readonly optional: boolean;
  readonly hookTimeout?: number | undefined;
}

/** Null: it is wrong, and that is reported. */
function ownPlugin(key: string, input: unknown, report: Report): Settings | null {
  const path = ["plugins", key];
  const parsed = OwnPluginSchema.safeParse(input, { reportInput: true });
  if (!parsed.success) {
    for (const problem of problemsOf(parsed.error.issues, OwnPluginSchema))
      report([...path, ...problem.path], problem.message);
    return null;
  }
  const strange = notData(input, path);
  if (strange === null) return parsed.data;
  report(strange, "is not data: options of a plugin are what JSON can hold, as they go to other processes");
  return null;
}

/** Sorting is stable: equal ones, and those without a number, keep the order of the file. */
function orderOf({ ordering }: Settings): number {
  return ordering ?? Number.MAX_SAFE_INTEGER;
}

function pluginOf(key: string, source: PluginSource, settings: Settings): PluginConfig {
  return {
    key,
    source,
    contexts: settings.enabled,
    optional: settings.optional,
    hookTimeoutMs: settings.hookTimeout ?? null,
    options: JSON.parse(JSON.stringify(settings)) as PluginConfig["options"],
  };
}

function sourceOf(
  key: string,
  pluginsPath: string | undefined,
  { baseDir, report }: Context,
): PluginSource | null {
  if (key.startsWith("core/")) return { kind: "core", name: key.slice("core/".length) };
  const name = PACKAGE.exec(key)?.[1];
  if (name !== undefined) return { kind: "package", name, baseDir };
  const base = resolve(baseDir, pluginsPath ?? ".", key);
  const path = ENDINGS.map((ending) => base + ending).find(isFile);
  if (path !== undefined) return { kind: "file", path };
  report(["plugins", key], `there is no module ${base}; name a file, core/…, or modules/… for a package`);
  return null;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Where there is something that JSON cannot hold; null: nowhere. */
function notData(value: unknown, path: readonly PropertyKey[]): readonly PropertyKey[] | null {
  if (value === null || ["string", "boolean", "undefined"].includes(typeof value)) return null;
  if (typeof value === "number") return Number.isFinite(value) ? null : path;
  if (typeof value !== "object") return path;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return path;
  for (const [key, child] of Object.entries(value) as [string, unknown][]) {
    const strange = notData(child, [...path, key]);
    if (strange !== null) return strange;
  }
  return null;
}
