/** Plugins of a test, given as functions. */

import type { Clock } from "#shared/domain/clock.ts";
import type { PluginConfig } from "#shared/domain/config.ts";
import { loadPlugins } from "#shared/plugins/load.ts";
import type { PluginLimits } from "#shared/plugins/app.ts";
import type { PluginModule } from "#shared/plugins/load.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import { collectingLog, hastyClock } from "./feeder-harness.ts";
import type { LogLine } from "./feeder-harness.ts";

export function pluginConfig(fields: Partial<PluginConfig> = {}): PluginConfig {
  return {
    key: "it",
    source: { kind: "file", path: "/nowhere/it.js" },
    contexts: ["receiver", "main", "sender"],
    optional: false,
    hookTimeoutMs: null,
    options: {},
    ...fields,
  };
}

export interface LoadedPlugins {
  readonly plugins: Plugins;
  readonly lines: readonly LogLine[];
}

export interface LoadedOptions {
  readonly clock?: Clock;
  readonly fields?: Partial<PluginConfig>;
  /** Left out: nothing can be counted. */
  readonly limits?: PluginLimits;
}

export const NO_LIMITS: PluginLimits = {
  countInWindow: () => Promise.reject(new Error("the store is out of reach")),
};

/** One plugin for each `init`, with keys `it`, `it2` … unless `fields` say otherwise. */
export async function loaded(
  inits: PluginModule["init"] | readonly PluginModule["init"][],
  { clock = hastyClock, fields = {}, limits = NO_LIMITS }: LoadedOptions = {},
): Promise<LoadedPlugins> {
  const { log, lines } = collectingLog();
  const modules = [inits].flat().map((init, i) => ({ key: i === 0 ? "it" : `it${i + 1}`, init }));
  const configs = modules.map(({ key }) => pluginConfig({ key, ...fields }));
  const importModule = async ({ key }: PluginConfig): Promise<unknown> =>
    modules.find((one) => one.key === key);
  return { plugins: await loadPlugins(configs, { importModule, clock, log, limits }), lines };
}
