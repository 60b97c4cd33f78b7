import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { MAX_AHEAD_MS, takeFromSchedule } from "#shared/domain/rate-schedule.ts";
import { DAY, HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";

const rates = fc.record({
  count: fc.integer({ min: 1, max: 5_000 }),
  perMs: fc.constantFrom(SECOND, MINUTE, HOUR),
});

/** What askers do one after the other. */
const asks = fc.array(
  fc.record({
    waitMs: fc.nat({ max: 5_000 }),
    want: fc.integer({ min: 1, max: 40 }),
    aheadMs: fc.nat({ max: MAX_AHEAD_MS }),
    laterMs: fc.oneof(fc.constant(0), fc.nat({ max: 100 })),
  }),
  { maxLength: 40 },
);

describe("the permits of a rate", () => {
  test("are never more than the rate in a period, wherever it starts", () => {
    fc.assert(
      fc.property(rates, asks, (rate, steps) => {
        let now = 1_000_000 as EpochMs;
        let last: number | null = null;
        const times: number[] = [];
        for (const { waitMs, ...request } of steps) {
          now = (now + waitMs) as EpochMs;
          const answer = takeFromSchedule(last, { ...request, rate, now });
          assert.ok(answer.permits.every((at) => at >= now && at <= now + request.aheadMs + 1));
          assert.ok(answer.retryAt >= now && answer.permits.every((at) => at <= answer.retryAt));
          times.push(...answer.permits);
          ({ last } = answer);
        }
        times.forEach((at, i) => {
          const next = times[i + rate.count];
          assert.ok(next === undefined || next >= at + rate.perMs, `${at} and ${next}`);
        });
      }),
    );
  });

  test("are all of the rate, to whoever asks for them a little ahead", () => {
    fc.assert(
      fc.property(rates, fc.integer({ min: 1, max: MAX_AHEAD_MS - 1 }), (rate, stepMs) => {
        const start = 5_000_000;
        const forMs = 5 * SECOND;
        let last: number | null = null;
        let count = 0;
        for (let now = start; now < start + forMs; now += stepMs) {
          const request = { want: 10_000, aheadMs: MAX_AHEAD_MS, laterMs: 0, now: now as EpochMs };
          const answer = takeFromSchedule(last, { ...request, rate });
          count += answer.permits.filter((at) => at < start + forMs).length;
          ({ last } = answer);
        }
        const meant = Math.floor((rate.count * forMs) / rate.perMs);
        const inAMs = Math.ceil(rate.count / rate.perMs); // the last ones may be a part of a millisecond later
        assert.ok(count >= meant - inAMs, `${count} of ${meant}`);
      }),
    );
  });

  test("are not held back by a clock that was set back for longer than a moment", () => {
    const rate = { count: 1, perMs: SECOND };
    const { permits } = takeFromSchedule(9 * DAY, {
      want: 1,
      rate,
      aheadMs: 0,
      laterMs: 0,
      now: DAY as EpochMs,
    });
    assert.deepEqual(permits, []);
    const { last } = takeFromSchedule(9 * DAY, {
      want: 1,
      rate,
      aheadMs: 0,
      laterMs: 0,
      now: DAY as EpochMs,
    });
    const now = (DAY + 6 * SECOND) as EpochMs;
    assert.equal(takeFromSchedule(last, { want: 1, rate, aheadMs: 0, laterMs: 0, now }).permits.length, 1);
  });
});
