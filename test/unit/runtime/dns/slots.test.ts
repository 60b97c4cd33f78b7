import assert from "node:assert/strict";
import { test } from "node:test";

import { slots } from "#shared/runtime/dns/slots.ts";

test("so many run at once, the next wait in order, and those for whom there is no place in line do not run", async () => {
  const room = slots({ max: 2, maxWaiting: 2 });
  const started: number[] = [];
  const finish: (() => void)[] = [];
  const runs = [0, 1, 2, 3, 4].map((i) =>
    room.run(async () => {
      started.push(i);
      await new Promise<void>((resolve) => {
        finish.push(resolve);
      });
      return i;
    }),
  );
  assert.equal(runs[4], null);
  assert.deepEqual(started, [0, 1]);
  finish[0]?.();
  await runs[0];
  await new Promise(setImmediate);
  assert.deepEqual(started, [0, 1, 2]);
  finish[1]?.();
  finish[2]?.();
  assert.deepEqual([await runs[1], await runs[2]], [1, 2]);
  finish[3]?.();
  assert.equal(await runs[3], 3);
  assert.equal(await room.run(() => Promise.resolve("free again")), "free again");
});

test("a place is given back when its work fails", async () => {
  const room = slots({ max: 1, maxWaiting: 1 });
  const failing = room.run(() => Promise.reject(new Error("no")));
  const next = room.run(() => Promise.resolve("yes"));
  await assert.rejects(Promise.resolve(failing), /no/);
  assert.equal(await next, "yes");
});
