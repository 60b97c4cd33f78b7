/**
 * From what people wrote, each value well formed, to the `Config` the system runs on: what one key says about another is
 * checked here, and defaults that hang on another key are filled in. Problems are reported, never thrown; what is built
 * while there are any is not to be used.
 */

import { parseDomain } from "../domain/address.ts";
import type { ApiConfig, Config, DomainLimits, HttpServiceConfig, SandboxConfig } from "../domain/config.ts";
import { digestOf } from "../domain/config-digest.ts";
import { parseThrottle } from "../domain/throttle.ts";
import type { Srs } from "../domain/srs.ts";
import type { ZoneName } from "../domain/zone.ts";
import { bouncesOf, receiversOf } from "./config-bounces.ts";
import { suggestion } from "./config-errors.ts";
import type { Report } from "./config-errors.ts";
import { dkimOf } from "./config-dkim.ts";
import { interfacesOf, OTHER_ORIGINS } from "./config-interfaces.ts";
import { MAX_HOPS_ANYWAY } from "./config-core-plugins.ts";
import { pluginsOf } from "./config-plugins.ts";
import type { ConfigSettings } from "./config-schema.ts";
import { checkListeners } from "./config-listeners.ts";
import { logOf } from "./config-log.ts";
import { zonesOf } from "./config-zones.ts";
import { writtenOtherwise } from "./zonemta-keys.ts";

export interface CheckContext {
  /** Paths in the configuration start here. */
  readonly baseDir: string;
  /** Our host name when the configuration has none. */
  readonly hostname: string;
  readonly report: Report;
}

/** ZoneMTA's ceiling: 5 connections at once to a destination unless told otherwise. */
const DEFAULT_MAX_CONNECTIONS = 5;
/** Of SRS: a shorter one is guessed from an address that was sent. */
const MIN_SECRET_LENGTH = 8;
const SANDBOX = { host: "127.0.0.1", port: 2526 };

export function checkConfig(settings: ConfigSettings, context: CheckContext): Config {
  const { report } = context;
  const hostname = settings.hostname ?? context.hostname;
  const zones = zonesOf(settings, hostname, report);
  const zoneNamed = (text: string, path: readonly PropertyKey[]) =>
    zoneName(text, [...zones.keys()], path, report);
  const checkInterfaces = (names: readonly string[], path: readonly PropertyKey[]) =>
    checkInterfaceNames(names, settings, path, report);
  const config = {
    runAs: runAsOf(settings, report),
    name: settings.name,
    hostname,
    queue: {
      defaultZone: zoneNamed(settings.queue.defaultZone, ["queue", "defaultZone"]),
      maxQueueTimeMs: settings.queue.maxQueueTime,
      historyMs: settings.queue.history,
      leaseMs: settings.queue.lease,
      maxDelayMs: settings.queue.maxDelay,
    },
    smtpInterfaces: interfacesOf(settings, context),
    api: apiOf(settings),
    zones,
    domains: domainLimitsOf(settings.domainConfig, report),
    dkim: dkimOf(settings, context),
    dns: {
      nameservers: nameserversOf(settings.dns.nameservers),
      timeoutMs: settings.dns.timeout,
      blockLocalAddresses: settings.dns.blockLocalAddresses,
      ignoreIpv6: settings.dns.ignoreIPv6 ?? !settings.dns.preferIPv6,
      preferIpv6: settings.dns.preferIPv6,
    },
    mtaSts: settings.mtaSts,
    srs: srsOf(settings, report),
    headers: headersOf(settings, report),
    httpAuth: httpServiceOf("core/http-auth", settings, report),
    httpConfig: httpServiceOf("core/http-config", settings, report),
    bounces: bouncesOf(settings, { ...context, hostname, zoneNamed, checkInterfaces }),
    receivers: receiversOf(settings, report),
    uploads: settings.uploads,
    blacklist: { ttlMs: settings.blacklist.ttl },
    log: logOf(settings.log, hostname),
    sandbox: sandboxOf(settings.sandbox),
    plugins: pluginsOf(settings, context),
  };
  checkListeners(config, report);
  return { ...config, digest: digestOf(config) };
}

function runAsOf({ user, group }: ConfigSettings, report: Report): Config["runAs"] {
  if (user !== undefined) return { user, group: group ?? null };
  if (group !== undefined) report(["group"], "needs user: who is to be in it?");
  return null;
}

function zoneName(
  text: string,
  known: readonly ZoneName[],
  path: readonly PropertyKey[],
  report: Report,
): ZoneName {
  const name = text.toLowerCase() as ZoneName;
  if (!known.includes(name))
    report(path, `there is no zone ${JSON.stringify(text)}${suggestion(name, known)}`);
  return name;
}

/** Null: those of the system. */
function nameserversOf(written: ConfigSettings["dns"]["nameservers"]): Config["dns"]["nameservers"] {
  return written === undefined || written === false || written.length === 0 ? null : written;
}

function domainLimitsOf(settings: ConfigSettings["domainConfig"], report: Report): DomainLimits {
  const fallback = {
    maxConnections: settings["default"]?.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    disabledAddresses: settings["default"]?.disabledAddresses ?? [],
    throttling: parseThrottle(settings["default"]?.throttling ?? ""),
    addresses: addressesOf(settings["default"]?.dnsOptions ?? {}),
  };
  const byDomain = new Map<string, DomainLimits["default"]>();
  for (const [key, limit] of Object.entries(settings)) {
    if (key === "default") continue;
    const domain = parseDomain(key);
    const write = writtenOtherwise(["domainConfig", key]);
    if (write !== null) report(["domainConfig", key], `is no domain; write ${write}`);
    else if (domain === null) report(["domainConfig", key], "expected a domain name or default as the key");
    else if (byDomain.has(domain)) report(["domainConfig", key], `${domain} is here twice`);
    else
      byDomain.set(domain, {
        maxConnections: limit.maxConnections ?? fallback.maxConnections,
        disabledAddresses: limit.disabledAddresses ?? fallback.disabledAddresses,
        throttling: parseThrottle(limit.throttling ?? ""),
        addresses: addressesOf({ ...settings["default"]?.dnsOptions, ...limit.dnsOptions }),
      });
    if (limit.dnsOptions.ignoreIPv6 === true && limit.dnsOptions.preferIPv6 === true)
      report(
        ["domainConfig", key, "dnsOptions", "ignoreIPv6"],
        "contradicts preferIPv6; leave out one of them",
      );
  }
  return { default: fallback, byDomain };
}

/** Who prefers IPv6 does not ignore it, and who ignores it does not prefer it. */
function addressesOf(
  options: Partial<ConfigSettings["domainConfig"][string]["dnsOptions"]>,
): DomainLimits["default"]["addresses"] {
  const { ignoreIPv6, preferIPv6, blockLocalAddresses } = options;
  return {
    ignoreIpv6: ignoreIPv6 ?? (preferIPv6 === true ? false : null),
    preferIpv6: preferIPv6 ?? (ignoreIPv6 === true ? false : null),
    blockLocalAddresses: blockLocalAddresses ?? null,
  };
}

function headersOf(settings: ConfigSettings, report: Report): Config["headers"] {
  const plugin = settings.plugins["core/default-headers"];
  const loop = settings.plugins["core/delivery-loop"];
  const path = ["plugins", "core/default-headers", "allowRoutingHeaders"];
  checkInterfaceNames(plugin.allowRoutingHeaders, settings, path, report);
  return {
    allowRoutingHeaders: plugin.enabled ? plugin.allowRoutingHeaders : [],
    addMissing: plugin.enabled ? plugin.addMissing : [],
    futureDate: plugin.enabled && plugin.futureDate,
    xOriginatingIp: plugin.enabled && plugin.xOriginatingIP,
    maxHops: loop.enabled ? loop.maxHops : MAX_HOPS_ANYWAY,
  };
}

function apiOf({ api, plugins }: ConfigSettings): ApiConfig {
  const { enabled, maxRecipients } = plugins["core/api-send"];
  return enabled ? { ...api, maxRecipients: Math.min(api.maxRecipients, maxRecipients) } : api;
}

function httpServiceOf(
  name: "core/http-auth" | "core/http-config",
  { plugins }: ConfigSettings,
  report: Report,
): HttpServiceConfig | null {
  const { enabled, url, timeout, cacheTTL } = plugins[name];
  if (!enabled) return null;
  if (url === undefined) report(["plugins", name, "url"], "is missing: which server is to be asked?");
  return { url: url ?? "", timeoutMs: timeout, cacheMs: cacheTTL };
}

function srsOf({ plugins }: ConfigSettings, report: Report): Srs | null {
  const { enabled, secret, rewriteDomain, excludeDomains } = plugins["core/srs"];
  if (!enabled) return null;
  const path = ["plugins", "core/srs"];
  if (secret === undefined)
    report([...path, "secret"], "is missing: without it, anybody could send bounces to others by us");
  else if (secret.length < MIN_SECRET_LENGTH) {
    const why = "who guesses it can send bounces to others by us";
    report([...path, "secret"], `expected at least ${MIN_SECRET_LENGTH} characters: ${why}`);
  }
  if (rewriteDomain === undefined)
    report([...path, "rewriteDomain"], "is missing: in which domain do bounces come back?");
  return { secret: secret ?? "", domain: rewriteDomain ?? "", excludeDomains };
}

function checkInterfaceNames(
  names: readonly string[],
  settings: ConfigSettings,
  path: readonly PropertyKey[],
  report: Report,
): void {
  const known = [...Object.keys(settings.smtpInterfaces), ...OTHER_ORIGINS];
  for (const [i, name] of names.entries()) {
    if (known.includes(name)) continue;
    report([...path, i], `there is no interface ${JSON.stringify(name)}${suggestion(name, known)}`);
  }
}

function sandboxOf(sandbox: ConfigSettings["sandbox"]): SandboxConfig {
  if (typeof sandbox === "boolean") return { enabled: sandbox, ...SANDBOX };
  return { enabled: true, ...sandbox };
}
