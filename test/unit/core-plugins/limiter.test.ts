import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as limiter from "#shared/core-plugins/limiter.ts";
import { MINUTE } from "#shared/domain/units.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import { DroppedError } from "#shared/plugins/verdict.ts";
import type { DeliveryView } from "#shared/plugins/views.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { loaded } from "../../support/plugins.ts";

const options = { limit: 2, windowSize: 60, debug: false };

/** What becomes of a delivery: null when it goes on. */
async function fate(plugins: Plugins, fields: Partial<DeliveryView["envelope"]> = {}, waits = false) {
  const envelope = { from: "me@sender.example", to: "you@one.example", ...fields };
  const delivery = { id: "m1", envelope, _deferred: waits ? { first: new Date(), count: 1 } : null };
  try {
    await plugins.run("sender:fetch", delivery as DeliveryView);
    return null;
  } catch (error) {
    assert.ok(error instanceof DroppedError, String(error));
    return error.description;
  }
}

async function withLimiter(fields: Partial<limiter.LimiterOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const clock = fakeClock();
  const store = stack.use(await embeddedBackend(clock));
  const { limits } = store.backend;
  const open = () => loaded(limiter.init, { clock, limits, fields: { options: { ...options, ...fields } } });
  return { clock, open, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const OVER = /^582 EXCESSERR from=me@sender\.example to=you@one\.example count=3 limit=2 windowSize=60$/;

describe("core/limiter", () => {
  test("drops what is over the limit of a pair, in whichever process, until the window is over", async () => {
    await using it = await withLimiter();
    const [one, other] = [await it.open(), await it.open()];
    assert.equal(await fate(one.plugins), null);
    assert.equal(await fate(other.plugins, { from: "ME@sender.example" }), null);
    assert.match((await fate(one.plugins)) ?? "", OVER);
    assert.equal(await fate(one.plugins, { to: "them@one.example" }), null);
    assert.equal(await fate(one.plugins, { from: "him@sender.example" }), null);
    await it.clock.advance(MINUTE);
    assert.equal(await fate(one.plugins), null);
  });

  test("does not count reports, nor attempts after the first", async () => {
    await using it = await withLimiter();
    const { plugins } = await it.open();
    for (let i = 0; i < 5; i++) {
      assert.equal(await fate(plugins, { from: "" }), null);
      assert.equal(await fate(plugins, {}, true), null);
    }
    assert.equal(await fate(plugins), null);
  });

  test("only says so with debug", async () => {
    await using it = await withLimiter({ limit: 1, debug: true });
    const { plugins, lines } = await it.open();
    for (let i = 0; i < 2; i++) assert.equal(await fate(plugins), null);
    assert.match(String(lines.at(-1)?.fields["text"]), /^EXCESSERR .* count=2 /);
  });

  test("lets mail pass while the store is out of reach, and says so", async () => {
    const { plugins, lines } = await loaded(limiter.init, { fields: { options } });
    assert.equal(await fate(plugins), null);
    assert.match(String(lines.at(-1)?.fields["text"]), /^RLERR .* error=the store is out of reach$/);
  });
});
