import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { gatherer } from "#shared/aws/gather.ts";

/** Calls that end when told to. */
function heldCalls() {
  const calls: { items: readonly number[]; end: () => void }[] = [];
  return {
    calls,
    call: (items: readonly number[]) =>
      new Promise<number[]>((resolve) => {
        calls.push({ items, end: () => resolve(items.map((item) => item * 2)) });
      }),
  };
}

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });

describe("gathering", () => {
  test("what is asked for in one turn goes in one call, and each gets its own answer", async () => {
    const held = heldCalls();
    const gather = gatherer<number, number>({ maxItems: 10, maxCalls: 4, call: held.call });
    const asked = Promise.all([gather(1), gather(2), gather(3)]);
    await turn();
    assert.deepEqual(
      held.calls.map(({ items }) => items),
      [[1, 2, 3]],
    );
    held.calls[0]?.end();
    assert.deepEqual(await asked, [2, 4, 6]);
  });

  test("while calls are under way items collect, and go together when one is back", async () => {
    const held = heldCalls();
    const gather = gatherer<number, number>({ maxItems: 10, maxCalls: 4, call: held.call });
    const asked: Promise<number>[] = [];
    for (const item of [1, 2, 3, 4]) {
      asked.push(gather(item));
      await turn();
    }
    assert.deepEqual(
      held.calls.map(({ items }) => items),
      [[1], [2]],
    );
    held.calls[0]?.end();
    await turn();
    assert.deepEqual(held.calls[2]?.items, [3, 4]);
    for (const { end } of held.calls) end();
    assert.deepEqual(await Promise.all(asked), [2, 4, 6, 8]);
  });

  test("where there is time, items wait for each other, and a call that is full goes at once", async () => {
    const held = heldCalls();
    const timers: (() => void)[] = [];
    const linger = (): Promise<void> => new Promise((resolve) => timers.push(resolve));
    const gather = gatherer<number, number>({ maxItems: 3, maxCalls: 4, linger, call: held.call });
    const asked: Promise<number>[] = [];
    for (const item of [1, 2]) {
      asked.push(gather(item));
      await turn();
    }
    assert.equal(held.calls.length, 0);
    for (const item of [3, 4]) asked.push(gather(item));
    assert.deepEqual(
      held.calls.map(({ items }) => items),
      [[1, 2, 3]],
    );
    timers.shift()?.();
    await turn();
    assert.deepEqual(held.calls[1]?.items, [4]);
    for (const { end } of held.calls) end();
    assert.deepEqual(await Promise.all(asked), [2, 4, 6, 8]);
    await turn();
    assert.equal(timers.length, 0, "nobody waits for nothing");
  });

  test("full calls go at once, up to a number of them", async () => {
    const held = heldCalls();
    const gather = gatherer<number, number>({ maxItems: 2, maxCalls: 3, call: held.call });
    const asked = Array.from({ length: 9 }, (_, i) => gather(i));
    await turn();
    assert.deepEqual(
      held.calls.map(({ items }) => items),
      [
        [0, 1],
        [2, 3],
        [4, 5],
      ],
    );
    for (let i = 0; i < 5; i++) {
      held.calls[i]?.end();
      await turn();
    }
    assert.equal((await Promise.all(asked)).length, 9);
  });

  test("two items of one key never share a call", async () => {
    const held = heldCalls();
    const gather = gatherer<number, number>({
      maxItems: 10,
      maxCalls: 4,
      keyOf: (item) => String(item % 2),
      call: held.call,
    });
    const asked = Promise.all([gather(1), gather(3), gather(2)]);
    await turn();
    assert.deepEqual(
      held.calls.map(({ items }) => items),
      [[1, 2], [3]],
    );
    for (const { end } of held.calls) end();
    assert.deepEqual(await asked, [2, 6, 4]);
  });

  test("a call that fails fails its items, and the next call is made", async () => {
    let calls = 0;
    const gather = gatherer<number, number>({
      maxItems: 10,
      maxCalls: 4,
      call: (items) => (++calls === 1 ? Promise.reject(new Error("down")) : Promise.resolve([...items])),
    });
    const results = await Promise.allSettled([gather(1), gather(2)]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["rejected", "rejected"],
    );
    assert.equal(await gather(3), 3);
  });

  test("more than can be waited for are refused", async () => {
    const gather = gatherer<number, number>({
      maxItems: 1,
      maxCalls: 1,
      call: () => new Promise(() => undefined),
    });
    const waiting = Array.from({ length: 20_000 }, (_, i) => gather(i));
    await assert.rejects(gather(1), { name: "TooManyWaitingError" });
    assert.equal(waiting.length, 20_000);
  });
});
