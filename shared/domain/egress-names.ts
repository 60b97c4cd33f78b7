/** The EHLO names that mail leaves by, and the addresses that the world sees behind each. */

import type { Config } from "./config.ts";
import { isSeenByOthers, parseIp } from "./ip.ts";

export interface EgressName {
  readonly name: string;
  /** As others see them, in one spelling; empty: not known here, such as behind NAT, or of an Elastic IP. */
  readonly publicIps: readonly string[];
  /** Addresses of hosts that a connection can bind; `0.0.0.0` and `::` are any. */
  readonly bound: readonly string[];
  /** True: an Elastic IP, which one host of the fleet or another holds. */
  readonly isElastic: boolean;
}

export interface KnownAddress {
  readonly publicIp: string;
  /** The address of a host that it stands before; null: none, or nobody knows. */
  readonly privateAddress: string | null;
}

/**
 * Of all zones that send to the world's mail hosts. `known`: addresses by name, from who knows better than the configuration, which
 * then says nothing for that name.
 */
export function egressNames(
  config: Config,
  known: ReadonlyMap<string, readonly KnownAddress[]>,
): EgressName[] {
  const zones = [...config.zones.values()].filter(
    ({ disabled, relay, http }) => !disabled && relay === null && http === null,
  );
  const byName = Map.groupBy(
    zones.flatMap(({ pool }) => pool),
    ({ name }) => name.toLowerCase(),
  );
  return [...byName].map(([name, entries]) => {
    const configured = entries.flatMap(({ address }) => parseIp(address) ?? []);
    const better = known.get(name);
    const publicIps = better?.map(({ publicIp }) => publicIp) ?? configured.filter(isSeenByOthers);
    const bound = [...configured, ...(better ?? []).flatMap(({ privateAddress }) => privateAddress ?? [])];
    return {
      name,
      publicIps: [...new Set(publicIps)],
      bound: [...new Set(bound)],
      isElastic: entries.every(({ elastic }) => elastic === true),
    };
  });
}

/** Domains in whose name mail is sent, as far as the configuration tells: those with keys, and those that zones are chosen by. */
export function sendingDomains(config: Config, more: readonly string[]): string[] {
  const { dkim, zones } = config;
  const found = [
    ...more,
    ...dkim.keys.map(({ domain }) => domain),
    ...(dkim.allMailKey?.domain ? [dkim.allMailKey.domain] : []),
    ...[...zones.values()].flatMap(({ routes }) => routes.senderDomains),
  ];
  return [...new Set(found.map((domain) => domain.toLowerCase()))];
}
