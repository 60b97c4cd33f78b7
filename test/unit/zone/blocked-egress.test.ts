import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { blockedEgressView } from "../../../sender/zone/blocked-egress.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";

const blockOf = (clock: FakeClock) => ({
  address: "127.0.0.2",
  site: "mx.example",
  createdAt: clock.now(),
  until: clock.in(MINUTE),
  response: "554 5.7.1 no",
});

describe("the view of blocked egress addresses", () => {
  test("has a block of this process at once, and one of another within seconds", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const [here, there] = [1, 2].map(() => blockedEgressView({ limits: store.backend.limits, clock }));
    assert.ok(here && there);
    await there.refresh();
    await here.block(blockOf(clock));
    assert.equal(here.isBlocked("127.0.0.2", "mx.example"), true);
    assert.equal(there.isBlocked("127.0.0.2", "mx.example"), false);
    await clock.advance(3 * SECOND);
    await there.refresh();
    assert.equal(there.isBlocked("127.0.0.2", "mx.example"), true);
    assert.equal(there.isBlocked("127.0.0.2", "other.example"), false);
    await clock.advance(MINUTE);
    assert.equal(here.isBlocked("127.0.0.2", "mx.example"), false, "it is over");
  });

  test("keeps a block that was made while the list was being read, and lets go of one that an operator took away", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const { limits } = store.backend;
    const gate = Promise.withResolvers<void>();
    const late = { ...limits, blocked: () => gate.promise.then(() => []) };
    const view = blockedEgressView({ limits: late, clock });
    const reading = view.refresh();
    await view.block(blockOf(clock));
    gate.resolve();
    await reading;
    assert.equal(view.isBlocked("127.0.0.2", "mx.example"), true);
    await clock.advance(3 * SECOND);
    await view.refresh();
    assert.equal(view.isBlocked("127.0.0.2", "mx.example"), false);
  });
});
