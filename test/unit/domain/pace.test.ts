import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import {
  connectionsAt,
  MAX_STEP,
  rateAt,
  recoveredAt,
  slowedOnce,
  STEP_DOWN_MS,
  STEP_UP_MS,
  stepAt,
} from "#shared/domain/pace.ts";
import type { Pace } from "#shared/domain/pace.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later } from "#shared/domain/units.ts";

const T0 = Date.UTC(2026, 0, 2) as EpochMs;

/** The pace after complaints at these times. */
const after = (...times: number[]): Pace =>
  times.reduce<Pace | null>((pace, ms) => slowedOnce(pace, later(T0, ms)), null) as Pace;

describe("a pace", () => {
  test("is one step slower after each complaint, and complaints close together are one", () => {
    assert.equal(after(0).step, 1);
    assert.equal(after(0, 10, STEP_UP_MS - 1).step, 1);
    assert.equal(after(0, STEP_UP_MS).step, 2);
    assert.equal(after(0, STEP_UP_MS, STEP_UP_MS + 1, 2 * STEP_UP_MS).step, 3);
    assert.equal(after(...Array.from({ length: 50 }, (_, i) => i * STEP_UP_MS)).step, MAX_STEP);
  });

  test("comes back step by step, and is as ever at the time it says", () => {
    const pace = after(0, STEP_UP_MS, 2 * STEP_UP_MS);
    const at = (ms: number) => stepAt(pace, later(pace.complainedAt, ms));
    assert.deepEqual(
      [0, STEP_DOWN_MS - 1, STEP_DOWN_MS, 2 * STEP_DOWN_MS, 3 * STEP_DOWN_MS].map(at),
      [3, 3, 2, 1, 0],
    );
    assert.equal(stepAt(pace, recoveredAt(pace)), 0);
    assert.equal(stepAt(pace, later(recoveredAt(pace), -1)), 1);
  });

  test("that has come back a part of the way goes on from there", () => {
    const pace = after(0, STEP_UP_MS, 2 * STEP_UP_MS);
    assert.equal(slowedOnce(pace, later(pace.complainedAt, 2 * STEP_DOWN_MS)).step, 2);
    assert.equal(slowedOnce(pace, recoveredAt(pace)).step, 1);
  });

  test("is within its bounds whenever there are complaints, and a clock set back does no harm", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -STEP_DOWN_MS, max: STEP_DOWN_MS }), { minLength: 1 }),
        (waits) => {
          let now = T0;
          let pace: Pace | null = null;
          for (const wait of waits) {
            now = later(now, wait);
            pace = slowedOnce(pace, now);
            assert.ok(pace.step >= 1 && pace.step <= MAX_STEP);
            assert.equal(stepAt(pace, now), pace.step);
          }
        },
      ),
    );
  });

  test("leaves fewer connections at each step, and one at least", () => {
    assert.deepEqual(
      [0, 1, 2, 3, 6].map((step) => connectionsAt(step, 20)),
      [20, 10, 5, 2, 1],
    );
    assert.equal(connectionsAt(MAX_STEP, 1), 1);
  });

  test("has a lower rate at each step, and none at 0", () => {
    const rates = Array.from({ length: MAX_STEP }, (_, i) => rateAt(i + 1)?.count ?? 0);
    assert.deepEqual(
      rates,
      rates.toSorted((a, b) => b - a),
    );
    assert.equal(new Set(rates).size, MAX_STEP);
    assert.equal(rateAt(0), null);
    assert.deepEqual(rateAt(99), rateAt(MAX_STEP));
  });
});
