import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { evenly, parseThrottle } from "#shared/domain/throttle.ts";
import { HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";

describe("a throttle", () => {
  for (const [text, count, perMs] of [
    ["100/minute", 100, MINUTE],
    ["20 messages/second", 20, SECOND],
    [" 1000 mails of any kind / hour ", 1_000, HOUR],
    ["30msg/min", 30, MINUTE],
    ["2/Seconds", 2, SECOND],
    ["1000000/hours", 1_000_000, HOUR],
  ] as const) {
    test(`${JSON.stringify(text)} is ${count} in ${perMs} ms`, () => {
      assert.deepEqual(parseThrottle(text), { count, perMs });
    });
  }

  for (const text of [
    "",
    "7",
    "/minute",
    "0/minute",
    "1.5/second",
    "-1/hour",
    "9/fortnight",
    "5/ms",
    "1 000/minute",
    "1,000/minute",
    "5/month",
    "1000001/hour",
    "5/minute/second",
  ]) {
    test(`${JSON.stringify(text)} is none`, () => assert.equal(parseThrottle(text), null));
  }
});

describe("an even pace", () => {
  test("does not send the mail of an hour in its first second", () => {
    assert.deepEqual(evenly({ count: 3_600, perMs: HOUR }), { count: 10, perMs: 10 * SECOND });
    assert.deepEqual(evenly({ count: 100, perMs: MINUTE }), { count: 20, perMs: 12 * SECOND });
    assert.deepEqual(evenly({ count: 1_200, perMs: MINUTE }), { count: 200, perMs: 10 * SECOND });
    assert.deepEqual(evenly({ count: 60, perMs: HOUR }), { count: 1, perMs: MINUTE });
    assert.deepEqual(evenly({ count: 20, perMs: SECOND }), { count: 20, perMs: SECOND });
  });

  test("is never faster than the rate in any of its periods, and hardly slower", () => {
    const rates = fc.record({
      count: fc.integer({ min: 1, max: 1_000_000 }),
      perMs: fc.constantFrom(SECOND, MINUTE, HOUR),
    });
    fc.assert(
      fc.property(rates, (rate) => {
        const part = evenly(rate);
        const mostInAPeriod = part.count * Math.ceil(rate.perMs / part.perMs);
        assert.ok(mostInAPeriod <= rate.count, `${mostInAPeriod}`);
        const share = part.count / part.perMs / (rate.count / rate.perMs);
        assert.ok(share > 0.985 && share <= 1 + 1e-9, `${share}`);
      }),
    );
  });
});
