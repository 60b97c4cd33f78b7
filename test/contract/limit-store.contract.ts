/** What every LimitStore keeps to: first by example, then random histories against a model of a few lines. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import type { Clock } from "#shared/domain/clock.ts";
import { MAX_AHEAD_MS } from "#shared/domain/rate-schedule.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { DAY, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import { anna, ben } from "../support/builders.ts";
import type { FakeClock } from "../support/fake-clock.ts";
import { fakeClock } from "../support/fake-clock.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenLimitStore = (clock: Clock) => Promise<{ store: LimitStore } & AsyncDisposable>;

const MX = "mx.one.example";

export function limitStoreContract(backend: string, open: OpenLimitStore): void {
  describe(`LimitStore on ${backend}`, () => {
    slotContract(open);
    budgetContract(open);
    blockContract(open);
  });
}

function slotContract(open: OpenLimitStore): void {
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

function budgetContract(open: OpenLimitStore): void {
  const rate = { count: 10, perMs: MINUTE }; // one in six seconds

  test("a rate gives one permit after the other, evenly, and says when the next will be there", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const start = clock.now();
    const next = start + 6 * SECOND;
    assert.deepEqual(await store.takeBudget(MX, { want: 4, rate }), { permits: [start], retryAt: next });
    assert.deepEqual(await store.takeBudget(MX, { want: 1, rate }), { permits: [], retryAt: next });
    assert.equal((await store.takeBudget("other", { want: 1, rate })).permits.length, 1, "keys are apart");
    await clock.advance(6 * SECOND);
    const retryAt = clock.in(6 * SECOND);
    assert.deepEqual(await store.takeBudget(MX, { want: 1, rate }), { permits: [next], retryAt });
  });

  test("permits of a pause are not caught up on", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await store.takeBudget(MX, { want: 1, rate });
    await clock.advance(MINUTE);
    const { permits } = await store.takeBudget(MX, { want: 9, rate, aheadMs: SECOND });
    assert.deepEqual(permits, [clock.now()]);
  });

  test("permits of the near future can be taken, by one asker only", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const fast = { count: 10, perMs: SECOND };
    const first = await store.takeBudget(MX, { want: 2, rate: fast, aheadMs: SECOND / 4 });
    assert.deepEqual(first.permits, [clock.now(), clock.in(100)]);
    const second = await store.takeBudget(MX, { want: 9, rate: fast, aheadMs: SECOND / 4 });
    assert.deepEqual(second, { permits: [clock.in(200)], retryAt: clock.in(300) });
  });

  test("a rate can be put off, whether it has a permit or not", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const start = clock.now();
    await store.takeBudget(MX, { want: 1, rate });
    const put = await store.takeBudget(MX, { want: 1, rate, laterMs: 500 });
    assert.deepEqual(put, { permits: [], retryAt: start + 6_500 });
    await clock.advance(6_500);
    assert.equal((await store.takeBudget(MX, { want: 1, rate })).permits.length, 1);
  });

  test("a rate that was made faster is so at once", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await store.takeBudget(MX, { want: 1, rate: { count: 1, perMs: DAY } });
    await clock.advance(SECOND);
    assert.equal(
      (await store.takeBudget(MX, { want: 1, rate: { count: 1, perMs: SECOND } })).permits.length,
      1,
    );
  });

  test("a burst of requests at once gets no permit twice", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () =>
        opened.store.takeBudget(MX, { want: 2, rate: { count: 20, perMs: SECOND }, aheadMs: MAX_AHEAD_MS }),
      ),
    );
    const permits = answers.flatMap((answer) => answer.permits);
    assert.equal(permits.length, 11);
    assert.equal(new Set(permits).size, 11);
  });

  test("whoever asks at the time he was told gets a permit, and nobody before", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } });
    for (let i = 0; i < 20; i++) {
      const refused = await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } });
      await clock.advance(refused.retryAt - clock.now() - 1);
      const early = await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } });
      assert.deepEqual(early.permits, [], "a millisecond before");
      await clock.advance(1);
      assert.equal(
        (await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } })).permits.length,
        1,
      );
    }
  });
}

function blockContract(open: OpenLimitStore): void {
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
