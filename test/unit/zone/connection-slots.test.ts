import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { WorkerId } from "#shared/domain/ids.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import { AWS_TERMS, EMBEDDED_TERMS } from "../../../sender/store-terms.ts";
import { connectionSlots } from "../../../sender/zone/connection-slots.ts";
import type { ConnectionSlots } from "../../../sender/zone/connection-slots.ts";
import type { SlotAnswer, SlotTerms } from "../../../sender/zone/slot-slice.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { anna, ben } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";

const REMOTE = AWS_TERMS.slots;
const site = (name: string, { siteLimit = 5, zoneLimit = 100 } = {}) => ({
  zone: "a",
  zoneLimit,
  site: name,
  siteLimit,
});

interface Process {
  readonly slots: ConnectionSlots;
  /** Calls to the store so far. */
  calls(): number;
  /** True: the store answers nothing any more. */
  down: boolean;
}

/** A process that shares a real store with others. */
function processOf(limits: LimitStore, clock: FakeClock, holder: WorkerId, terms: SlotTerms): Process {
  let calls = 0;
  const watched = new Proxy(limits, {
    get:
      (store, name: keyof LimitStore) =>
      async (...args: never[]) => {
        calls++;
        if (it.down) throw new Error("the table does not answer");
        return (store[name] as (...args: never[]) => unknown)(...args);
      },
  });
  const it: Process = {
    slots: connectionSlots({ limits: watched, clock, random: () => 0, holder, terms }),
    calls: () => calls,
    down: false,
  };
  return it;
}

function twoProcesses(limits: LimitStore, clock: FakeClock, terms: SlotTerms): [Process, Process] {
  return [processOf(limits, clock, anna, terms), processOf(limits, clock, ben, terms)];
}

function acquireMany(
  { slots }: Process,
  count: number,
  key: ReturnType<typeof site>,
): Promise<readonly SlotAnswer[]> {
  return Promise.all(Array.from({ length: count }, () => slots.acquire(key)));
}

const granted = (answers: readonly SlotAnswer[]): number => answers.filter((answer) => answer.granted).length;

for (const [kind, terms] of [
  ["of a store on this machine", EMBEDDED_TERMS.slots],
  ["of a store that costs a call", REMOTE],
] as const) {
  describe(`connection slots ${kind}`, () => {
    test("are never more than the limit over two processes", async () => {
      const clock = fakeClock();
      await using store = await embeddedBackend(clock);
      const { limits } = store.backend;
      const [one, two] = twoProcesses(limits, clock, terms);
      const answers = await Promise.all([acquireMany(one, 4, site("mx")), acquireMany(two, 4, site("mx"))]);
      assert.equal(granted(answers.flat()), 5);
    });

    test("come down to a lower limit together, and are never more than the old one on the way", async () => {
      const clock = fakeClock();
      await using store = await embeddedBackend(clock);
      const { limits } = store.backend;
      const [one, two] = twoProcesses(limits, clock, terms);
      const narrow = site("mx", { siteLimit: 2 });
      const open = new Map([
        [one, granted(await acquireMany(one, 3, site("mx")))],
        [two, granted(await acquireMany(two, 2, site("mx")))],
      ]);
      const total = (): number => [...open.values()].reduce((sum, count) => sum + count, 0);
      const close = async (process: Process): Promise<void> => {
        open.set(process, (open.get(process) as number) - 1);
        await process.slots.release(narrow);
      };
      const ask = async (process: Process): Promise<void> => {
        const { granted: isGranted } = await process.slots.acquire(narrow);
        if (isGranted) open.set(process, (open.get(process) as number) + 1);
      };
      assert.equal(total(), 5);
      for (const process of [one, two]) process.slots.surrender(narrow);
      for (let round = 0; round < 8; round++) {
        for (const process of [one, two]) {
          if (process.slots.isOver(narrow)) await close(process);
          await process.slots.tidy();
          await clock.advance(10 * SECOND);
          await process.slots.renew();
          const before = total();
          await ask(process);
          assert.ok(total() <= Math.max(before, 2), "a connection is opened only under the new limit");
        }
      }
      assert.equal(total(), 2);
      assert.deepEqual(
        [one, two].map(({ slots }) => slots.isOver(narrow)),
        [false, false],
      );
    });

    test("count for the zone whatever the site, and a site's slot is not kept for a zone that is full", async () => {
      const clock = fakeClock();
      await using store = await embeddedBackend(clock);
      const [one, two] = twoProcesses(store.backend.limits, clock, terms);
      const key = (name: string) => site(name, { siteLimit: 1, zoneLimit: 2 });
      assert.equal(
        granted(await Promise.all(["mx1", "mx2", "mx3"].map((name) => one.slots.acquire(key(name))))),
        2,
      );
      await one.slots.tidy();
      await one.slots.tidy();
      await one.slots.release(key("mx1"));
      await one.slots.tidy();
      await one.slots.tidy();
      assert.equal((await two.slots.acquire(key("mx3"))).granted, true);
    });

    test("that are refused are not asked for again before the time that was told", async () => {
      const clock = fakeClock();
      await using store = await embeddedBackend(clock);
      const [one, two] = twoProcesses(store.backend.limits, clock, terms);
      const key = site("mx", { siteLimit: 1 });
      await one.slots.acquire(key);
      const refused = await two.slots.acquire(key);
      assert.ok(!refused.granted);
      const calls = two.calls();
      for (let i = 0; i < 10; i++) assert.deepEqual(await two.slots.acquire(key), refused);
      assert.equal(two.calls(), calls);
      await one.slots.release(key);
      for (let i = 0; i < 2; i++) await one.slots.tidy();
      await clock.advance(refused.retryAt - clock.now());
      assert.equal((await two.slots.acquire(key)).granted, true);
    });
  });
}

for (const how of ["renews them", "asks for more"] as const) {
  test(`connections whose slots lapsed are over the limit when their process ${how}, until they have ended`, async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const [one, two] = twoProcesses(store.backend.limits, clock, EMBEDDED_TERMS.slots);
    const [taken, left] = [site("taken"), site("left")];
    for (const key of [taken, left]) await acquireMany(one, 5, key);
    await clock.advance(2 * MINUTE);
    assert.equal(granted(await acquireMany(two, 5, taken)), 5);
    if (how === "renews them") await one.slots.renew();
    else await one.slots.acquire(site("other"));
    assert.equal(one.slots.isOver(taken), true);
    assert.equal(one.slots.isOver(site("never")), true, "the zone is over, too");
    for (let i = 0; i < 5; i++) for (const key of [taken, left]) await one.slots.release(key);
    assert.equal(one.slots.isOver(taken), false);
    await one.slots.tidy();
    assert.equal(granted(await acquireMany(one, 5, taken)), 0, "they are the other's");
    assert.equal(granted(await acquireMany(two, 5, left)), 5, "and what nobody took was given back");
  });
}

describe("connection slots of a store that costs a call", () => {
  test("are asked for together by connections that open together, and used again without a call", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const one = processOf(store.backend.limits, clock, anna, REMOTE);
    assert.equal(granted(await acquireMany(one, 5, site("mx"))), 5);
    assert.equal(one.calls(), 2, "one for the site, one for the zone");
    for (let i = 0; i < 100; i++) {
      await one.slots.release(site("mx"));
      assert.equal((await one.slots.acquire(site("mx"))).granted, true);
    }
    assert.equal(one.calls(), 2);
  });

  test("go back when nobody here has needed them for a while, and not before", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const [one, two] = twoProcesses(store.backend.limits, clock, REMOTE);
    await acquireMany(one, 5, site("mx"));
    for (let i = 0; i < 4; i++) await one.slots.release(site("mx"));
    await one.slots.tidy();
    assert.equal(granted(await acquireMany(two, 4, site("mx"))), 0, "they were in use a moment ago");
    await one.slots.tidy();
    await clock.advance(SECOND);
    assert.equal(granted(await acquireMany(two, 5, site("mx"))), 4, "one is in use still");
  });

  test("go back at once when their process opens nothing more, and those in use with their connections", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const [one, two] = twoProcesses(store.backend.limits, clock, REMOTE);
    await acquireMany(one, 5, site("mx"));
    for (let i = 0; i < 4; i++) await one.slots.release(site("mx"));
    await one.slots.drain();
    assert.equal(granted(await acquireMany(two, 5, site("mx"))), 4, "one is in use still");
    await one.slots.release(site("mx"));
    await clock.advance(SECOND);
    assert.equal(granted(await acquireMany(two, 1, site("mx"))), 1);
  });

  test("are asked for less and less often while others have them all", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const [one, two] = twoProcesses(store.backend.limits, clock, REMOTE);
    await acquireMany(one, 5, site("mx"));
    for (let waited = 0; waited < MINUTE; waited += 100) {
      await two.slots.acquire(site("mx"));
      await clock.advance(100);
      if (waited % (10 * SECOND) === 0) await one.slots.renew();
    }
    assert.ok(two.calls() <= 20, `${two.calls()} calls in a minute`);
  });

  test("that are there are used while the store does not answer, until they may have lapsed", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const one = processOf(store.backend.limits, clock, anna, REMOTE);
    await acquireMany(one, 2, site("mx"));
    one.down = true;
    await one.slots.release(site("mx"));
    assert.equal((await one.slots.acquire(site("mx"))).granted, true, "the last slice is kept");
    await assert.rejects(one.slots.acquire(site("mx")), /does not answer/);
    await assert.rejects(one.slots.renew(), /does not answer/);
    await one.slots.release(site("mx"));
    await clock.advance(MINUTE - 10 * SECOND);
    await assert.rejects(one.slots.acquire(site("mx")), /does not answer/, "another clock may be ahead");
    one.down = false;
    assert.equal((await one.slots.acquire(site("mx"))).granted, true);
  });

  test("that lapsed and were taken by others are not used again", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const [one, two] = twoProcesses(store.backend.limits, clock, REMOTE);
    await acquireMany(one, 5, site("mx"));
    for (let i = 0; i < 5; i++) await one.slots.release(site("mx"));
    one.down = true;
    await clock.advance(2 * MINUTE);
    assert.equal(granted(await acquireMany(two, 3, site("mx"))), 3);
    one.down = false;
    await one.slots.acquire(site("mx"));
    assert.ok(granted(await acquireMany(one, 5, site("mx"))) <= 2);
  });

  test("that could not be given back are given back later", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const [one, two] = twoProcesses(store.backend.limits, clock, REMOTE);
    await acquireMany(one, 5, site("mx"));
    for (let i = 0; i < 5; i++) await one.slots.release(site("mx"));
    await one.slots.tidy();
    one.down = true;
    await assert.rejects(one.slots.tidy(), /does not answer/);
    one.down = false;
    await one.slots.tidy();
    assert.equal(granted(await acquireMany(two, 5, site("mx"))), 5);
  });
});
