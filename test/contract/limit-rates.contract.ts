/** What every LimitStore keeps to: rates, as a row of permits at an even distance. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_AHEAD_MS } from "#shared/domain/rate-schedule.ts";
import { DAY, MINUTE, SECOND } from "#shared/domain/units.ts";
import { fakeClock } from "../support/fake-clock.ts";
import type { OpenLimitStore } from "./limit-store.contract.ts";

const MX = "mx.one.example";

export function limitRatesContract(open: OpenLimitStore): void {
  const rate = { count: 10, perMs: MINUTE }; // one in six seconds

  test("a rate gives one permit after the other, evenly, and says when the next will be there", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const start = clock.now();
    const next = start + 6 * SECOND;
    assert.deepEqual(await store.takeBudget(MX, { want: 4, rate }), { permits: [start], retryAt: next });
    assert.deepEqual(await store.takeBudget(MX, { want: 1, rate }), { permits: [], retryAt: next });
    assert.equal((await store.takeBudget("other", { want: 1, rate })).permits.length, 1, "keys are apart");
    await clock.advance(6 * SECOND);
    const retryAt = clock.in(6 * SECOND);
    assert.deepEqual(await store.takeBudget(MX, { want: 1, rate }), { permits: [next], retryAt });
  });

  test("permits of a pause are not caught up on", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await store.takeBudget(MX, { want: 1, rate });
    await clock.advance(MINUTE);
    const { permits } = await store.takeBudget(MX, { want: 9, rate, aheadMs: SECOND });
    assert.deepEqual(permits, [clock.now()]);
  });

  test("permits of the near future can be taken, by one asker only", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const fast = { count: 10, perMs: SECOND };
    const first = await store.takeBudget(MX, { want: 2, rate: fast, aheadMs: SECOND / 4 });
    assert.deepEqual(first.permits, [clock.now(), clock.in(100)]);
    const second = await store.takeBudget(MX, { want: 9, rate: fast, aheadMs: SECOND / 4 });
    assert.deepEqual(second, { permits: [clock.in(200)], retryAt: clock.in(300) });
  });

  test("a rate can be put off, whether it has a permit or not", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    const start = clock.now();
    await store.takeBudget(MX, { want: 1, rate });
    const put = await store.takeBudget(MX, { want: 1, rate, laterMs: 500 });
    assert.deepEqual(put, { permits: [], retryAt: start + 6_500 });
    await clock.advance(6_500);
    assert.equal((await store.takeBudget(MX, { want: 1, rate })).permits.length, 1);
  });

  test("a rate that was made faster is so at once", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await store.takeBudget(MX, { want: 1, rate: { count: 1, perMs: DAY } });
    await clock.advance(SECOND);
    assert.equal(
      (await store.takeBudget(MX, { want: 1, rate: { count: 1, perMs: SECOND } })).permits.length,
      1,
    );
  });

  test("a burst of requests at once gets no permit twice", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () =>
        opened.store.takeBudget(MX, { want: 2, rate: { count: 20, perMs: SECOND }, aheadMs: MAX_AHEAD_MS }),
      ),
    );
    const permits = answers.flatMap((answer) => answer.permits);
    assert.equal(permits.length, 11);
    assert.equal(new Set(permits).size, 11);
  });

  test("whoever asks at the time he was told gets a permit, and nobody before", async () => {
    const clock = fakeClock();
    await using opened = await open(clock);
    const { store } = opened;
    await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } });
    for (let i = 0; i < 20; i++) {
      const refused = await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } });
      await clock.advance(refused.retryAt - clock.now() - 1);
      const early = await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } });
      assert.deepEqual(early.permits, [], "a millisecond before");
      await clock.advance(1);
      assert.equal(
        (await store.takeBudget(MX, { want: 1, rate: { count: 7, perMs: SECOND } })).permits.length,
        1,
      );
    }
  });
}
