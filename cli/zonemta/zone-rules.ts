/** What is other about zones, pools, domains and the DNS than in a ZoneMTA. */

import { ipFamily, parseIp } from "#shared/domain/ip.ts";

import type { Rule, RuleContext } from "./rule.ts";
import type { Tree, Value } from "./tree.ts";
import { isTree, treeAt, treesIn } from "./tree.ts";

/** Those in ZoneMTA's own defaults, which say a pool and that IPv6 is not used. */
const DEFAULT_ZONES = ["default", "bounces"];
const DEFAULT_POOL = "default";
/** The longest time that a connection may be idle, in seconds (config-schema.ts). */
const MAX_IDLE_SECONDS = 300;

export const ZONE_RULES: readonly Rule[] = [
  nameservers,
  domainDefaults,
  listsOfOne,
  pools,
  acceptOnly,
  zones,
  ratiosOfNothing,
];

/** The code reads the top level, the documents have it under `dns`. */
function nameservers(config: Tree, { changed }: RuleContext): void {
  const written = config["nameservers"];
  delete config["nameservers"];
  const dns = treeAt(config, "dns");
  if (typeof dns["nameservers"] === "string") dns["nameservers"] = [dns["nameservers"]];
  if (written === undefined || written === false) return;
  config["dns"] = { ...dns, nameservers: listOf(written) };
  changed(["nameservers"], "is dns.nameservers now");
}

/** The code reads `defaults`, the documents have `default`, which is what works here. */
function domainDefaults(config: Tree, { changed }: RuleContext): void {
  const domains = treeAt(config, "domainConfig");
  const { defaults } = domains;
  if (!isTree(defaults)) return;
  delete domains["defaults"];
  domains["default"] = { ...treeAt(domains, "default"), ...defaults };
  changed(["domainConfig", "defaults"], "is domainConfig.default now");
}

/** ZoneMTA takes the one for a list of one. */
function listsOfOne(config: Tree): void {
  for (const [, zone] of treesIn(config, "zones")) {
    for (const key of ["senderDomains", "recipientDomains", "originAddresses"])
      if (typeof zone[key] === "string") zone[key] = [zone[key]];
    const headers = treeAt(zone, "routingHeaders");
    for (const [name, value] of Object.entries(headers))
      if (typeof value === "number") headers[name] = String(value);
  }
  for (const [, domain] of treesIn(config, "domainConfig"))
    if (typeof domain["disabledAddresses"] === "string")
      domain["disabledAddresses"] = [domain["disabledAddresses"]];
}

function pools(config: Tree): void {
  const named = treeAt(config, "pools");
  for (const [name, pool] of Object.entries(named)) named[name] = listOf(pool);
}

function listOf(value: Value): Value[] {
  if (Array.isArray(value)) return value;
  return value === null || value === false || value === "" ? [] : [value];
}

/** Without its queue server a ZoneMTA takes mail and sends none. */
function acceptOnly(config: Tree, { changed }: RuleContext): void {
  const isOff = config["queueServer"] === false || treeAt(config, "queueServer")["enabled"] === false;
  if (!isOff) return;
  const written = treeAt(config, "zones");
  const names = Object.keys(written);
  const unwritten = DEFAULT_ZONES.filter((name) => !names.some((other) => other.toLowerCase() === name));
  config["zones"] = Object.fromEntries(
    [...unwritten, ...names].map((name) => [name, { ...treeAt(written, name), disabled: true }]),
  );
  changed(["queueServer", "enabled"], "is false, so each zone is disabled now: mail is taken, and waits");
}

function zones(config: Tree, context: RuleContext): void {
  for (const [name, zone] of treesIn(config, "zones")) {
    poolOfZone(name, zone, config, context);
    connectionsOfAllProcesses(name, zone, context);
    throttling(name, zone, context);
    login(zone);
    connectionCache(name, zone, context);
  }
}

/** An address in place of a name is that address; nothing is any address, where it is the pool `default` here. */
function poolOfZone(name: string, zone: Tree, config: Tree, { changed }: RuleContext): void {
  const path = ["zones", name, "pool"];
  const { pool } = zone;
  const isName = typeof pool === "string" && (Object.hasOwn(treeAt(config, "pools"), pool) || !parseIp(pool));
  if (pool !== undefined && !isName) zone["pool"] = listOf(pool);
  const ofDefaults = DEFAULT_ZONES.includes(name);
  const isInUse = listOf(treeAt(config, "pools")[DEFAULT_POOL] ?? null).length > 0;
  if (pool === undefined && zone["interface"] === undefined && isInUse && !ofDefaults) {
    zone["pool"] = [];
    changed(path, "is empty now, which is any address of the system, as in ZoneMTA where it is not written");
  }
  const addresses = addressesOf(zone["pool"], config);
  const isSaid = [zone, treeAt(config, "dns")].some((one) => one["ignoreIPv6"] !== undefined);
  if (ofDefaults || isSaid || !addresses.some((address) => ipFamily(address) === 6)) return;
  zone["ignoreIPv6"] = false;
  changed(["zones", name, "ignoreIPv6"], "is false now, as in ZoneMTA where it is not written");
}

function addressesOf(pool: Value | undefined, config: Tree): string[] {
  const entries = typeof pool === "string" ? treeAt(config, "pools")[pool] : pool;
  return listOf(entries ?? null).flatMap((entry) => {
    const address = isTree(entry) ? entry["address"] : entry;
    const parsed = typeof address === "string" ? parseIp(address) : null;
    return parsed === null ? [] : [parsed];
  });
}

/** In ZoneMTA they are those of one process. */
function connectionsOfAllProcesses(name: string, zone: Tree, { changed }: RuleContext): void {
  const connections = numberOf(zone["connections"]);
  const processes = numberOf(zone["processes"]);
  if (!(connections > 0 && processes > 1)) return;
  zone["connections"] = connections * processes;
  changed(
    ["zones", name, "connections"],
    `is ${connections * processes} now: ${connections} in each of ${processes} processes before, all processes together here`,
  );
}

/** ZoneMTA reads the number before the first slash and the letter after the last one; what is no second or minute is an hour. */
function throttling(name: string, zone: Tree, { changed, leftOut }: RuleContext): void {
  const written = zone["throttling"];
  delete zone["throttling"];
  if (written === undefined || written === false || written === "" || written === 0) return;
  const path = ["zones", name, "throttling"];
  const [first = "", ...more] = typeof written === "string" ? written.split("/") : [];
  const count = Number.parseInt(first, 10);
  if (!(count > 0) || more.length === 0) {
    const what = JSON.stringify(written);
    return leftOut(path, `${what} is no rate, in ZoneMTA neither; write one such as 100/minute`);
  }
  const letter = (more.at(-1) ?? "").trim().charAt(0).toLowerCase();
  const period = letter === "s" ? "second" : letter === "m" ? "minute" : "hour";
  zone["throttling"] = `${count}/${period}`;
  changed(
    path,
    `is ${count}/${period} of the whole zone now; in ZoneMTA each connection of each process has it for itself`,
  );
}

/** A place for a login that is empty is none. */
function login(zone: Tree): void {
  const { user, pass } = treeAt(zone, "auth");
  if (!user && !pass) delete zone["auth"];
  if (typeof zone["authMethod"] === "string") zone["authMethod"] = zone["authMethod"].toUpperCase();
}

/** A zero is ZoneMTA's default. */
function connectionCache(name: string, zone: Tree, { changed }: RuleContext): void {
  const cache = treeAt(zone, "connectionCache");
  for (const key of ["ttl", "reuseCount"]) if (numberOf(cache[key]) === 0) delete cache[key];
  if (!(numberOf(cache["ttl"]) > MAX_IDLE_SECONDS)) return;
  cache["ttl"] = MAX_IDLE_SECONDS;
  changed(
    ["zones", name, "connectionCache", "ttl"],
    `is ${MAX_IDLE_SECONDS} seconds now: servers close a connection that is idle for longer`,
  );
}

/** Also of one that is text, as the environment has it; NaN: it is none. */
function numberOf(value: Value | undefined): number {
  return typeof value === "string" || typeof value === "number" ? Number(value) : Number.NaN;
}

function ratiosOfNothing(config: Tree, { changed }: RuleContext): void {
  const named = Object.entries(treeAt(config, "pools")).map(
    ([name, pool]) => [["pools", name], pool] as const,
  );
  const ofZones = treesIn(config, "zones").map(
    ([name, zone]) => [["zones", name, "pool"], zone["pool"]] as const,
  );
  for (const [path, pool] of [...named, ...ofZones]) {
    if (!Array.isArray(pool)) continue;
    for (const [i, entry] of pool.entries())
      if (isTree(entry) && entry["ratio"] === 0)
        changed([...path, i, "ratio"], "is 0, which is never used; in ZoneMTA it is an equal share");
  }
}
