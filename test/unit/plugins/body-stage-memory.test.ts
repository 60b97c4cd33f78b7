import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { MIB } from "#shared/domain/units.ts";
import { pastPlugins } from "#shared/plugins/body-stage.ts";
import type { EnvelopeView } from "#shared/plugins/views.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { loaded } from "../../support/plugins.ts";

const MAIL_MIB = 64;

test("a body that goes past plugins is not held", { timeout: 30_000 }, async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const { plugins } = await loaded(async (app) => {
    app.addAnalyzerHook((_envelope, source, destination) => void source.pipe(destination));
  });
  const source = (async function* () {
    for (let i = 0; i < MAIL_MIB; i++) yield Buffer.alloc(MIB, i);
  })();
  let bytes = 0;
  let held = 0;
  for await (const chunk of pastPlugins(source, { id: "m1" } as EnvelopeView, plugins)) {
    bytes += chunk.length;
    if (bytes % (8 * MIB) !== 0) continue;
    collectGarbage();
    await systemClock.sleep(1); // buffers are given back by another thread
    held = process.memoryUsage().arrayBuffers;
  }
  assert.equal(bytes, MAIL_MIB * MIB);
  assert.ok(held < (MAIL_MIB / 2) * MIB, `${held} bytes are held`);
});
