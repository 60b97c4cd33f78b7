import assert from "node:assert/strict";
import { test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { permitsOf } from "../../../sender/zone/permits.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function slowedSite() {
  const clock = fakeClock();
  const state = { step: 1, permits: 0, asked: 0, fails: false, told: 0, errors: 0 };
  const permits = permitsOf({
    pace: {
      get step() {
        return state.step;
      },
      async takePermit() {
        state.asked++;
        if (state.fails) throw new Error("the store does not answer");
        if (state.permits > 0) return { granted: state.permits-- > 0, retryAt: clock.now() };
        return { granted: false, retryAt: clock.in(MINUTE) };
      },
    },
    clock,
    onPermit: () => void state.told++,
    onError: () => void state.errors++,
  });
  return { clock, state, permits };
}

test("a site that is as fast as ever needs no permit, and none is asked for", () => {
  const { state, permits } = slowedSite();
  state.step = 0;
  assert.equal(permits.has(3), true);
  assert.deepEqual([state.asked, permits.isAsking], [0, false]);
});

test("a permit is for one mail, and not for one that is promised it", async () => {
  const { state, permits } = slowedSite();
  state.permits = 2;
  assert.equal(permits.has(0), false);
  await turn();
  assert.deepEqual([permits.has(0), state.told], [true, 1]);
  assert.equal(permits.has(1), false, "the one there is is promised");
  await turn();
  assert.equal(permits.has(1), true);
  permits.use();
  permits.use();
  assert.equal(permits.has(0), false);
  permits.stop();
  await turn();
});

test("who was refused asks again at the time he was told, and once", async () => {
  const { clock, state, permits } = slowedSite();
  permits.has(0);
  await turn();
  permits.has(0);
  assert.deepEqual([state.asked, permits.isAsking], [1, true]);
  await clock.advance(MINUTE);
  await turn();
  assert.deepEqual([state.told, permits.isAsking], [1, false]);
  state.permits = 1;
  permits.has(0);
  await turn();
  assert.equal(permits.has(0), true);
});

test("a store that does not answer is asked again after a second, and nobody after a stop", async () => {
  const { clock, state, permits } = slowedSite();
  state.fails = true;
  permits.has(0);
  await turn();
  assert.equal(state.errors, 1);
  await clock.advance(SECOND);
  await turn();
  assert.equal(state.told, 1);
  permits.has(0);
  await turn();
  permits.stop();
  await turn();
  permits.has(0);
  assert.deepEqual([state.asked, state.told, clock.sleepers], [2, 1, 0]);
});
