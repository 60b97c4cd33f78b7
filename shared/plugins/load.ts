/**
 * Loads the plugins of a process, in their order. A plugin that cannot be loaded stops the start, with an error that names it: mail
 * that it was to look at would go out unseen. One that is `optional` is left out, which is logged.
 */

import { AsyncLocalStorage } from "node:async_hooks";

import type { Clock } from "../domain/clock.ts";
import type { PluginConfig } from "../domain/config.ts";
import { DomainError } from "../domain/errors.ts";
import { MINUTE } from "../domain/units.ts";
import type { PluginApp, PluginLimits } from "./app.ts";
import { pluginApp } from "./app.ts";
import { callHandler } from "./call.ts";
import * as mime from "./mime.ts";
import type { PluginLog, Plugins } from "./plugins.ts";
import { emptyRegistry, pluginsOf } from "./plugins.ts";
import type { LogEntry } from "./views.ts";

/** What the module of a plugin exports, by name or as its default, as CommonJS does. */
export interface PluginModule {
  readonly title?: string;
  readonly init: (app: PluginApp, done: (error?: unknown) => void) => unknown;
}

export interface LoadDeps {
  /** Resolves with what the module exports. */
  readonly importModule: (plugin: PluginConfig) => Promise<unknown>;
  readonly clock: Clock;
  readonly log: PluginLog;
  readonly limits: PluginLimits;
  /** Told of events of mail that plugins tell of, besides the log and `log:entry`; left out: nobody. */
  readonly onEntry?: (entry: LogEntry) => void;
}

const INIT_TIMEOUT_MS = MINUTE;

/** Rejects with a `DomainError` of code `invalid-config` that names the plugin. */
export async function loadPlugins(configs: readonly PluginConfig[], deps: LoadDeps): Promise<Plugins> {
  const registry = emptyRegistry();
  let plugins: Plugins | null = null;
  const answering = new AsyncLocalStorage<LogEntry>();
  const onEntry = (entry: LogEntry): void => {
    deps.onEntry?.(entry);
    if (answering.getStore()) return; // a hook on log:entry that tells of something at each entry would hear of that for ever
    void answering.run(entry, async () => plugins?.tell("log:entry", entry));
  };
  for (const plugin of configs) {
    const absent: string[] = [];
    const onAbsent = (name: string, instead: string): void =>
      void absent.push(`; app.${name} is not here: ${instead}`);
    try {
      await loadOne(plugin, pluginApp(plugin, { ...deps, registry, onEntry, onAbsent }), deps);
    } catch (error) {
      const reason = (error instanceof Error ? error.message : String(error)) + absent.join("");
      if (!plugin.optional) throw notLoaded(plugin, reason, error);
      forget(registry, plugin);
      deps.log.error(
        { component: "plugin", plugin: plugin.key, err: error },
        "plugin left out: it cannot be loaded",
      );
    }
  }
  plugins = pluginsOf(registry, { ...deps, mime });
  return plugins;
}

async function loadOne(
  plugin: PluginConfig,
  app: PluginApp,
  { importModule, clock, log }: LoadDeps,
): Promise<void> {
  const { init, title = plugin.key } = moduleIn(await importModule(plugin));
  const options = { clock, plugin: plugin.key, what: "its init", timeoutMs: INIT_TIMEOUT_MS };
  await callHandler(init as (...args: unknown[]) => unknown, [app], options);
  log.info({ component: "plugin", plugin: plugin.key, title, contexts: plugin.contexts }, "plugin loaded");
}

/** `init` stands among the exports, or in the default one. */
export function moduleIn(exported: unknown): PluginModule {
  for (const candidate of [exported, (exported as { default?: unknown } | null)?.default]) {
    if (typeof candidate !== "object" || candidate === null) continue;
    const { init } = candidate as Partial<PluginModule>;
    if (typeof init === "function") return candidate as PluginModule;
  }
  throw new Error("it exports no function init");
}

function forget(registry: Plugins["registry"], plugin: PluginConfig): void {
  for (const [name, handlers] of registry.hooks) {
    const left = handlers.filter((one) => one.plugin !== plugin);
    if (left.length > 0) registry.hooks.set(name, left);
    else registry.hooks.delete(name);
  }
  for (const list of [registry.analyzers, registry.rewriters, registry.streamers, registry.routes] as {
    plugin: PluginConfig;
  }[][]) {
    list.splice(0, list.length, ...list.filter((one) => one.plugin !== plugin));
  }
}

function notLoaded({ key }: PluginConfig, reason: string, cause: unknown): DomainError {
  const text = `plugin ${key} cannot be loaded: ${reason}; repair it, or give it enabled: false or optional: true`;
  const error = new DomainError("invalid-config", text, `plugins[${JSON.stringify(key)}]`);
  error.cause = cause;
  return error;
}
