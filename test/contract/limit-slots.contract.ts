/** What every LimitStore keeps to: connection slots, by example and in random histories against a model of a few lines. */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import type { WorkerId } from "#shared/domain/ids.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { anna, ben } from "../support/builders.ts";
import type { FakeClock } from "../support/fake-clock.ts";
import { fakeClock } from "../support/fake-clock.ts";
import type { OpenLimitStore } from "./limit-store.contract.ts";

const MX = "mx.one.example";

export function limitSlotsContract(open: OpenLimitStore): void {
  test("holders together get the limit and no more, and what one releases another gets", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const ask = { limit: 5, until: clock.in(MINUTE) };
    assert.equal(await store.acquireSlots(MX, { ...ask, holder: anna, want: 3 }), 3);
    assert.equal(await store.acquireSlots(MX, { ...ask, holder: ben, want: 3 }), 2);
    assert.equal(await store.acquireSlots(MX, { ...ask, holder: anna, want: 1 }), 0);
    await store.releaseSlots(MX, { holder: ben, count: 1 });
    assert.equal(await store.acquireSlots(MX, { ...ask, holder: anna, want: 9 }), 1);
    assert.equal(await store.acquireSlots("other", { ...ask, holder: anna, want: 9 }), 5, "keys are apart");
  });

  test("a burst of requests at once does not go over the limit", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const ask = { want: 2, limit: 7, until: clock.in(MINUTE) };
    const granted = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        opened.store.acquireSlots(MX, { ...ask, holder: i % 2 ? anna : ben }),
      ),
    );
    assert.equal(
      granted.reduce((sum, count) => sum + count, 0),
      7,
    );
  });

  test("releasing more than there is, or what somebody else has, frees nothing of others", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const ask = { limit: 4, until: clock.in(MINUTE) };
    await store.acquireSlots(MX, { ...ask, holder: anna, want: 1 });
    await store.acquireSlots(MX, { ...ask, holder: ben, want: 2 });
    await store.releaseSlots(MX, { holder: anna, count: 50 });
    await store.releaseSlots(MX, { holder: "nobody" as WorkerId, count: 1 });
    assert.equal(await store.acquireSlots(MX, { ...ask, holder: anna, want: 9 }), 2);
  });

  test("a lowered limit grants nothing until enough came back", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const until = clock.in(MINUTE);
    await store.acquireSlots(MX, { holder: anna, want: 5, limit: 5, until });
    assert.equal(await store.acquireSlots(MX, { holder: ben, want: 1, limit: 2, until }), 0);
    await store.releaseSlots(MX, { holder: anna, count: 4 });
    assert.equal(await store.acquireSlots(MX, { holder: ben, want: 5, limit: 2, until }), 1);
  });

  test("slots of a holder that does not renew come back when its time is over, not before", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await store.acquireSlots(MX, { holder: anna, want: 2, limit: 2, until: clock.in(MINUTE) });
    await clock.advance(MINUTE - 1);
    const ask = { holder: ben, want: 2, limit: 2 };
    assert.equal(await store.acquireSlots(MX, { ...ask, until: clock.in(MINUTE) }), 0);
    await clock.advance(1);
    assert.equal(await store.acquireSlots(MX, { ...ask, until: clock.in(MINUTE) }), 2);
  });

  test("a renewal keeps all slots of its holder, of every key, and no one else's", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const ask = { want: 1, limit: 1 };
    await store.acquireSlots("a", { ...ask, holder: anna, until: clock.in(MINUTE) });
    await store.acquireSlots("b", { ...ask, holder: anna, until: clock.in(MINUTE) });
    await store.acquireSlots("c", { ...ask, holder: ben, until: clock.in(MINUTE) });
    await clock.advance(MINUTE - 1);
    assert.equal(await store.renewSlots(anna, clock.in(MINUTE)), true);
    await clock.advance(1);
    const carl = { ...ask, holder: "carl" as WorkerId, until: clock.in(MINUTE) };
    assert.equal(await store.acquireSlots("a", carl), 0);
    assert.equal(await store.acquireSlots("b", carl), 0);
    assert.equal(await store.acquireSlots("c", carl), 1);
  });

  test("a holder that renews late has what nobody took, and has lost what was taken", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const ask = { want: 2, limit: 2 };
    await store.acquireSlots("taken", { ...ask, holder: anna, until: clock.in(MINUTE) });
    await store.acquireSlots("left", { ...ask, holder: anna, until: clock.in(MINUTE) });
    await clock.advance(2 * MINUTE);
    assert.equal(await store.acquireSlots("taken", { ...ask, holder: ben, until: clock.in(MINUTE) }), 2);
    assert.equal(await store.renewSlots(anna, clock.in(MINUTE)), false, "it is told");
    assert.equal(await store.renewSlots(anna, clock.in(MINUTE)), true, "once");
    assert.equal(await store.acquireSlots("left", { ...ask, holder: ben, until: clock.in(MINUTE) }), 0);
    await store.releaseSlots("taken", { holder: anna, count: 2 });
    const carl = "carl" as WorkerId;
    assert.equal(
      await store.acquireSlots("taken", { ...ask, holder: carl, until: clock.in(MINUTE) }),
      0,
      "ben's",
    );
  });

  test("the slots of a dropped holder are free at once and stay so when it comes again", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const ask = { want: 1, limit: 1, until: clock.in(MINUTE) };
    for (const key of ["a", "b"]) await store.acquireSlots(key, { ...ask, holder: anna });
    await store.dropHolder(anna);
    await store.dropHolder("nobody" as WorkerId);
    assert.equal(await store.renewSlots(anna, clock.in(MINUTE)), false);
    assert.equal(await store.acquireSlots("c", { ...ask, holder: anna }), 1);
    for (const key of ["a", "b"]) assert.equal(await store.acquireSlots(key, { ...ask, holder: ben }), 1);
    assert.equal(await store.acquireSlots("c", { ...ask, holder: ben }), 0);
  });

  test("in any history no key has more slots out than its limit, and none is withheld", async () => {
    const who = fc.constantFrom(anna, ben, "carl" as WorkerId);
    const key = fc.constantFrom("a", "b");
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constant("acquire" as const),
          who,
          key,
          count: fc.integer({ min: 1, max: 4 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant("release" as const),
          who,
          key,
          count: fc.integer({ min: 1, max: 4 }),
        }),
      },
      fc.record({ do: fc.constant("renew" as const), who, key, count: fc.constant(0) }),
      fc.record({ do: fc.constant("drop" as const), who, key, count: fc.constant(0) }),
      fc.record({ do: fc.constant("wait" as const), who, key, count: fc.constantFrom(30, 60) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const clock = fakeClock();
        await using opened = await open(clock);
        const model = slotModel(clock, 5);
        for (const { do: action, who, key, count } of steps) {
          const until = clock.in(MINUTE);
          if (action === "wait") await clock.advance(count * SECOND);
          if (action === "renew") await opened.store.renewSlots(who, until);
          if (action === "drop") await opened.store.dropHolder(who);
          if (action === "release") await opened.store.releaseSlots(key, { holder: who, count });
          if (action === "acquire") {
            const request = { holder: who, want: count, limit: 5, until };
            assert.equal(await opened.store.acquireSlots(key, request), model.acquire(who, key, count));
          } else model[action](who, key, count);
        }
      }),
      { numRuns: 30 },
    );
  });
}

/** The rules in the plainest form: what a holder has counts while it is alive, or until another asks. */
function slotModel(clock: FakeClock, limit: number) {
  const has = new Map<string, number>();
  const aliveUntil = new Map<string, number>();
  const slotKey = (who: string, key: string): string => `${key}/${who}`;
  return {
    acquire(who: string, key: string, want: number): number {
      const others = [...has.keys()].filter(
        (slot) => slot.startsWith(`${key}/`) && slot !== slotKey(who, key),
      );
      const lapsed = others.filter((slot) => (aliveUntil.get(slot.split("/")[1] ?? "") ?? 0) <= clock.now());
      const living = others.filter((slot) => !lapsed.includes(slot));
      const mine = has.get(slotKey(who, key)) ?? 0;
      const used = living.reduce((sum, slot) => sum + (has.get(slot) ?? 0), mine);
      const granted = Math.max(0, Math.min(want, limit - used));
      if (granted === 0) return 0;
      for (const slot of lapsed) has.delete(slot);
      has.set(slotKey(who, key), mine + granted);
      aliveUntil.set(who, clock.in(MINUTE));
      return granted;
    },
    release(who: string, key: string, count: number): void {
      has.set(slotKey(who, key), Math.max(0, (has.get(slotKey(who, key)) ?? 0) - count));
    },
    renew(who: string): void {
      if (aliveUntil.has(who)) aliveUntil.set(who, clock.in(MINUTE));
    },
    drop(who: string): void {
      aliveUntil.delete(who);
      for (const slot of has.keys()) if (slot.endsWith(`/${who}`)) has.delete(slot);
    },
    wait(): void {},
  };
}
