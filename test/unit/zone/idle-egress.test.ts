import assert from "node:assert/strict";
import { test } from "node:test";

import { MINUTE } from "#shared/domain/units.ts";
import { idleEgress } from "../../../sender/zone/idle-egress.ts";
import { fakeClock } from "../../support/fake-clock.ts";

test("an address that could not be used for a site is left out for a minute, for that site alone", async () => {
  const clock = fakeClock();
  const idle = idleEgress(clock);
  assert.equal(idle.leaveOut("192.0.2.1", "mx.example"), true);
  assert.equal(idle.leaveOut("192.0.2.1", "mx.example"), false, "it is so already");
  assert.equal(idle.isLeftOut("192.0.2.1", "mx.example"), true);
  assert.equal(idle.isLeftOut("192.0.2.1", "other.example"), false);
  await clock.advance(MINUTE);
  assert.equal(idle.isLeftOut("192.0.2.1", "mx.example"), false);
});
