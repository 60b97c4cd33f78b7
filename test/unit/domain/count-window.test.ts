import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { windowEndAfter } from "#shared/domain/count-window.ts";
import type { EpochMs } from "#shared/domain/units.ts";

test("each moment lies in one window, which is as long as any", () => {
  const moment = fc.integer({ min: 0, max: 4_000_000_000_000 });
  fc.assert(
    fc.property(moment, fc.integer({ min: 1, max: 100_000_000 }), (at, windowMs) => {
      const end = windowEndAfter(at as EpochMs, windowMs);
      assert.ok(at < end && end - windowMs <= at, `${at} is not in the window of ${windowMs} ms to ${end}`);
      assert.equal(windowEndAfter((end - windowMs) as EpochMs, windowMs), end);
      assert.equal(windowEndAfter(end, windowMs), end + windowMs);
    }),
  );
});
