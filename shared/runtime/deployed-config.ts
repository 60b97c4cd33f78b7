/**
 * A checked configuration as text, for deployments: it needs neither the file that people write, nor the files that it names, nor
 * the code that checks it. Its secrets are not in it, only their names (domain/config-secrets.ts): whoever runs on it puts them back.
 */

import type { Config } from "../domain/config.ts";
import { splitSecrets } from "../domain/config-secrets.ts";

/** How the name of such a file ends. */
export const DEPLOYED_SUFFIX = ".deployed.json";

/** No field and no header has that name. */
const MAP = "(map)";

export function printDeployedConfig(config: Config): string {
  return JSON.stringify(splitSecrets(config).config, (_, value: unknown) =>
    value instanceof Map ? { [MAP]: [...value] } : value,
  );
}

/** With the names of its secrets in their places. Trusts what `printDeployedConfig` of the same version wrote. */
export function readDeployedConfig(text: string): Config {
  return JSON.parse(text, (_, value: unknown) => (isMap(value) ? new Map(value[MAP]) : value)) as Config;
}

function isMap(value: unknown): value is { [MAP]: [unknown, unknown][] } {
  return typeof value === "object" && value !== null && MAP in value;
}
