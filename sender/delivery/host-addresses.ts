/** The addresses of one mail host that we may connect to, or why there are none. */

import type { Clock } from "#shared/domain/clock.ts";
import { ipFamily, parseIp } from "#shared/domain/ip.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Dns, DnsAnswer } from "#shared/ports/dns.ts";

import { forbiddenRange } from "./forbidden-address.ts";
import { inTime } from "./in-time.ts";

/** What a zone says of the addresses of its targets. */
export interface AddressPolicy {
  readonly ignoreIpv6: boolean;
  readonly preferIpv6: boolean;
  /** True: addresses that are not for the world, and our own ones, are refused. */
  readonly blockLocalAddresses: boolean;
}

/** Addresses by family, so that the order can be chosen anew for each delivery. */
export interface AddressSet {
  readonly v4: readonly string[];
  readonly v6: readonly string[];
}

/**
 * - `usable` at least one address · `own` one of the addresses is ours, so the host is this host
 * - `forbidden` addresses, but none that we may connect to · `none` the DNS says it has no address · `failed` the DNS does not say
 */
export type HostAddresses =
  | { kind: "usable"; addresses: AddressSet; ttlSeconds: number }
  | { kind: "own"; detail: string; ttlSeconds: number }
  | { kind: "forbidden"; detail: string; liftedBySwitch: boolean; ttlSeconds: number }
  | { kind: "none"; detail: string; ttlSeconds: number }
  | { kind: "failed"; detail: string };

/** What is asked of a host while another answer would do is waited for this long: some name servers never answer for AAAA. */
export const PATIENCE_MS = 2 * SECOND;
/** How long hosts are used that were found while other questions failed. */
const PARTIAL_TTL_SECONDS = 60;

/** Look up a host and judge what comes. */
export async function lookUpAddresses(
  host: string,
  {
    dns,
    clock,
    policy,
    ownAddresses,
  }: { dns: Dns; clock: Clock; policy: AddressPolicy; ownAddresses: ReadonlySet<string> },
): Promise<HostAddresses> {
  const asked = [dns.addresses(host, 4), ...(policy.ignoreIpv6 ? [] : [dns.addresses(host, 6)])];
  const answers = await inTime(asked, {
    isEnough: ({ kind }) => kind === "found",
    patienceMs: PATIENCE_MS,
    clock,
  });
  const known = answers.filter((answer) => answer !== null);
  const ips = known.flatMap((answer) => (answer.kind === "found" ? answer.records : []));
  const ttlSeconds = Math.min(...answers.map((answer) => (answer ? ttlOf(answer) : PARTIAL_TTL_SECONDS)));
  if (ips.length > 0) return judgeAddresses({ host, ips, ttlSeconds, policy, ownAddresses });
  const failure = known.find((answer) => answer.kind === "failed");
  if (failure) return { kind: "failed", detail: `looking up ${host}: ${failure.detail}` };
  return withoutAddress(host, known, policy, ttlSeconds);
}

/** Of an answer of any kind: a failure beside something found is tried again after a while. */
export function ttlOf(answer: { ttlSeconds: number } | { kind: "failed" }): number {
  return "ttlSeconds" in answer ? answer.ttlSeconds : PARTIAL_TTL_SECONDS;
}

/** Sort out the addresses that we must not connect to. There must be one at least. */
export function judgeAddresses({
  host,
  ips,
  ttlSeconds,
  policy,
  ownAddresses,
}: {
  host: string;
  ips: readonly string[];
  ttlSeconds: number;
  policy: AddressPolicy;
  ownAddresses: ReadonlySet<string>;
}): Exclude<HostAddresses, { kind: "none" | "failed" }> {
  const canonical = [...new Set(ips.map((ip) => parseIp(ip) ?? ip))];
  const own = policy.blockLocalAddresses ? canonical.find((ip) => ownAddresses.has(ip)) : undefined;
  if (own !== undefined) {
    return { kind: "own", detail: `${host} has our own address ${own}`, ttlSeconds };
  }
  const judged = canonical.map((ip) => ({ ip, range: forbiddenRange(ip) }));
  const usable = judged.filter(
    ({ range }) => range === null || (range.rule === "local" && !policy.blockLocalAddresses),
  );
  if (usable.length > 0) {
    return { kind: "usable", addresses: byFamily(usable.map(({ ip }) => ip)), ttlSeconds };
  }
  const reasons = judged.map(({ ip, range }) => (ip === host ? range?.why : `${ip}: ${range?.why}`));
  return {
    kind: "forbidden",
    detail: `${host} has no address that mail may go to (${reasons.slice(0, 3).join("; ")})`,
    liftedBySwitch: judged.some(({ range }) => range?.rule === "local"),
    ttlSeconds,
  };
}

function byFamily(ips: readonly string[]): AddressSet {
  return { v4: ips.filter((ip) => ipFamily(ip) === 4), v6: ips.filter((ip) => ipFamily(ip) === 6) };
}

function withoutAddress(
  host: string,
  answers: readonly DnsAnswer<string>[],
  policy: AddressPolicy,
  ttlSeconds: number,
): HostAddresses {
  if (answers.every(({ kind }) => kind === "nxdomain")) {
    return { kind: "none", detail: `${host} does not exist`, ttlSeconds };
  }
  if (policy.ignoreIpv6) {
    const detail = `${host} has no IPv4 address, and IPv6 is off for this zone (ignoreIpv6)`;
    return { kind: "forbidden", detail, liftedBySwitch: false, ttlSeconds };
  }
  return { kind: "none", detail: `${host} has neither an A nor an AAAA record`, ttlSeconds };
}
