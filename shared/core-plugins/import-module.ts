/** Finds and imports the module of a plugin on this machine. Lambdas do not: theirs are in their bundles (lambdas/build.ts). */

import { createRequire, findPackageJSON } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { PluginConfig, PluginSource } from "../domain/config.ts";
import { CORE_MODULES } from "./table.ts";

export async function importPlugin({ source }: PluginConfig): Promise<unknown> {
  if (source.kind === "core") return coreModule(source.name);
  const url = pathToFileURL(pathOfModule(source)).href;
  try {
    return await import(url);
  } catch (error) {
    throw isCommonJsAsEs(error) ? new Error(asCommonJs(url), { cause: error }) : error;
  }
}

/** Node's words for a file that says `module`, `exports` or `require` where files ending in .js are ES modules. */
function isCommonJsAsEs(error: unknown): boolean {
  return error instanceof ReferenceError && /not defined in ES module scope/.test(error.message);
}

/** As plugins of ZoneMTA are, in a folder below a package.json with `"type": "module"`, such as our own. */
function asCommonJs(url: string): string {
  const beside = findPackageJSON(url) ?? "the package.json above it";
  return `it is CommonJS, and ${beside} makes an ES module of each .js file; name it .cjs, or put a package.json with {} into its folder`;
}

/** Where the module of a plugin that is not our own lies. Throws when a package is not installed. */
export function pathOfModule(source: Exclude<PluginSource, { kind: "core" }>): string {
  if (source.kind === "file") return source.path;
  const { resolve } = createRequire(join(source.baseDir, "package.json"));
  try {
    return resolve(source.name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error;
    return resolve(source.name, { conditions: new Set(["node", "import"]) } as object); // a package for `import` alone
  }
}

function coreModule(name: string): Promise<unknown> {
  const load = CORE_MODULES[name];
  if (!load) throw new Error(`there is no core plugin of that name`);
  return load();
}
