import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { addressesOfCard, cardNames } from "#shared/runtime/network-cards.ts";

/** One that has an address; every machine has the loopback. */
const card = cardNames().find((name) => addressesOfCard(name)?.includes("127.0.0.1")) ?? "";

function poolOf(zone: Record<string, unknown>, pools: Record<string, unknown> = {}): string[] {
  const config = parseConfig({ pools, zones: { a: zone } }, { source: null, baseDir: "/" });
  return config.zones.get("a" as ZoneName)?.pool.map(({ address }) => address) ?? [];
}

describe("the network card of a zone", () => {
  test("gives its addresses to the pool", () => {
    const all = addressesOfCard(card) ?? [];
    assert.ok(all.includes("127.0.0.1"));
    assert.deepEqual(poolOf({ interface: card }), all);
    assert.deepEqual(poolOf({ interface: card, pool: ["192.0.2.1"] }), ["192.0.2.1", ...all]);
    assert.deepEqual(poolOf({ interface: card, pool: "out" }, { out: ["192.0.2.2"] }), ["192.0.2.2", ...all]);
  });

  test("adds no address that is in the pool already", () => {
    const pool = [{ address: "127.0.0.1", name: "mail.example.com" }];
    const found = poolOf({ interface: card, pool });
    assert.equal(found.filter((address) => address === "127.0.0.1").length, 1);
  });

  test("has to be there, and so has the pool", () => {
    assert.throws(
      () => poolOf({ interface: "nosuch0" }),
      (error) =>
        error instanceof DomainError &&
        error.message.includes('zones.a.interface: this machine has no network card "nosuch0"; it has '),
    );
    assert.throws(() => poolOf({ interface: card, pool: "nosuch" }), /there is no pool "nosuch"/);
  });
});

test("a pool of nothing is any address of the system", () => {
  assert.deepEqual(poolOf({ pool: "empty" }, { empty: [] }), ["0.0.0.0"]);
  assert.deepEqual(poolOf({ pool: [], ignoreIPv6: false }), ["0.0.0.0", "::"]);
});
