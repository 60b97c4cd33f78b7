/** What `app.count` gives plugins, on a real store. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MINUTE } from "#shared/domain/units.ts";
import type { PluginApp } from "#shared/plugins/app.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { loaded } from "../../support/plugins.ts";

test("each plugin counts under keys of its own, anew in each window", async () => {
  const clock = fakeClock();
  await using store = await embeddedBackend(clock);
  const apps: PluginApp[] = [];
  const init = (app: PluginApp): void => void apps.push(app);
  await loaded([init, init], { clock, limits: store.backend.limits });
  const [one, other] = apps as [PluginApp, PluginApp];
  assert.deepEqual([await one.count("a", MINUTE), await one.count("a", MINUTE)], [1, 2]);
  assert.equal(await other.count("a", MINUTE), 1);
  await clock.advance(MINUTE);
  assert.equal(await one.count("a", MINUTE), 1);
  for (const windowMs of [0, -1, 1.5, Number.NaN]) await assert.rejects(one.count("a", windowMs), TypeError);
});
