import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import type { AddressLease, FleetMember } from "#shared/ports/fleet-store.ts";
import type { BlockedEgress } from "#shared/ports/limit-store.ts";
import type { ZoneBacklog } from "#shared/ports/zone-backlog.ts";
import type { FleetStateDeps } from "../../../lambdas/fleet-state.ts";
import { fleetState } from "../../../lambdas/fleet-state.ts";
import { zoneA, zoneB } from "../../support/builders.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { ToldTelemetry } from "../../support/told-telemetry.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

const clock = fakeClock();
const NOTHING = { queued: 0, deferred: 0, held: 0, oldestDueAt: null };

function member(hostname: string, pid: number): FleetMember {
  const worker = `${hostname}:${pid}` as WorkerId;
  return { worker, hostname, pid, startedAt: clock.now(), until: clock.in(MINUTE), addresses: [] };
}

function lease(address: string, until: EpochMs): AddressLease {
  const host = { host: "one", since: clock.now() };
  return { ...host, address, until };
}

interface State {
  readonly backlog?: () => Promise<ZoneBacklog[]>;
  readonly members?: readonly FleetMember[];
  readonly leases?: readonly AddressLease[];
  readonly blocked?: () => Promise<BlockedEgress[]>;
  readonly elastic?: readonly string[];
  readonly disabled?: readonly ZoneName[];
}

async function told(state: State): Promise<ToldTelemetry> {
  const telemetry = toldTelemetry();
  const { backlog = async () => [], members = [], leases = [], blocked = async () => [] } = state;
  const deps: FleetStateDeps = {
    queue: { backlog },
    fleet: { living: async () => [...members], addressLeases: async () => [...leases] },
    limits: { blocked },
    disabled: new Set(state.disabled),
    elastic: state.elastic ?? [],
    clock,
    telemetry,
  };
  await fleetState(deps)();
  return telemetry;
}

describe("what stands in the store", () => {
  test("is told of each zone, also of one in which nothing waits", async () => {
    const backlog = async (): Promise<ZoneBacklog[]> => [
      { zone: zoneA, queued: 3, deferred: 4, held: 5, oldestDueAt: clock.in(-90 * SECOND) },
      { zone: zoneB, ...NOTHING },
    ];
    const { gauges } = await told({ backlog });
    assert.deepEqual(gauges.get(zoneA), {
      RowsQueued: 3,
      RowsDeferred: 4,
      RowsHeld: 5,
      OldestDueAgeSeconds: 90,
    });
    assert.deepEqual(gauges.get(zoneB), {
      RowsQueued: 0,
      RowsDeferred: 0,
      RowsHeld: 0,
      OldestDueAgeSeconds: 0,
    });
  });

  test("has as waiting what is queued where mail is sent", async () => {
    const backlog = async (): Promise<ZoneBacklog[]> => [
      { zone: zoneA, ...NOTHING, queued: 3 },
      { zone: zoneB, ...NOTHING, queued: 7 },
    ];
    assert.equal((await told({ backlog })).gauges.get("*")?.["RowsWaiting"], 10);
    assert.equal((await told({ backlog, disabled: [zoneB] })).gauges.get("*")?.["RowsWaiting"], 3);
  });

  test("counts a host once, however many workers it has", async () => {
    const { gauges } = await told({ members: [member("one", 1), member("one", 2), member("two", 1)] });
    assert.equal(gauges.get("*")?.["SendersAlive"], 2);
  });

  test("counts an address as held while its lease lives, and as wanted while it is in a pool", async () => {
    const leases = [
      lease("m1.example.com", clock.in(1)),
      lease("m2.example.com", clock.now()),
      lease("gone.example.com", clock.in(1)),
    ];
    const elastic = ["m1.example.com", "m2.example.com", "m3.example.com"];
    const { gauges } = await told({ leases, elastic });
    assert.equal(gauges.get("*")?.["AddressesHeld"], 1);
    assert.equal(gauges.get("*")?.["AddressesWanted"], 3);
  });

  test("counts pairs of address and site that may not talk", async () => {
    const entry = { address: "m1", until: clock.in(1), createdAt: clock.now(), response: "554 listed" };
    const blocked = async () => [
      { ...entry, site: "a" },
      { ...entry, site: "b" },
    ];
    const { gauges } = await told({ blocked });
    assert.equal(gauges.get("*")?.["BlockedPairs"], 2);
  });

  test("is left out where it cannot be read, and the rest is told", async () => {
    const backlog = async () => Promise.reject(new Error("the table is throttled"));
    const { gauges, lines } = await told({ backlog });
    assert.deepEqual([...gauges.keys()], ["*"]);
    assert.equal(gauges.get("*")?.["RowsWaiting"], undefined);
    assert.equal(gauges.get("*")?.["SendersAlive"], 0);
    assert.deepEqual(
      lines.map(({ level, message }) => [level, message]),
      [["error", "state not read"]],
    );
  });
});
