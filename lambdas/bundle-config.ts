/**
 * The checked configuration as text beside a bundle: build.ts writes it, wire.ts reads it. So a Lambda needs neither the file that
 * people write nor the code that checks it, and starts with what was checked when it was built.
 *
 * Secrets stay behind: a Lambda takes mail in and answers questions, it does not sign and does not connect to relays. Only the URL of
 * `core/http-config` goes along as it is, for a Lambda asks there. Receivers of events, whose URLs and keys are secrets too, go with
 * the Lambdas that tell them.
 */

import type { Config, EventReceiver } from "#shared/domain/config.ts";
import type { Zone } from "#shared/domain/zone.ts";

export const CONFIG_FILE = "config.json";
/** No field and no header has that name. */
const MAP = "(map)";

/** `receivers`: those that the Lambda is to tell of events. */
export function printConfig(config: Config, receivers: readonly EventReceiver[] = []): string {
  return JSON.stringify({ ...withoutSecrets(config), receivers }, (_, value: unknown) =>
    value instanceof Map ? { [MAP]: [...value] } : value,
  );
}

/** Trusts what `printConfig` of the same build wrote. */
export function readConfig(text: string): Config {
  return JSON.parse(text, (_, value: unknown) => (isMap(value) ? new Map(value[MAP]) : value)) as Config;
}

function isMap(value: unknown): value is { [MAP]: [unknown, unknown][] } {
  return typeof value === "object" && value !== null && MAP in value;
}

function withoutSecrets(config: Config): Config {
  return {
    ...config,
    dkim: { ...config.dkim, keys: [] },
    smtpInterfaces: [],
    httpAuth: null,
    srs: null,
    zones: new Map([...config.zones].map(([name, zone]) => [name, withoutCredentials(zone)])),
  };
}

function withoutCredentials(zone: Zone): Zone {
  return { ...zone, http: null, relay: zone.relay === null ? null : { ...zone.relay, auth: null } };
}
