import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MAX_STEP, STEP_DOWN_MS, STEP_UP_MS } from "#shared/domain/pace.ts";
import { endSlowing, listSlowed } from "#shared/app/slowed.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { LimitStore, SlowedSite } from "#shared/ports/limit-store.ts";
import { slowedSites } from "../../../sender/zone/slowed-sites.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { zoneA, zoneB } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";

const site = "mx.one.example";
const complaint = { zone: zoneA, site, response: "421 slow down" };

function viewOn(limits: LimitStore, clock: FakeClock) {
  const slower: SlowedSite[] = [];
  const view = slowedSites({ limits, clock, onSlower: (entry) => slower.push(entry) });
  return { view, slower, step: () => view.paceOf(zoneA, site).step };
}

describe("slowed sites", () => {
  test("are slower at once where they complained, and within seconds in every other process", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    const here = viewOn(opened.backend.limits, clock);
    const there = viewOn(opened.backend.limits, clock);
    await there.view.refresh();
    await here.view.slowDown(complaint);
    assert.deepEqual([here.step(), there.step()], [1, 0]);
    await clock.advance(3 * SECOND);
    await there.view.refresh();
    assert.equal(there.step(), 1);
    assert.equal(there.view.paceOf(zoneB, site).step, 0, "another zone sends as ever");
    assert.equal(there.view.paceOf(zoneA, "other.example").step, 0);
  });

  test("take one step for complaints that two processes hear at the same time, and tell of each step once", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    const here = viewOn(opened.backend.limits, clock);
    const there = viewOn(opened.backend.limits, clock);
    for (const { view } of [here, there, here, there]) await view.slowDown(complaint);
    assert.deepEqual([here.step(), there.step(), here.slower.length], [1, 1, 1]);
    for (let i = 0; i < 2 * MAX_STEP; i++) {
      await clock.advance(STEP_UP_MS);
      await here.view.refresh();
      await here.view.slowDown(complaint);
    }
    assert.equal(here.step(), MAX_STEP);
    assert.deepEqual(
      here.slower.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6],
    );
  });

  test("recover step by step, and are forgotten then", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    const { view, step } = viewOn(opened.backend.limits, clock);
    await view.slowDown(complaint);
    await clock.advance(STEP_UP_MS);
    await view.slowDown(complaint);
    const steps = [step()];
    for (let i = 0; i < 2; i++) {
      await clock.advance(STEP_DOWN_MS);
      await view.refresh();
      steps.push(step());
    }
    assert.deepEqual(steps, [2, 1, 0]);
    assert.deepEqual(await opened.backend.limits.slowed(), []);
  });

  test("are as fast as ever in every process when an operator ends it, until the next complaint", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    const { limits } = opened.backend;
    const here = viewOn(limits, clock);
    const there = viewOn(limits, clock);
    await here.view.slowDown(complaint);
    await there.view.refresh();
    await clock.advance(SECOND);
    assert.deepEqual((await endSlowing({ limits, clock }, {})).deleted, [`${zoneA} ${site}`]);
    assert.deepEqual((await listSlowed({ limits, clock })).list, []);
    await clock.advance(3 * SECOND);
    for (const { view } of [here, there]) await view.refresh();
    assert.deepEqual([here.step(), there.step()], [0, 0]);
    await here.view.slowDown(complaint);
    assert.equal(here.step(), 1);
    assert.equal((await listSlowed({ limits, clock })).list[0]?.step, 1);
  });

  test("are known after a restart", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    await viewOn(opened.backend.limits, clock).view.slowDown(complaint);
    const { view, step } = viewOn(opened.backend.limits, clock);
    await view.refresh();
    assert.equal(step(), 1);
  });

  test("share one rate over all processes, and a site that was never slowed has none", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    const here = viewOn(opened.backend.limits, clock);
    const there = viewOn(opened.backend.limits, clock);
    for (let i = 0; i < MAX_STEP; i++) {
      await here.view.slowDown(complaint);
      await clock.advance(STEP_UP_MS);
    }
    await there.view.refresh();
    let granted = 0;
    for (let i = 0; i < 60; i++) {
      for (const { view } of [here, there]) {
        const permit = await view.paceOf(zoneA, site).takePermit();
        if (permit.granted) granted++;
        else assert.ok(permit.retryAt > clock.now() && permit.retryAt <= clock.in(MINUTE));
      }
      await clock.advance(SECOND);
    }
    assert.equal(granted, 4, "evenly, in a minute");
    for (let i = 0; i < 100; i++) assert.ok((await here.view.paceOf(zoneB, site).takePermit()).granted);
  });
});
