/** The resolver of destinations over a made-up DNS, and what its tests read of its answers. */

import assert from "node:assert/strict";

import { parseDomain } from "#shared/domain/address.ts";
import type { Domain } from "#shared/domain/address.ts";
import { plainRelay } from "#shared/domain/zone.ts";
import type { Relay } from "#shared/domain/zone.ts";
import { mxResolver } from "../../sender/delivery/resolve-mx.ts";
import type { AddressPolicy, MxResolverDeps, Resolved } from "../../sender/delivery/resolve-mx.ts";
import { fakeClock } from "./fake-clock.ts";
import type { FakeClock } from "./fake-clock.ts";
import { fakeDns } from "./fake-dns.ts";
import type { FakeName } from "./fake-dns.ts";

const STRICT: AddressPolicy = { ignoreIpv6: false, preferIpv6: false, blockLocalAddresses: true };

/** A resolver over a made-up DNS; chance is a seeded sequence, so that each run is the same. */
export function resolver(names: Record<string, FakeName>, fields: Partial<MxResolverDeps> = {}) {
  const dns = fakeDns(names);
  const clock = fakeClock();
  const resolve = mxResolver({
    dns,
    clock,
    random: seeded(1),
    ownNames: new Set(["relay.own.net"]),
    ownAddresses: new Set(["198.41.0.4"]),
    hostsFile: () => Promise.resolve([]),
    ...fields,
  });
  return {
    dns,
    clock,
    domain: (name: string, policy: Partial<AddressPolicy> = {}) =>
      resolve({ domain: domain(name) }, { ...STRICT, ...policy }),
    relay: (host: string, policy: Partial<AddressPolicy> = {}) =>
      resolve({ relay: relay(host) }, { ...STRICT, ...policy }),
  };
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

function domain(text: string): Domain {
  const parsed = parseDomain(text);
  assert.ok(parsed, text);
  return parsed;
}

function relay(host: string): Relay {
  return plainRelay(host, 2526);
}

export function names(resolved: Resolved): string[] {
  assert.ok(resolved.ok, JSON.stringify(resolved));
  return resolved.hosts.map(({ name }) => name);
}

export function addresses(resolved: Resolved): readonly string[] {
  assert.ok(resolved.ok, JSON.stringify(resolved));
  return resolved.hosts.flatMap((host) => host.addresses);
}

export async function untilAsleep(clock: FakeClock): Promise<void> {
  while (clock.sleepers === 0) await new Promise(setImmediate);
}

/** Kind, cause and status of the outcome, as `bounced no-domain 5.1.2`. */
export function fate(resolved: Resolved): string {
  assert.ok(!resolved.ok, JSON.stringify(resolved));
  const { outcome } = resolved;
  if (outcome.kind === "deferred") return `deferred ${outcome.cause}`;
  return outcome.kind === "bounced" ? `bounced ${outcome.cause} ${outcome.status}` : outcome.kind;
}

export function detail(resolved: Resolved): string {
  assert.ok(!resolved.ok && resolved.outcome.kind !== "delivered");
  return resolved.outcome.detail;
}
