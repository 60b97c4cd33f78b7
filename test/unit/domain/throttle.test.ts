import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseThrottle } from "#shared/domain/throttle.ts";
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
