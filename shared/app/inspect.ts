/**
 * What the fleet does just now: its workers, the Elastic IPs that hosts hold, the domains it takes no mail for, the addresses that sites
 * refuse.
 */

import type { Clock } from "../domain/clock.ts";
import type { Zone, ZoneName } from "../domain/zone.ts";
import type { FleetStore } from "../ports/fleet-store.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import { blockId, listBlocked, readZone } from "./query.ts";

export interface InspectDeps {
  readonly queue: QueueStore;
  readonly limits: LimitStore;
  readonly fleet: FleetStore;
  readonly zones: ReadonlyMap<ZoneName, Zone>;
  readonly clock: Pick<Clock, "now">;
}

/** Domains that a living worker takes no mail for, as it said at its last heartbeat, which may be half a minute ago. */
export async function listSkipped({ fleet, zones }: Pick<InspectDeps, "fleet" | "zones">, text?: string) {
  const zone = readZone(zones, text);
  const full = (await fleet.living()).flatMap((member) => member.full ?? []);
  const domains = full.filter((one) => zone === null || one.zone === zone).flatMap((one) => one.domains);
  return { skipDomains: domains.length === 0 ? (false as const) : [...new Set(domains)].toSorted() };
}

/** Let addresses be used again, at all sites or one. The blocks that are left out stay; workers see it within seconds. */
export async function unblock(
  { limits }: Pick<InspectDeps, "limits">,
  wanted: { address?: string | undefined; domain?: string | undefined },
) {
  const { address, domain } = wanted;
  const meant = (await limits.blocked()).filter(
    (entry) =>
      (address === undefined || entry.address === address) && (domain === undefined || entry.site === domain),
  );
  const deleted: string[] = [];
  for (const entry of meant) {
    if (await limits.unblock(entry.address, entry.site)) deleted.push(blockId(entry));
  }
  return { success: true as const, deleted };
}

/**
 * ZoneMTA counts a few things in its memory. What is told here is how things are now; what is counted is for Prometheus, which takes a
 * count that goes back for a restart: so there is nothing to clear.
 */
export function clearCounters() {
  return { counters: {}, note: "nothing is counted here; what /metrics counts never goes back" };
}

/** For people and bug reports: its form is no promise. */
export async function internals({ queue, limits, fleet, zones, clock }: InspectDeps) {
  const [workers, leases, counts, blocked] = await Promise.all([
    fleet.living(),
    fleet.addressLeases(),
    queue.counts(),
    listBlocked({ limits }),
  ]);
  return {
    time: new Date(clock.now()).toISOString(),
    workers: workers.map(({ startedAt, until, ...worker }) => ({
      ...worker,
      started: new Date(startedAt).toISOString(),
      alive: `until ${new Date(until).toISOString()}`,
    })),
    elasticAddresses: leases.map(({ address, host, since, until }) => ({
      name: address,
      host,
      since: new Date(since).toISOString(),
      held: `until ${new Date(until).toISOString()}`,
    })),
    zones: [...zones.values()].map(({ name, disabled, connections }) => ({ name, disabled, connections })),
    queue: counts,
    blacklist: blocked.list,
  };
}
