/** What every LimitStore keeps to: blocked pairs, slowed sites, warm-up counts, and counts in windows. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Clock } from "#shared/domain/clock.ts";
import { DAY, MINUTE } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import { anna } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";
import type { OpenLimitStore } from "./limit-store.contract.ts";

const MX = "mx.one.example";

export function limitBlocksContract(open: OpenLimitStore): void {
  test("a pair is blocked until its time or until it is unblocked, and blocked again as said last", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const entry = { address: "192.0.2.1", site: MX, createdAt: clock.now(), response: "554 5.7.1 listed" };
    await store.block({ ...entry, until: clock.in(MINUTE) });
    await store.block({ ...entry, address: "192.0.2.2", until: clock.in(2 * MINUTE) });
    assert.equal((await store.blocked()).length, 2);
    await clock.advance(MINUTE);
    assert.deepEqual(await store.blocked(), [{ ...entry, address: "192.0.2.2", until: clock.in(MINUTE) }]);
    assert.equal(await store.unblock("192.0.2.1", MX), false, "its time is over");
    const again = { ...entry, address: "192.0.2.2", until: clock.in(5 * MINUTE), response: "still" };
    await store.block(again);
    assert.deepEqual(await store.blocked(), [again]);
    assert.equal(await store.unblock("192.0.2.2", "other.example"), false);
    assert.equal(await store.unblock("192.0.2.2", MX), true);
    assert.equal(await store.unblock("192.0.2.2", MX), false);
    assert.deepEqual(await store.blocked(), []);
  });

  test("a site of a zone is slowed until its time, as said last", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const entry = {
      zone: "a" as ZoneName,
      site: MX,
      step: 1,
      raisedAt: clock.now(),
      complainedAt: clock.now(),
      until: clock.in(MINUTE),
      response: "421 4.7.0 slow down",
    };
    const longer = { ...entry, zone: "b" as ZoneName, step: 3, until: clock.in(3 * MINUTE) };
    await store.slow(entry);
    await store.slow({ ...longer, until: clock.in(2 * MINUTE) });
    await store.slow(longer);
    const found = await store.slowed();
    assert.deepEqual(
      found.toSorted((one, other) => one.step - other.step),
      [entry, longer],
    );
    await clock.advance(MINUTE);
    assert.deepEqual(await store.slowed(), [longer]);
    await clock.advance(2 * MINUTE);
    assert.deepEqual(await store.slowed(), []);
  });

  test("warm-up counts add up by address, site and day", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const day = dayOf(clock);
    const key = { address: "192.0.2.1", site: MX, day };
    assert.equal(await store.countWarmup(key, 0), 0);
    const counts = await Promise.all(Array.from({ length: 10 }, () => store.countWarmup(key, 3)));
    assert.equal(Math.max(...counts), 30);
    assert.equal(await store.countWarmup({ ...key, address: "192.0.2.2" }, 1), 1);
    assert.equal(await store.countWarmup({ ...key, site: "other.example" }, 1), 1);
    await clock.advance(DAY);
    assert.equal(await store.countWarmup({ ...key, day: dayOf(clock) }, 1), 1);
    assert.equal(await store.countWarmup(key, 0), 30);
  });

  test("counts in windows add up by key, and begin anew with each window", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await clock.advance(MINUTE - (clock.now() % MINUTE)); // where a window begins
    const counts = await Promise.all(Array.from({ length: 5 }, () => store.countInWindow("a:b", MINUTE)));
    assert.deepEqual(
      counts.toSorted((one, other) => one - other),
      [1, 2, 3, 4, 5],
    );
    assert.equal(await store.countInWindow("a:c", MINUTE), 1);
    assert.equal(
      await store.countInWindow("a:b", 2 * MINUTE),
      1,
      "a window of another length is another one",
    );
    await clock.advance(MINUTE - 1);
    assert.equal(await store.countInWindow("a:b", MINUTE), 6);
    await clock.advance(1);
    assert.equal(await store.countInWindow("a:b", MINUTE), 1);
  });

  test("keys may be long and of any text", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const site = "mx.example,".repeat(500);
    for (const key of [site, `${site}2`, "", "a\0b", "ä"]) {
      const ask = { holder: anna, want: 2, limit: 1, until: clock.in(MINUTE) };
      assert.equal(await store.acquireSlots(key, ask), 1);
      const rate = { count: 1, perMs: MINUTE };
      assert.equal((await store.takeBudget(key, { want: 2, rate })).permits.length, 1);
      const entry = { address: "::1", site: key, createdAt: clock.now(), until: clock.in(1), response: "" };
      await store.block(entry);
      assert.deepEqual(await store.blocked(), [entry]);
      assert.equal(await store.unblock("::1", key), true);
      assert.equal(await store.countInWindow(key, MINUTE), 1);
    }
  });
}

function dayOf(clock: Clock): string {
  return new Date(clock.now()).toISOString().slice(0, 10);
}
