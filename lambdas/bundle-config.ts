/**
 * The checked configuration as text beside a bundle: build.ts writes it, wire.ts reads it. So a Lambda needs neither the file that
 * people write nor the code that checks it, and starts with what was checked when it was built.
 *
 * What a Lambda has no use for stays behind: it takes mail in and answers questions, it does not sign and does not connect to relays.
 * Of the secrets that it needs there are names only (shared/domain/config-secrets.ts): the URL of `core/http-config`, and for Lambdas
 * that tell receivers of events, their URLs and keys.
 */

import type { Config } from "#shared/domain/config.ts";
import type { Zone } from "#shared/domain/zone.ts";
import { printDeployedConfig } from "#shared/runtime/deployed-config.ts";

export const CONFIG_FILE = "config.json";

export interface ForLambda {
  /** Those that it is to tell of events. */
  readonly receivers?: Config["receivers"];
  /** Those that look at the mail that it takes in. */
  readonly plugins?: Config["plugins"];
}

export function printConfig(config: Config, { receivers = [], plugins = [] }: ForLambda = {}): string {
  return printDeployedConfig({ ...forLambdas(config), receivers, plugins });
}

function forLambdas(config: Config): Config {
  return {
    ...config,
    dkim: { ...config.dkim, keys: [], allMailKey: null },
    smtpInterfaces: [],
    httpAuth: null,
    srs: null,
    plugins: [],
    zones: new Map([...config.zones].map(([name, zone]) => [name, withoutCredentials(zone)])),
  };
}

function withoutCredentials(zone: Zone): Zone {
  return { ...zone, http: null, relay: zone.relay === null ? null : { ...zone.relay, auth: null } };
}
