/**
 * What stands in the store, told as metrics once a minute: what waits in each zone and for how long, which senders are alive, whether
 * every Elastic IP has a host, what sites refuse. What cannot be read is left out, and alarms go off when it stays out.
 */

import type { Clock } from "#shared/domain/clock.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { FleetStore } from "#shared/ports/fleet-store.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import type { ZoneBacklog } from "#shared/ports/zone-backlog.ts";

import type { Telemetry } from "./telemetry.ts";

export interface FleetStateDeps {
  readonly queue: { backlog(): Promise<ZoneBacklog[]> };
  readonly fleet: Pick<FleetStore, "living" | "addressLeases">;
  readonly limits: Pick<LimitStore, "blocked">;
  /** Zones whose mail is kept and not sent. */
  readonly disabled: ReadonlySet<ZoneName>;
  /** Names of the Elastic IPs in the pools. */
  readonly elastic: readonly string[];
  readonly clock: Pick<Clock, "now">;
  readonly telemetry: Telemetry;
}

/** What it gives never rejects. */
export function fleetState(deps: FleetStateDeps): () => Promise<void> {
  const told = async (what: string, tell: (deps: FleetStateDeps) => Promise<void>): Promise<void> => {
    try {
      await tell(deps);
    } catch (error) {
      deps.telemetry.log.error({ component: "state", what, err: error }, "state not read");
    }
  };
  return async () => {
    await Promise.all([told("zones", tellZones), told("fleet", tellFleet)]);
  };
}

async function tellZones({ queue, disabled, clock, telemetry }: FleetStateDeps): Promise<void> {
  const backlog = await queue.backlog();
  const now = clock.now();
  for (const { zone, queued, deferred, held, oldestDueAt } of backlog) {
    telemetry.zoneGauges(zone, now, {
      RowsQueued: queued,
      RowsDeferred: deferred,
      RowsHeld: held,
      OldestDueAgeSeconds: oldestDueAt === null ? 0 : Math.max(0, Math.round((now - oldestDueAt) / SECOND)),
    });
  }
  const sending = backlog.filter(({ zone }) => !disabled.has(zone));
  telemetry.fleetGauges(now, { RowsWaiting: sending.reduce((sum, { queued }) => sum + queued, 0) });
}

async function tellFleet({ fleet, limits, elastic, clock, telemetry }: FleetStateDeps): Promise<void> {
  const [members, leases, blocked] = await Promise.all([
    fleet.living(),
    elastic.length === 0 ? [] : fleet.addressLeases(),
    limits.blocked(),
  ]);
  const now = clock.now();
  const held = new Set(leases.filter(({ until }) => until > now).map(({ address }) => address));
  telemetry.fleetGauges(now, {
    SendersAlive: new Set(members.map(({ hostname }) => hostname)).size,
    AddressesWanted: elastic.length,
    AddressesHeld: elastic.filter((name) => held.has(name)).length,
    BlockedPairs: blocked.length,
  });
}
