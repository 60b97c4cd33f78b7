/**
 * Puts plugins into the bundle of the Lambda that takes mail in: those of the contexts that do so. One that cannot be found, bundled or
 * loaded fails the build, since mail by HTTP would go past it unseen.
 */

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import type { Plugin } from "esbuild";

import { importPlugin, pathOfModule } from "#shared/core-plugins/import-module.ts";
import type { PluginConfig } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { moduleIn } from "#shared/plugins/load.ts";

const PLACE = fileURLToPath(new URL("plugin-modules.ts", import.meta.url));

/** Those that have a say in mail by HTTP. */
export function receivingPlugins(plugins: readonly PluginConfig[]): PluginConfig[] {
  return plugins.filter(({ contexts }) => contexts.includes("receiver") || contexts.includes("main"));
}

/** Rejects with a `DomainError` that names the plugin. */
export async function checkPlugins(plugins: readonly PluginConfig[]): Promise<void> {
  for (const plugin of plugins) {
    try {
      moduleIn(await importPlugin(plugin));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const text = `plugin ${plugin.key} cannot be put into the Lambda send: ${reason}`;
      throw new DomainError("invalid-config", text, `plugins[${JSON.stringify(plugin.key)}]`);
    }
  }
}

/** For esbuild. */
export function pluginModules(plugins: readonly PluginConfig[]): Plugin {
  return {
    name: "plugins",
    setup(build) {
      if (plugins.length === 0) return;
      build.onLoad({ filter: /[/\\]lambdas[/\\]plugin-modules\.ts$/ }, ({ path }) =>
        path === PLACE ? { contents: textOf(plugins), loader: "ts", resolveDir: dirname(PLACE) } : null,
      );
    },
  };
}

function textOf(plugins: readonly PluginConfig[]): string {
  const imports = plugins.map(
    (plugin, i) => `import * as plugin${i} from ${JSON.stringify(fileOf(plugin))};`,
  );
  const entries = plugins.map(({ key }, i) => `[${JSON.stringify(key)}, plugin${i}]`);
  return [
    ...imports,
    `export { loadPlugins } from "#shared/plugins/load.ts";`,
    `export const modules = new Map([${entries.join(", ")}]);`,
  ].join("\n");
}

function fileOf({ source }: PluginConfig): string {
  return source.kind === "core" ? `#shared/core-plugins/${source.name}.ts` : pathOfModule(source);
}
