/** The plugins of the Lambda that takes mail in. */

import type { Plugins } from "#shared/plugins/plugins.ts";
import { loadPlugins, modules } from "./plugin-modules.ts";
import type { Wired } from "./wire.ts";

/** Null: there are none. Rejects when one cannot be loaded: a Lambda that let mail past it must not serve. */
export async function lambdaPlugins({
  config,
  backend,
  wholeConfig,
  clock,
  telemetry,
}: Wired): Promise<Plugins | null> {
  if (config.plugins.length === 0) return null;
  if (loadPlugins === null)
    throw new Error("the configuration has plugins and the bundle has none: build it anew");
  const importModule = async ({ key }: { key: string }): Promise<unknown> => modules.get(key);
  const { plugins } = await wholeConfig(); // texts among their options may be secrets, and are kept as such
  return loadPlugins(plugins, { importModule, clock, log: telemetry.log, limits: backend.limits });
}
