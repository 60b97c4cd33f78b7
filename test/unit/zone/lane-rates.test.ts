import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { deferred } from "#shared/domain/outcome.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { RateSource } from "../../../sender/zone/rate-source.ts";
import { delivered, job, laneHarness, session, turn } from "../../support/lane-harness.ts";

describe("a lane whose site asked for less mail", () => {
  test("gives its slots back once for each step, and opens half as many connections at each", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 4 });
    state.step = 1;
    state.permits = 100;
    for (let i = 0; i < 6; i++) lane.add(job());
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.surrendered], [2, 1]);
    state.isOver = false;
    state.step = 2;
    await running[0]?.end();
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.surrendered], [1, 2]);
    state.isOver = false;
    state.step = 0;
    lane.tidy();
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.surrendered], [4, 2], "and all when it has recovered");
  });

  test("begins no mail without a permit, and asks for the next when there may be one", async () => {
    const { lane, running, state, clock } = laneHarness({ siteLimit: 4 });
    state.step = 1;
    state.permits = 1;
    for (let i = 0; i < 3; i++) lane.add(job());
    for (let i = 0; i < 6; i++) await turn();
    assert.equal(running.length, 1);
    const asked = state.permitsAsked;
    await running[0]?.end();
    lane.tidy();
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.permitsAsked], [0, asked], "it waits for the time it was told");
    state.permits = 1;
    await clock.advance(MINUTE);
    for (let i = 0; i < 6; i++) await turn();
    assert.equal(running.length, 1);
    await running[0]?.end();
    await lane.drain();
  });

  test("needs none when the site has recovered meanwhile", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 4 });
    state.step = 1;
    lane.add(job());
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(running.length, 0);
    state.step = 0;
    lane.tidy();
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(running.length, 1);
  });

  test("gives back what waits when it is drained, and waits for no permit then", async () => {
    const { lane, givenBack, state, clock } = laneHarness();
    state.step = 1;
    const one = job();
    lane.add(one);
    await turn();
    assert.equal(clock.sleepers, 1);
    await lane.drain();
    await turn();
    assert.deepEqual([givenBack, clock.sleepers, lane.isEmpty], [one.leases, 0, true]);
  });

  test("goes on when the store that has the permits comes back", async () => {
    const { lane, running, state, clock, errors } = laneHarness();
    state.step = 1;
    state.permitsFail = true;
    lane.add(job());
    await turn();
    assert.equal(errors.length, 1);
    state.permitsFail = false;
    state.permits = 1;
    await clock.advance(2 * SECOND);
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(running.length, 1);
  });
});

/** A rate whose permits the test hands out. */
function rateByHand() {
  const state = { places: 100, permits: [] as number[], ended: [] as boolean[], told: [] as (() => void)[] };
  const source: RateSource = {
    hasPlace(onPlace) {
      if (state.places > 0) return true;
      state.told.push(onPlace);
      return false;
    },
    coming() {
      state.places--;
      return () => undefined;
    },
    take: async (want) => ({
      count: Math.min(want, state.permits.shift() ?? 0),
      ended: ({ isTaken }) => void state.ended.push(isTaken),
    }),
  };
  return { source, state };
}

describe("a lane with a rate", () => {
  test("tries as many recipients as there are permits, and the rest first of all the next time", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running, state } = laneHarness({ siteLimit: 1, throttles: [source] });
    const mail = job({}, ["a@one.example", "b@one.example", "c@one.example"]);
    lane.add(mail);
    lane.add(job({}, ["other@one.example"]));
    await turn();
    rate.permits = [2];
    assert.deepEqual(await running[0]?.mayBegin?.(mail.leases), mail.leases.slice(0, 2));
    await running[0]?.end({ outcomes: [delivered, delivered], session: session() });
    assert.deepEqual(
      state.settled.map(({ leases }) => leases),
      [mail.leases.slice(0, 2)],
    );
    assert.deepEqual(running[0]?.job.leases, mail.leases.slice(2));
    assert.deepEqual(rate.ended, [true]);
  });

  test("keeps the connection and the mail when there is no permit after all", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running, state } = laneHarness({ siteLimit: 1, throttles: [source] });
    const mail = job();
    rate.places = 1;
    lane.add(mail);
    await turn();
    const open = session();
    assert.deepEqual(await running[0]?.mayBegin?.(mail.leases), []);
    await running[0]?.end({ outcomes: [], session: open });
    assert.deepEqual([state.settled.length, running.length, open.closed], [0, 0, false]);
    rate.places = 1;
    rate.told.at(-1)?.();
    await turn();
    assert.equal(running[0]?.reused, open);
  });

  test("waits for the permits of all that have begun when they go on with another host", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running } = laneHarness({ siteLimit: 1, throttles: [source] });
    const mail = job({}, ["a@one.example", "b@one.example", "c@one.example"]);
    lane.add(mail);
    await turn();
    rate.permits = [3, 1, 2];
    const begun = await running[0]?.mayBegin?.(mail.leases);
    assert.equal(begun?.length, 3);
    assert.equal((await running[0]?.mayBegin?.(mail.leases))?.length, 3);
    assert.deepEqual(rate.permits, []);
    await running[0]?.end();
  });

  test("settles all of a job whose connection could not be opened, and tells nobody that it took long", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running, state } = laneHarness({ siteLimit: 1, throttles: [source] });
    lane.add(job({}, ["a@one.example", "b@one.example"]));
    await turn();
    const refused = deferred("connect", "refused");
    await running[0]?.end({ outcomes: [refused, refused] });
    assert.equal(state.settled[0]?.leases.length, 2);
    assert.deepEqual(rate.ended, []);
  });

  test("opens nothing while its turn is far, and fills up", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running } = laneHarness({ siteLimit: 1, throttles: [source] });
    rate.places = 0;
    for (let i = 0; i < 20; i++) lane.add(job());
    await turn();
    assert.deepEqual([running.length, lane.isFull], [0, true]);
    rate.places = 1;
    rate.told.at(-1)?.();
    await turn();
    assert.equal(running.length, 1);
  });
});
