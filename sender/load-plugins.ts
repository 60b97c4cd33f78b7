/** The plugins of a sender process. Without any, nothing of what they need is loaded. */

import type { Config } from "#shared/domain/config.ts";
import type { PluginLimits } from "#shared/plugins/app.ts";
import type { LoadDeps } from "#shared/plugins/load.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { Logger } from "#shared/runtime/log.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

/** Null: there are none. Rejects with a `DomainError` that names the plugin which cannot be loaded. */
export async function pluginsFor(
  { plugins }: Config,
  deps: { log: Logger; limits: PluginLimits } & Pick<LoadDeps, "onEntry">,
): Promise<Plugins | null> {
  if (plugins.length === 0) return null;
  const [{ loadPlugins }, { importPlugin }] = await Promise.all([
    import("#shared/plugins/load.ts"),
    import("#shared/core-plugins/import-module.ts"),
  ]);
  return loadPlugins(plugins, { ...deps, importModule: importPlugin, clock: systemClock });
}
