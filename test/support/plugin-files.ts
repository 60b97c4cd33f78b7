/** Plugins written for one test: their sources in a folder that goes with it. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface PluginFiles extends AsyncDisposable {
  /** For `pluginsPath`. */
  readonly folder: string;
}

/** `sources` by file name. */
export async function pluginFiles(sources: Readonly<Record<string, string>>): Promise<PluginFiles> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-plugins-"));
  for (const [name, source] of Object.entries(sources)) await writeFile(join(folder, name), source);
  return {
    folder,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
