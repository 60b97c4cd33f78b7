import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { EgressAddress } from "#shared/domain/pool.ts";
import { SECOND } from "#shared/domain/units.ts";
import { heldAddresses } from "../../../sender/addresses/held-addresses.ts";
import { bindAddress, hasEgressHere } from "../../../sender/delivery/choose-egress.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const elastic = (name: string, share = 0.5): EgressAddress => ({ address: name, name, share, elastic: true });
const fixed: EgressAddress = { address: "192.0.2.1", name: "out.example", share: 0.5 };

function scene() {
  const clock = fakeClock();
  const held = heldAddresses(clock);
  const hold = (name: string, ms: number) =>
    held.replace([{ name, privateAddress: "10.25.0.10", publicIp: "198.51.100.1", until: clock.in(ms) }]);
  return { clock, held, hold };
}

describe("the Elastic IPs of a host", () => {
  test("are used until their time is over by the clock, whatever the supervisor does then", async () => {
    const { clock, held, hold } = scene();
    hold("m1.example", 20 * SECOND);
    assert.deepEqual([held.placeOf("m1.example"), held.names()], ["10.25.0.10", ["m1.example"]]);
    await clock.advance(20 * SECOND);
    assert.deepEqual([held.placeOf("m1.example"), held.names()], [null, []]);
    hold("m1.example", SECOND);
    assert.equal(held.placeOf("m1.example"), "10.25.0.10");
    hold("m2.example", SECOND);
    assert.equal(held.placeOf("m1.example"), null);
  });

  test("are bound by their private addresses, and not at all when they are elsewhere", () => {
    const { held, hold } = scene();
    hold("m1.example", SECOND);
    const bound = [elastic("m1.example"), elastic("m2.example"), fixed].map((each) =>
      bindAddress(each, held.placeOf),
    );
    assert.deepEqual(bound, ["10.25.0.10", "elsewhere", "192.0.2.1"]);
  });

  test("decide whether a zone can send from here, as far as their share is more than nothing", () => {
    const { held, hold } = scene();
    hold("m1.example", SECOND);
    const here = (pool: EgressAddress[], http: { url: string; userAgent: string } | null = null) =>
      hasEgressHere({ pool, http }, held.placeOf);
    assert.equal(here([elastic("m1.example"), elastic("m2.example")]), true);
    assert.equal(here([elastic("m2.example"), fixed]), true);
    assert.equal(here([elastic("m1.example", 0), elastic("m2.example", 1)]), false);
    assert.equal(here([elastic("m2.example")], { url: "http://x.example/", userAgent: "x" }), true);
  });
});
