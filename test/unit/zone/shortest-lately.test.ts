import assert from "node:assert/strict";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { shortestLately } from "../../../sender/zone/shortest-lately.ts";
import { fakeClock } from "../../support/fake-clock.ts";

test("the shortest time is that of the last period or two", async () => {
  const clock = fakeClock();
  const shortest = shortestLately(SECOND, clock);
  assert.equal(shortest.ms(), Number.POSITIVE_INFINITY);
  shortest.note(5);
  shortest.note(3);
  await clock.advance(SECOND);
  shortest.note(40);
  assert.equal(shortest.ms(), 3);
  await clock.advance(SECOND);
  shortest.note(50);
  assert.equal(shortest.ms(), 40);
});
