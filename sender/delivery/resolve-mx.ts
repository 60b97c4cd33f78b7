/**
 * The first stage of delivery: from a recipient domain, an address literal or a relay to the hosts to try, in order, each with the
 * addresses to try (RFC 5321 §5.1). It says too which *site* the destination is of: the key that limits and lanes are kept by.
 *
 * R1. MX records are tried by preference; inside one preference the order is random for each delivery, so that load spreads.
 * R2. The domain's own addresses (implicit MX) are tried only when the DNS says that it has no MX record. MX records of which
 *     none can be used are an error, never a reason to fall back.
 * R3. A failure of the DNS defers, unless another host of the list can be reached: then it is not waited for long. Only a definite
 *     answer bounces.
 * R4. A host that is this host is dropped, and so is every host that is no better (RFC 5321 §5.1): mail must not come back to us.
 *
 * Connecting, and what a host says, is the next stage's.
 */

import { LRUCache } from "lru-cache";
import { createHash } from "node:crypto";
import { isIP } from "node:net";

import { ipOfLiteral } from "#shared/domain/address.ts";
import type { Domain } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { ipFamily, parseIp } from "#shared/domain/ip.ts";
import { bounced, deferred } from "#shared/domain/outcome.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Relay } from "#shared/domain/zone.ts";
import type { Dns, MxRecord } from "#shared/ports/dns.ts";

import { judgeAddresses, lookUpAddresses, PATIENCE_MS, ttlOf } from "./host-addresses.ts";
import type { AddressPolicy, AddressSet, HostAddresses } from "./host-addresses.ts";
import { inTime } from "./in-time.ts";

export type { AddressPolicy } from "./host-addresses.ts";

/** A host to try. */
export interface Host {
  /** Lower-case name, or the IP address itself for a literal or a relay given as one. */
  readonly name: string;
  /** IP addresses in the order to try. */
  readonly addresses: readonly string[];
  readonly preference: number;
}

/**
 * `site` is the sorted MX names joined with ",", so that all domains of one provider share their limits; without MX records it is
 * the domain or literal itself, and for a relay it is `host:port`.
 */
export type Resolved =
  { ok: true; site: string; hosts: readonly Host[] } | { ok: false; site: string; outcome: Outcome };

type Destination = { readonly domain: Domain } | { readonly relay: Relay };

export type ResolveMx = (destination: Destination, policy: AddressPolicy) => Promise<Resolved>;

export interface MxResolverDeps {
  readonly dns: Dns;
  readonly clock: Clock;
  /** 0 to 1, 1 not included. */
  readonly random: () => number;
  /** Names this host goes by, in lower case. */
  readonly ownNames: ReadonlySet<string>;
  /** IP addresses this host is reached at from outside, loopback not among them. */
  readonly ownAddresses: ReadonlySet<string>;
  /** Addresses of a name in the hosts file of the system; empty: it is not there. Asked for relays only. */
  readonly hostsFile: (name: string) => Promise<readonly string[]>;
  /** Domains to remember at most. */
  readonly maxDomains?: number;
}

/** Hosts of one destination at most; RFC 5321 §5.1 asks for two addresses at least. */
const MAX_HOSTS = 10;
/** Addresses of one host and family at most. */
const MAX_ADDRESSES = 4;
const DEFAULT_MAX_DOMAINS = 10_000;
/** A longer site name is cut and told apart by a hash: it is a key in stores that have a limit of their own. */
const MAX_SITE_CHARS = 400;
const SITE_HASH_CHARS = 32;
/** RFC 1035 §2.3.4, as text without the last dot. */
const MAX_NAME_CHARS = 253;
/** How long the judgement of an address literal is kept: it never changes. */
const LITERAL_TTL_SECONDS = 3_600;
/** How long an entry of the hosts file is believed before the file is read again. */
const HOSTS_FILE_TTL_SECONDS = 60;
/** What may stand in an exchange: anything else would travel into logs, site names and SNI. */
const HOST_NAME = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/;

/** Addresses may still be in any order. */
interface Candidate {
  readonly name: string;
  readonly preference: number;
  readonly addresses: AddressSet;
}

/** What is remembered: the answer before the dice are thrown. */
type Found = { site: string; ttlSeconds: number } & ({ hosts: readonly Candidate[] } | { outcome: Outcome });

interface Remembered {
  readonly found: Promise<Found>;
  /** Null: still being looked up. */
  expiresAt: EpochMs | null;
}

export function mxResolver(deps: MxResolverDeps): ResolveMx {
  const remembered = new LRUCache<string, Remembered>({ max: deps.maxDomains ?? DEFAULT_MAX_DOMAINS });
  return async (destination, policy) => {
    const key = keyOf(destination, policy);
    const found = await remember(remembered, key, deps.clock, () => find(destination, policy, deps));
    if ("outcome" in found) return { ok: false, site: found.site, outcome: found.outcome };
    return { ok: true, site: found.site, hosts: inTryingOrder(found.hosts, policy, deps.random) };
  };
}

/** The site of a destination, as far as it is known without asking: limits are kept by it until the MX set is known. */
function siteBeforeLookup(destination: Destination): string {
  if ("domain" in destination) return destination.domain;
  const host = destination.relay.host.toLowerCase();
  return `${host.includes(":") ? `[${host}]` : host}:${destination.relay.port}`;
}

/** Whoever asks while an answer is on its way shares it; deferrals (no lifetime) are not kept. */
async function remember(
  remembered: LRUCache<string, Remembered>,
  key: string,
  clock: Clock,
  find: () => Promise<Found>,
): Promise<Found> {
  const known = remembered.get(key);
  if (known && (known.expiresAt === null || known.expiresAt > clock.now())) return known.found;
  const entry: Remembered = { found: find(), expiresAt: null };
  remembered.set(key, entry);
  try {
    const found = await entry.found;
    entry.expiresAt = later(clock.now(), found.ttlSeconds * SECOND);
    return found;
  } catch (error) {
    entry.expiresAt = clock.now(); // our own fault: the next delivery asks again
    throw error;
  }
}

function keyOf(destination: Destination, policy: AddressPolicy): string {
  // preferIpv6 matters to the order only, and that is made afterwards
  const flags = `${policy.ignoreIpv6 ? "4" : "6"}${policy.blockLocalAddresses ? "b" : "-"}`;
  return `${"relay" in destination ? "relay" : "mx"} ${flags} ${siteBeforeLookup(destination)}`;
}

function find(destination: Destination, policy: AddressPolicy, deps: MxResolverDeps): Promise<Found> {
  if ("relay" in destination) return findRelay(destination.relay, policy, deps);
  const ip = ipOfLiteral(destination.domain);
  return ip === null
    ? findDomain(destination.domain, policy, deps)
    : Promise.resolve(findLiteral(destination.domain, ip, policy, deps));
}

/** R2. */
async function findDomain(domain: Domain, policy: AddressPolicy, deps: MxResolverDeps): Promise<Found> {
  const answer = await deps.dns.mx(domain);
  if (answer.kind === "found") return findExchanges(domain, answer, policy, deps);
  if (answer.kind === "failed") {
    return temporary(domain, `looking up the MX records of ${domain}: ${answer.detail}`);
  }
  const named = { site: domain, ttlSeconds: answer.ttlSeconds };
  if (answer.kind === "nxdomain") {
    return { ...named, outcome: bounced("no-domain", "5.1.2", `the domain ${domain} does not exist`) };
  }
  const implicitMx = [{ preference: 0, exchange: domain }];
  return findHosts(domain, named, implicitMx, { policy, deps });
}

async function findExchanges(
  domain: Domain,
  answer: { records: readonly MxRecord[]; ttlSeconds: number },
  policy: AddressPolicy,
  deps: MxResolverDeps,
): Promise<Found> {
  if (answer.records.every(({ exchange }) => exchange === "")) {
    const detail = `the domain ${domain} takes no mail (null MX)`;
    const { ttlSeconds } = answer;
    return { site: domain, ttlSeconds, outcome: bounced("null-mx", "5.1.10", detail) };
  }
  const records = answer.records.filter(({ exchange }) => isHostName(exchange));
  const named = { site: siteOf(domain, records), ttlSeconds: answer.ttlSeconds };
  if (records.length === 0) {
    const detail = `no MX record of ${domain} names a host: ${JSON.stringify(answer.records[0]?.exchange)}`;
    return { ...named, outcome: bounced("no-domain", "5.4.4", detail) };
  }
  return findHosts(domain, named, records, { policy, deps });
}

/** Look all hosts up side by side and keep those that can be tried. */
async function findHosts(
  domain: Domain,
  named: { site: string; ttlSeconds: number },
  records: readonly MxRecord[],
  { policy, deps }: { policy: AddressPolicy; deps: MxResolverDeps },
): Promise<Found> {
  const worthAsking = bestRecords(records, deps);
  const lookUp = async ({ exchange, preference }: MxRecord) => {
    const found = await lookUpAddresses(exchange, { ...deps, policy });
    return { name: exchange, preference, found };
  };
  const answers = await inTime(worthAsking.map(lookUp), {
    isEnough: ({ found }) => found.kind === "usable",
    patienceMs: PATIENCE_MS,
    clock: deps.clock,
  });
  const asked = answers.filter((answer) => answer !== null);
  const ownByAddress = Math.min(
    ...asked.filter(({ found }) => found.kind === "own").map(({ preference }) => preference),
  );
  const left = asked.filter(({ preference }) => preference < ownByAddress); // R4
  const ttlSeconds = Math.min(named.ttlSeconds, ...asked.map(({ found }) => ttlOf(found)));
  const hosts = left.flatMap(({ name, preference, found }) =>
    found.kind === "usable" ? [{ name, preference, addresses: found.addresses }] : [],
  );
  if (hosts.length > 0) return { site: named.site, ttlSeconds, hosts };
  if (left.length === 0) return { site: named.site, ttlSeconds, outcome: loop(domain) };
  return noHost(
    named.site,
    ttlSeconds,
    left.map(({ found }) => found),
  );
}

/** In random order inside one preference, each host once, and none that is no better than this host (R1, R4). */
function bestRecords(records: readonly MxRecord[], deps: MxResolverDeps): MxRecord[] {
  const own = records.filter(({ exchange }) => deps.ownNames.has(exchange));
  const ownPreference = Math.min(...own.map(({ preference }) => preference));
  const inOrder = shuffled(records, deps.random).toSorted((a, b) => a.preference - b.preference);
  const byName = new Map<string, MxRecord>();
  for (const record of inOrder) {
    if (record.preference < ownPreference && !byName.has(record.exchange))
      byName.set(record.exchange, record);
  }
  return [...byName.values()].slice(0, MAX_HOSTS);
}

/** Every host was asked for and none can be tried: R3, then the reason that helps the operator most. */
function noHost(site: string, ttlSeconds: number, found: readonly HostAddresses[]): Found {
  const failed = found.find(({ kind }) => kind === "failed");
  if (failed?.kind === "failed") return temporary(site, failed.detail);
  const forbidden = found.find(({ kind }) => kind === "forbidden");
  if (forbidden?.kind === "forbidden") return { site, ttlSeconds, outcome: unroutable(forbidden) };
  const details = found.flatMap((one) => (one.kind === "none" ? [one.detail] : []));
  // RFC 3463 §3.5 names a DNS answer without a host as its example of X.4.4.
  return { site, ttlSeconds, outcome: bounced("no-domain", "5.4.4", details.slice(0, 3).join("; ")) };
}

/** A literal names its host itself (RFC 5321 §4.1.3), and the rules for addresses hold for it all the same. */
function findLiteral(domain: Domain, ip: string, policy: AddressPolicy, deps: MxResolverDeps): Found {
  if (policy.ignoreIpv6 && ipFamily(ip) === 6) {
    const detail = `${domain} is an IPv6 address, and IPv6 is off for this zone (ignoreIpv6)`;
    return {
      site: domain,
      ttlSeconds: LITERAL_TTL_SECONDS,
      outcome: bounced("unroutable", "5.4.4", detail),
    };
  }
  const name = parseIp(ip) ?? ip;
  const { ownAddresses } = deps;
  const ttlSeconds = LITERAL_TTL_SECONDS;
  const judged = judgeAddresses({ host: name, ips: [name], ttlSeconds, policy, ownAddresses });
  if (judged.kind === "own") return { site: domain, ttlSeconds, outcome: loop(domain) };
  if (judged.kind === "forbidden") return { site: domain, ttlSeconds, outcome: unroutable(judged) };
  return { site: domain, ttlSeconds, hosts: [{ name, preference: 0, addresses: judged.addresses }] };
}

/**
 * A relay is the operator's own word: no MX lookup, no rule about local addresses (a relay is mostly a neighbour), and whatever is
 * wrong with it defers, for no recipient is to blame. The hosts file goes first, as it does for every other program here.
 */
async function findRelay(relay: Relay, policy: AddressPolicy, deps: MxResolverDeps): Promise<Found> {
  const site = siteBeforeLookup({ relay });
  const name = relay.host.toLowerCase();
  const open = { ...policy, blockLocalAddresses: false };
  const judged = await relayAddresses(name, open, deps);
  if (judged.kind === "failed") return temporary(site, `relay ${judged.detail}`);
  if (judged.kind !== "usable") {
    return { site, ttlSeconds: 0, outcome: deferred("connect", `relay ${judged.detail}`) };
  }
  const { addresses, ttlSeconds } = judged;
  return { site, ttlSeconds, hosts: [{ name, preference: 0, addresses }] };
}

async function relayAddresses(
  name: string,
  policy: AddressPolicy,
  { dns, clock, hostsFile }: MxResolverDeps,
): Promise<HostAddresses> {
  const ownAddresses = new Set<string>(); // talking to a relay on this host is no loop
  if (isIP(name) !== 0) {
    return judgeAddresses({ host: name, ips: [name], ttlSeconds: LITERAL_TTL_SECONDS, policy, ownAddresses });
  }
  const inFile = await hostsFile(name);
  const ips = policy.ignoreIpv6 ? inFile.filter((ip) => ipFamily(ip) === 4) : inFile;
  return ips.length > 0
    ? judgeAddresses({ host: name, ips, ttlSeconds: HOSTS_FILE_TTL_SECONDS, policy, ownAddresses })
    : lookUpAddresses(name, { dns, clock, policy, ownAddresses });
}

/** R1, and the addresses of a host by the family that the zone prefers: a cached answer would keep one order for all mail. */
function inTryingOrder(
  hosts: readonly Candidate[],
  { preferIpv6, ignoreIpv6 }: AddressPolicy,
  random: () => number,
): Host[] {
  return shuffled(hosts, random)
    .toSorted((a, b) => a.preference - b.preference)
    .map(({ name, preference, addresses }) => {
      const v4 = shuffled(addresses.v4, random).slice(0, MAX_ADDRESSES);
      const v6 = shuffled(addresses.v6, random).slice(0, MAX_ADDRESSES);
      return { name, preference, addresses: preferIpv6 && !ignoreIpv6 ? [...v6, ...v4] : [...v4, ...v6] };
    });
}

/** Every order is equally likely; the sort by preference that follows keeps it among equals. */
function shuffled<T>(list: readonly T[], random: () => number): T[] {
  return list
    .map((value) => ({ value, place: random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ value }) => value);
}

/** Postfix too ignores an exchange that is an IP address: the record's data is a name (RFC 1035 §3.3.9). */
function isHostName(exchange: string): boolean {
  return HOST_NAME.test(exchange) && exchange.length <= MAX_NAME_CHARS && isIP(exchange) === 0;
}

function siteOf(domain: Domain, records: readonly MxRecord[]): string {
  return records.length === 0 ? domain : joinedSite(records.map(({ exchange }) => exchange).toSorted());
}

/** One site of several hosts: its name says them all, as far as that is short enough. */
export function joinedSite(hosts: readonly string[]): string {
  const names = [...new Set(hosts)];
  const site = names.join(",");
  if (site.length <= MAX_SITE_CHARS) return site;
  const digest = createHash("sha256").update(site).digest("hex").slice(0, SITE_HASH_CHARS);
  return `${names[0]},+${names.length - 1}-${digest}`;
}

function temporary(site: string, detail: string): Found {
  return { site, ttlSeconds: 0, outcome: deferred("dns", detail) };
}

function loop(domain: Domain): Outcome {
  const detail = `mail for ${domain} would loop: this host is the best mail host that the DNS names for it`;
  return bounced("unroutable", "5.4.6", detail);
}

function unroutable({ detail, liftedBySwitch }: { detail: string; liftedBySwitch: boolean }): Outcome {
  const advice = liftedBySwitch ? "; dns.blockLocalAddresses: false would allow it" : "";
  return bounced("unroutable", "5.4.4", detail + advice);
}
