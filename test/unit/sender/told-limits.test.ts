import assert from "node:assert/strict";
import { test } from "node:test";

import { HOUR } from "#shared/domain/units.ts";
import { toldLimits } from "../../../sender/told-limits.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { fakeClock } from "../../support/fake-clock.ts";

test("an address that is blocked, and one that may be used again, is a line of the log in ZoneMTA's words", async () => {
  const clock = fakeClock();
  await using store = await embeddedBackend(clock);
  const lines: Record<string, unknown>[] = [];
  const limits = toldLimits(store.backend.limits, {
    info: (fields: object) => void lines.push({ ...fields }),
  });
  const entry = { address: "192.0.2.1", site: "mx.example", response: "550 listed" };
  await limits.block({ ...entry, createdAt: clock.now(), until: clock.in(HOUR) });
  assert.equal(await limits.unblock("192.0.2.1", "other.example"), false);
  assert.equal(await limits.unblock("192.0.2.1", "mx.example"), true);
  const told = lines.map(({ event, address, site }) => [event, address, site]);
  assert.deepEqual(told, [
    ["ADDBLADDRESS", "192.0.2.1", "mx.example"],
    ["DELBLADDRESS", "192.0.2.1", "mx.example"],
  ]);
  assert.equal(lines[0]?.["response"], "550 listed");
});
