import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { beside } from "#shared/aws/beside.ts";

describe("work beside a call", () => {
  test("is waited for in a process that may be frozen after the call, whether it fails or not", async () => {
    const done: string[] = [];
    const work = beside({ livesOn: false });
    await work.run(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      done.push("first");
    });
    await work.run(() => Promise.reject(new Error("in vain")));
    assert.deepEqual(done, ["first"]);
  });

  test("holds up nobody in a process that lives on, and is done before its end", async () => {
    const gate = Promise.withResolvers<void>();
    let done = false;
    const work = beside({ livesOn: true });
    await work.run(() => gate.promise.then(() => void (done = true)));
    assert.equal(done, false);
    gate.resolve();
    await work.end();
    assert.equal(done, true);
  });
});
