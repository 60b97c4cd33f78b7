/**
 * What is secret in a configuration, so that the rest of it can lie where others may read it: `splitSecrets` leaves in the place of
 * each secret its name, `joinSecrets` puts the secrets back. A name says whose the secret is and not where it stands, so that it
 * stays the same when a list gets another order. URLs of the operator's own servers are secrets: they may have a password or a
 * token in them. Of the options of plugins every text is one, for nobody here knows which are.
 */

import { hash } from "node:crypto";

import type {
  AllMailKeySource,
  Config,
  EventReceiver,
  HttpServiceConfig,
  PluginConfig,
  SmtpInterface,
} from "./config.ts";
import { digestOf } from "./config-digest.ts";
import type { Zone } from "./zone.ts";

/** Secrets by name. */
export type ConfigSecrets = ReadonlyMap<string, string>;

/** What is to stand in the place of the secret of that name. */
type Change = (name: string, value: string) => string;

/** `config` without its secrets and without its digest, from which a weak one could be guessed. */
export function splitSecrets(config: Config): { readonly config: Config; readonly secrets: ConfigSecrets } {
  const secrets = new Map<string, string>();
  const changed = changeSecrets(config, (name, value) => {
    secrets.set(name, value);
    return name;
  });
  return { config: { ...changed, digest: "" }, secrets };
}

/** `missing`: the names of those that are not among `secrets`. */
export type Joined =
  | { readonly kind: "joined"; readonly config: Config }
  | { readonly kind: "missing"; readonly names: readonly string[] };

/** `config` is one that was split. */
export function joinSecrets(config: Config, secrets: ConfigSecrets): Joined {
  const names: string[] = [];
  const { digest: _, ...changed } = changeSecrets(config, (_name, name) => {
    const secret = secrets.get(name);
    if (secret === undefined) names.push(name);
    return secret ?? "";
  });
  if (names.length > 0) return { kind: "missing", names };
  return { kind: "joined", config: { ...changed, digest: digestOf(changed) } };
}

/** All places of a secret are here. */
function changeSecrets(config: Config, change: Change): Config {
  const { dkim } = config;
  const changeKey = <K extends AllMailKeySource>(key: K): K => ({
    ...key,
    privateKey: change(`dkim.${key.selector}._domainkey.${key.domain ?? "*"}`, key.privateKey),
  });
  return {
    ...config,
    dkim: {
      ...dkim,
      keys: dkim.keys.map(changeKey),
      allMailKey: dkim.allMailKey && changeKey(dkim.allMailKey),
    },
    zones: new Map([...config.zones].map(([name, zone]) => [name, changeZone(zone, change)])),
    smtpInterfaces: config.smtpInterfaces.map((one) => changeInterface(one, change)),
    receivers: config.receivers.map((receiver) => changeReceiver(receiver, change)),
    httpAuth: changeService("core/http-auth", config.httpAuth, change),
    httpConfig: changeService("core/http-config", config.httpConfig, change),
    plugins: config.plugins.map((plugin) => changePlugin(plugin, change)),
    srs: config.srs && { ...config.srs, secret: change("plugins.core/srs.secret", config.srs.secret) },
  };
}

function changeZone(zone: Zone, change: Change): Zone {
  const { name, relay, http } = zone;
  const auth = relay?.auth && {
    user: change(`zones.${name}.auth.user`, relay.auth.user),
    pass: change(`zones.${name}.auth.pass`, relay.auth.pass),
  };
  return {
    ...zone,
    http: http && { ...http, url: change(`zones.${name}.http`, http.url) },
    relay: relay && { ...relay, auth: auth ?? null },
  };
}

function changeInterface(one: SmtpInterface, change: Change): SmtpInterface {
  const path = `smtpInterfaces.${one.name}`;
  const certificates = [...one.certificates].map(
    ([name, certificate]) =>
      [name, { ...certificate, key: change(`${path}.sniOptions.${name}.key`, certificate.key) }] as const,
  );
  return {
    ...one,
    tls: one.tls && { ...one.tls, key: change(`${path}.key`, one.tls.key) },
    certificates: new Map(certificates),
  };
}

function changeReceiver(receiver: EventReceiver, change: Change): EventReceiver {
  const { format, url, secret } = receiver;
  const name = format === "form" ? "plugins.core/http-bounce" : `webhooks.${receiverName(url)}`;
  return {
    ...receiver,
    url: change(`${name}.url`, url),
    secret: secret === null ? null : change(`${name}.secret`, secret),
  };
}

/** Its host, and enough of a hash to tell two of one host apart. */
function receiverName(url: string): string {
  return `${URL.parse(url)?.host ?? ""}-${hash("sha256", url, "hex").slice(0, 8)}`;
}

function changeService(
  plugin: string,
  service: HttpServiceConfig | null,
  change: Change,
): HttpServiceConfig | null {
  return service && { ...service, url: change(`plugins.${plugin}.url`, service.url) };
}

function changePlugin(plugin: PluginConfig, change: Change): PluginConfig {
  const options = Object.entries(plugin.options).map(([name, value]) => [
    name,
    changeTexts(value, `plugins.${plugin.key}.${name}`, change),
  ]);
  return { ...plugin, options: Object.fromEntries(options) as PluginConfig["options"] };
}

/** Of a value as JSON has it. */
function changeTexts(value: unknown, path: string, change: Change): unknown {
  if (typeof value === "string") return change(path, value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one, i) => changeTexts(one, `${path}.${i}`, change));
  const entries = Object.entries(value);
  return Object.fromEntries(
    entries.map(([name, one]) => [name, changeTexts(one, `${path}.${name}`, change)]),
  );
}
