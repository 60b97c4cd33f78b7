/** The exact window against a plain list of all grants. */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import type { Grant } from "#shared/domain/rate-window.ts";
import { MAX_GRANTS, takeFromWindow } from "#shared/domain/rate-window.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { DAY, HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";

const START = Date.UTC(2026, 0, 2) as EpochMs;
const rates = fc.record({
  count: fc.integer({ min: 1, max: 300 }),
  perMs: fc.constantFrom(1, 10, SECOND, MINUTE, HOUR, DAY),
});

test("no period holds more than the rate, and the window stays small", () => {
  const asks = fc.array(
    // waits as parts of the period, to meet its edges
    fc.record({
      wait: fc.constantFrom(0, 0.001, 0.01, 0.3, 0.5, 0.999, 1),
      want: fc.integer({ min: 1, max: 200 }),
    }),
    { minLength: 1, maxLength: 120 },
  );
  fc.assert(
    fc.property(rates, asks, (rate, asks) => {
      const granted: Grant[] = [];
      let window: readonly Grant[] = [];
      let now = START;
      for (const { wait, want } of asks) {
        now = (now + Math.round(wait * rate.perMs)) as EpochMs;
        const answer = takeFromWindow(window, { want, rate, now });
        window = answer.grants;
        granted.push({ at: now, count: answer.granted });
        assert.ok(window.length <= MAX_GRANTS);
        assert.ok(answer.granted === want || answer.retryAt > now, "what was refused has a later time");
      }
      for (const { at } of granted) {
        const inPeriod = granted.filter((grant) => grant.at >= at && grant.at < at + rate.perMs);
        assert.ok(inPeriod.reduce((sum, grant) => sum + grant.count, 0) <= rate.count);
      }
    }),
  );
});

test("who waits until retryAt gets a permit then, and nobody would have a millisecond before", () => {
  fc.assert(
    fc.property(rates, fc.array(fc.integer({ min: 0, max: DAY }), { maxLength: 40 }), (rate, waits) => {
      let window: readonly Grant[] = [];
      let now = START;
      for (const wait of waits) {
        now = (now + (wait % rate.perMs)) as EpochMs;
        window = takeFromWindow(window, { want: 7, rate, now }).grants;
      }
      const full = takeFromWindow(window, { want: rate.count, rate, now });
      const early = { want: 1, rate, now: (full.retryAt - 1) as EpochMs };
      assert.equal(takeFromWindow(full.grants, early).granted, 0);
      assert.ok(takeFromWindow(full.grants, { ...early, now: full.retryAt }).granted > 0);
    }),
  );
});

test("the whole rate may go at once, and comes back at once a period later", () => {
  const rate = { count: 100, perMs: MINUTE };
  const first = takeFromWindow([], { want: 250, rate, now: START });
  assert.deepEqual([first.granted, first.retryAt], [100, START + MINUTE]);
  const second = takeFromWindow(first.grants, { want: 250, rate, now: first.retryAt });
  assert.deepEqual([second.granted, second.retryAt], [100, START + 2 * MINUTE]);
});

test("a lowered rate waits until enough grants have ended", () => {
  const before = { count: 10, perMs: MINUTE };
  const one = takeFromWindow([], { want: 6, rate: before, now: START });
  const two = takeFromWindow(one.grants, { want: 4, rate: before, now: (START + 10 * SECOND) as EpochMs });
  const lowered = { want: 1, rate: { count: 3, perMs: MINUTE }, now: (START + 20 * SECOND) as EpochMs };
  assert.equal(takeFromWindow(two.grants, lowered).retryAt, START + 70 * SECOND);
});

test("a clock set back delays by a period at most", () => {
  const rate = { count: 5, perMs: MINUTE };
  const ahead = takeFromWindow([], { want: 5, rate, now: (START + DAY) as EpochMs });
  const back = takeFromWindow(ahead.grants, { want: 5, rate, now: START });
  assert.deepEqual([back.granted, back.retryAt], [0, START + MINUTE]);
  assert.equal(takeFromWindow(back.grants, { want: 5, rate, now: back.retryAt }).granted, 5);
});

test("a rate of nothing grants nothing, and says to look again a period later", () => {
  const answer = takeFromWindow([], { want: 1, rate: { count: 0, perMs: MINUTE }, now: START });
  assert.deepEqual(answer, { granted: 0, retryAt: START + MINUTE, grants: [] });
});
