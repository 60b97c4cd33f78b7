/**
 * The plugins in a bundle, and what loads them. As it stands here there are none: the build puts another text in its place where the
 * configuration has plugins that take part in the taking in of mail (build-plugins.ts).
 */

import type { LoadDeps } from "#shared/plugins/load.ts";
import type { PluginConfig } from "#shared/domain/config.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";

/** What each exports, by its key. */
export const modules: ReadonlyMap<string, unknown> = new Map();
/** Null: there is nothing to load. */
export const loadPlugins: ((configs: readonly PluginConfig[], deps: LoadDeps) => Promise<Plugins>) | null =
  null;
