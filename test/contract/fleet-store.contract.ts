/** What every FleetStore keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Clock } from "#shared/domain/clock.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { FleetMember, FleetStore } from "#shared/ports/fleet-store.ts";
import { anna, ben, zoneA, zoneB } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenFleetStore = (clock: Clock) => Promise<{ store: FleetStore } & AsyncDisposable>;

function member(clock: Clock, fields: Partial<FleetMember>): FleetMember {
  const now = clock.now();
  return { worker: anna, hostname: "host", pid: 7, startedAt: now, until: now, addresses: [], ...fields };
}

async function names(store: FleetStore): Promise<string[]> {
  return (await store.living()).map(({ worker }) => worker).toSorted();
}

export function fleetStoreContract(backend: string, open: OpenFleetStore): void {
  describe(`FleetStore on ${backend}`, () => {
    test("a member lives until its time, and longer when it says so again", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      await store.beat(member(clock, { worker: anna, until: clock.in(10 * SECOND) }));
      await store.beat(member(clock, { worker: ben, until: clock.in(10 * SECOND) }));
      await clock.advance(9 * SECOND);
      assert.deepEqual(await names(store), [anna, ben]);
      await store.beat(member(clock, { worker: ben, until: clock.in(10 * SECOND) }));
      await clock.advance(SECOND);
      assert.deepEqual(await names(store), [ben]);
    });

    test("a member is as it said last, with the addresses it holds", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const first = member(clock, { until: clock.in(SECOND), addresses: ["192.0.2.1"] });
      await store.beat(first);
      assert.deepEqual(await store.living(), [first]);
      const full = [
        { zone: zoneA, domains: ["one.example", "two.example"] },
        { zone: zoneB, domains: ["*"] },
      ];
      const addresses = ["192.0.2.2", "2001:db8::1"];
      const next = { ...first, until: clock.in(2 * SECOND), addresses, full };
      await store.beat(next);
      assert.deepEqual(await store.living(), [next]);
    });

    test("who leaves is gone at once, may come back, and may leave without having been there", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      await store.leave(ben);
      await store.beat(member(clock, { until: clock.in(SECOND) }));
      await store.leave(anna);
      assert.deepEqual(await store.living(), []);
      await store.beat(member(clock, { until: clock.in(SECOND) }));
      assert.deepEqual(await names(store), [anna]);
    });

    test("an address is one host's until its time, and longer when it says so again", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const hold = (host: string) =>
        store.holdAddress({ address: "m1.example", host, since: clock.now(), until: clock.in(30 * SECOND) });
      assert.deepEqual([await hold("one"), await hold("two")], [true, false]);
      await clock.advance(20 * SECOND);
      assert.equal(await hold("one"), true);
      await clock.advance(29 * SECOND);
      assert.equal(await hold("two"), false);
      const since = later(clock.now(), -29 * SECOND); // of the last time
      const until = clock.in(SECOND);
      assert.deepEqual(await store.addressLeases(), [{ address: "m1.example", host: "one", since, until }]);
    });

    test("an address of a host that has died is another's some seconds after its time", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const hold = (host: string) =>
        store.holdAddress({ address: "m1.example", host, since: clock.now(), until: clock.in(30 * SECOND) });
      await hold("dead");
      await clock.advance(36 * SECOND);
      assert.deepEqual([await hold("two"), await hold("dead")], [true, false]);
    });

    test("an address that is given back is free at once, and nobody gives back another's", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const hold = (address: string, host: string) =>
        store.holdAddress({ address, host, since: clock.now(), until: clock.in(30 * SECOND) });
      await hold("m1.example", "one");
      await hold("m2.example", "one");
      await store.releaseAddress("m1.example", "two");
      await store.releaseAddress("m3.example", "one");
      assert.equal(await hold("m1.example", "two"), false);
      await store.releaseAddress("m1.example", "one");
      assert.equal(await hold("m1.example", "two"), true);
      assert.equal(await hold("m2.example", "two"), false);
    });

    test("of hosts that want an address at the same time one gets it", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const until = clock.in(30 * SECOND);
      const got = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          store.holdAddress({ address: "m1.example", host: `h${i}`, since: clock.now(), until }),
        ),
      );
      assert.equal(got.filter(Boolean).length, 1);
    });
  });
}
