/** Zones and their pools: the built-in zones, names in lower case, pools looked up, each route claimed by one zone only. */

import type { EgressAddress, PoolEntry } from "../domain/pool.ts";
import { elasticNames, poolShares } from "../domain/pool.ts";
import { parseThrottle } from "../domain/throttle.ts";
import { ipFamily, parseIp } from "../domain/ip.ts";
import { SECOND } from "../domain/units.ts";
import type { Relay, Zone, ZoneName, ZoneRoutes } from "../domain/zone.ts";
import { suggestion } from "./config-errors.ts";
import { addressesOfCard, cardNames } from "./network-cards.ts";
import type { Report } from "./config-errors.ts";
import { ELASTIC } from "./config-fields.ts";
import { ZoneSchema } from "./config-schema.ts";
import type { ConfigSettings, PoolSettings, ZoneSettings } from "./config-schema.ts";

/** There whatever the configuration says: `default` for all mail, `bounces` for DSN, so that they do not wait behind it. */
const BUILT_IN_ZONES = ["default", "bounces"];
const DEFAULT_POOL = "default";
/** Part of DynamoDB keys and of SQS queue names (at most 80 of these characters, some of them ours). */
const ZONE_NAME = /^[a-z0-9][a-z0-9_-]{0,47}$/;
const SMTP_PORT = 25;
const SMTPS_PORT = 465;

type Path = readonly PropertyKey[];

export function zonesOf(settings: ConfigSettings, hostname: string, report: Report): Map<ZoneName, Zone> {
  const written = zonesByName(settings.zones, report);
  for (const name of BUILT_IN_ZONES) {
    if (!written.has(name)) written.set(name, { key: name, zone: ZoneSchema.parse({}) });
  }
  const pools = Object.entries(settings.pools).map(
    ([name, pool]) => [name, poolOf(pool, hostname, ["pools", name], report)] as const,
  );
  const zones = new Map<ZoneName, Zone>();
  for (const [name, { key, zone }] of written) {
    const checker: ZoneChecker = { settings, hostname, pools: new Map(pools), path: ["zones", key], report };
    zones.set(name as ZoneName, zoneOf(name as ZoneName, zone, checker));
  }
  checkRoutes(zones, report);
  checkElasticNames(zones, report);
  return zones;
}

interface ZoneChecker {
  readonly settings: ConfigSettings;
  readonly hostname: string;
  /** Null: a pool of nothing, which is the wildcard address. */
  readonly pools: ReadonlyMap<string, EgressAddress[] | null>;
  readonly path: Path;
  readonly report: Report;
}

function zonesByName(
  zones: ConfigSettings["zones"],
  report: Report,
): Map<string, { key: string; zone: ZoneSettings }> {
  const byName = new Map<string, { key: string; zone: ZoneSettings }>();
  for (const [key, zone] of Object.entries(zones)) {
    const name = key.toLowerCase();
    const other = byName.get(name);
    if (!ZONE_NAME.test(name)) {
      report(
        ["zones", key],
        "expected a name of letters, digits, hyphen and underscore (at most 48) as the key",
      );
    } else if (other) {
      report(["zones", key], `is the zone ${JSON.stringify(other.key)} again: capitals make no difference`);
    } else byName.set(name, { key, zone });
  }
  return byName;
}

function zoneOf(name: ZoneName, zone: ZoneSettings, checker: ZoneChecker): Zone {
  const { dns, queue } = checker.settings;
  const preferIpv6 = zone.preferIPv6 ?? (zone.ignoreIPv6 === true ? false : dns.preferIPv6);
  const ignoreIpv6 = zone.ignoreIPv6 ?? (preferIpv6 ? false : (dns.ignoreIPv6 ?? true));
  checkZone(zone, checker);
  return {
    name,
    disabled: zone.disabled,
    connections: zone.connections,
    throttling: zone.throttling === undefined ? null : parseThrottle(zone.throttling),
    pool: egressOf(zone, ignoreIpv6, checker),
    poolHash: zone.poolHash,
    relay: relayOf(zone),
    http: zone.http === undefined ? null : { url: zone.http, userAgent: checker.settings.uploads.userAgent },
    port: zone.host === undefined ? (zone.port ?? SMTP_PORT) : SMTP_PORT,
    ignoreTls: zone.ignoreTLS,
    requireTls: zone.requireTLS,
    ignoreIpv6,
    preferIpv6,
    blockLocalAddresses: zone.blockLocalAddresses ?? dns.blockLocalAddresses,
    connectionCache: connectionCacheOf(zone),
    deferTimesMs: zone.deferTimes ?? queue.deferTimes,
    routes: routesOf(zone),
  };
}

function checkZone(zone: ZoneSettings, { path, report }: ZoneChecker): void {
  const both = (a: string, b: string) => {
    report([...path, a], `contradicts ${b}; leave out one of them`);
  };
  if (zone.ignoreTLS && zone.requireTLS) both("ignoreTLS", "requireTLS");
  if (zone.ignoreTLS && zone.secure) both("ignoreTLS", "secure");
  if (zone.ignoreIPv6 === true && zone.preferIPv6 === true) both("ignoreIPv6", "preferIPv6");
  for (const key of ["authMethod", "credentials"] as const) {
    if (zone[key] !== undefined && !zone.auth) report([...path, key], "needs auth: nobody is logged in");
  }
  if (zone.http !== undefined && zone.host !== undefined) both("http", "host");
  if (zone.lmtp) checkLmtp(zone, { path, report });
  if (zone.host !== undefined) return;
  if (zone.auth) report([...path, "auth"], "needs host: only a relay is logged in to");
  if (zone.secure)
    report([...path, "secure"], "needs host: mail hosts of the world speak STARTTLS on port 25");
}

function checkLmtp(zone: ZoneSettings, { path, report }: Pick<ZoneChecker, "path" | "report">): void {
  if (zone.host === undefined) report([...path, "lmtp"], "needs host: mail hosts of the world speak SMTP");
  // RFC 2033 §5: never port 25, and no port is LMTP's own
  else if (zone.port === undefined || zone.port === SMTP_PORT)
    report([...path, "port"], "expected the port of the LMTP server, which is not 25");
}

/** A connection that may not wait for its next mail is not used for it either, though that be there already. */
function connectionCacheOf({ connectionCache: { ttl, reuseCount } }: ZoneSettings): Zone["connectionCache"] {
  return { ttlMs: Math.round(ttl * SECOND), reuseCount: ttl === 0 ? 1 : reuseCount };
}

function relayOf(zone: ZoneSettings): Relay | null {
  if (zone.host === undefined) return null;
  return {
    host: zone.host,
    port: zone.port ?? (zone.secure ? SMTPS_PORT : SMTP_PORT),
    auth: zone.auth ?? null,
    secure: zone.secure,
    authMethod: zone.authMethod ?? null,
    credentials: zone.credentials ?? "verified",
    lmtp: zone.lmtp,
  };
}

function routesOf(zone: ZoneSettings): ZoneRoutes {
  const routingHeaders = Object.entries(zone.routingHeaders).map(([name, values]) => {
    const list = typeof values === "string" ? [values] : values;
    return [name, list.map((value) => value.trim().toLowerCase())] as const;
  });
  return {
    senderDomains: zone.senderDomains,
    recipientDomains: zone.recipientDomains,
    originAddresses: zone.originAddresses,
    routingHeaders: Object.fromEntries(routingHeaders),
  };
}

function egressOf(zone: ZoneSettings, ignoreIpv6: boolean, checker: ZoneChecker): EgressAddress[] {
  const { hostname, path, pools, report } = checker;
  if (zone.interface !== undefined) {
    const written = poolSettingsOf(zone, checker);
    const there = new Set(written.map((entry) => (typeof entry === "string" ? entry : entry.address)));
    const added = addressesOf(zone.interface, checker).filter((address) => !there.has(address));
    return (
      poolOf([...written, ...added], hostname, [...path, "pool"], report) ??
      wildcardPool(hostname, ignoreIpv6)
    );
  }
  const named = zone.pool ?? DEFAULT_POOL;
  if (typeof named !== "string") {
    return poolOf(named, hostname, [...path, "pool"], report) ?? wildcardPool(hostname, ignoreIpv6);
  }
  checkPoolName(named, checker);
  return pools.get(named) ?? wildcardPool(hostname, ignoreIpv6);
}

/** What the zone says itself, besides its network card. */
function poolSettingsOf({ pool = [] }: ZoneSettings, checker: ZoneChecker): PoolSettings {
  if (typeof pool !== "string") return pool;
  checkPoolName(pool, checker);
  return checker.settings.pools[pool] ?? [];
}

function checkPoolName(name: string, { pools, path, report }: ZoneChecker): void {
  if (pools.has(name) || name === DEFAULT_POOL) return;
  const advice =
    parseIp(name) === null
      ? suggestion(name, [...pools.keys(), DEFAULT_POOL])
      : `; write ${JSON.stringify([name])}`;
  report([...path, "pool"], `there is no pool ${JSON.stringify(name)}${advice}`);
}

function addressesOf(card: string, { path, report }: ZoneChecker): string[] {
  const addresses = addressesOfCard(card);
  const known = cardNames().join(", ");
  if (addresses === null)
    report(
      [...path, "interface"],
      `this machine has no network card ${JSON.stringify(card)}; it has ${known}`,
    );
  return addresses ?? [];
}

/** Null: it has no addresses. */
function poolOf(pool: PoolSettings, hostname: string, path: Path, report: Report): EgressAddress[] | null {
  const entries = pool.map((entry) => poolEntryOf(entry, hostname));
  for (const [i, { address }] of entries.entries()) {
    const first = entries.findIndex((entry) => entry.address === address);
    if (address === ELASTIC) report([...path, i, "name"], "is missing: it says which Elastic IP is meant");
    else if (first < i) report([...path, i], `${address} is in this pool already`);
  }
  for (const family of [4, 6] as const) {
    const members = entries.filter((entry) => ipFamily(entry.address) === family);
    const sum = members.reduce((total, { ratio }) => total + (ratio ?? 0), 0);
    if (sum > 1 + 1e-9 && members.some(({ ratio }) => ratio === null)) {
      report(
        path,
        `the ratios add up to ${sum}, which leaves nothing for entries without one; give every entry a ratio`,
      );
    }
  }
  const shares = poolShares(entries);
  if (shares === null && entries.length > 0)
    report(path, "every ratio is 0, so no address could ever be used");
  return shares;
}

/** An Elastic IP without a name keeps `elastic` for its address. */
function poolEntryOf(entry: PoolSettings[number], hostname: string): PoolEntry {
  if (typeof entry === "string") return { address: entry, name: hostname, ratio: null };
  const { address, name = hostname, ratio = null } = entry;
  if (address !== ELASTIC || entry.name === undefined) return { address, name, ratio };
  return { address: name, name, ratio, elastic: true };
}

/** Reverse DNS leads from one address to the name, so it is that of one. */
function checkElasticNames(zones: ReadonlyMap<ZoneName, Zone>, report: Report): void {
  const elastic = new Set(elasticNames([...zones.values()].map(({ pool }) => pool)));
  for (const { name: zone, pool } of zones.values()) {
    const other = pool.find((entry) => entry.elastic !== true && elastic.has(entry.name));
    if (other)
      report(["zones", zone, "pool"], `${other.address} has the name of an Elastic IP, ${other.name}`);
  }
}

/** The system chooses the address; in both families unless IPv6 is ignored. */
function wildcardPool(name: string, ignoreIpv6: boolean): EgressAddress[] {
  if (ignoreIpv6) return [{ address: "0.0.0.0", name, share: 1 }];
  return [
    { address: "0.0.0.0", name, share: 0.5 },
    { address: "::", name, share: 0.5 },
  ];
}

/** A sender domain of two zones would go by chance to one of them. */
function checkRoutes(zones: ReadonlyMap<ZoneName, Zone>, report: Report): void {
  const claims = new Map<string, ZoneName>();
  for (const { name, routes } of zones.values()) {
    for (const { key, path, text } of claimsOf(routes)) {
      const other = claims.get(key);
      if (other !== undefined && other !== name)
        report(["zones", name, ...path], `${text} leads to zone ${other} already`);
      claims.set(key, other ?? name);
    }
  }
}

function claimsOf(routes: ZoneRoutes): { key: string; path: string[]; text: string }[] {
  const lists = (["senderDomains", "recipientDomains", "originAddresses"] as const).map((list) => ({
    path: [list],
    values: routes[list],
  }));
  const headers = Object.entries(routes.routingHeaders).map(([header, values]) => ({
    path: ["routingHeaders", header],
    values,
  }));
  return [...lists, ...headers].flatMap(({ path, values }) =>
    values.map((value) => ({ key: [...path, value].join("\n"), path, text: JSON.stringify(value) })),
  );
}
