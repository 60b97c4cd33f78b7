import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { chooseEgress, poolShares } from "#shared/domain/pool.ts";
import type { EgressAddress, PoolEntry } from "#shared/domain/pool.ts";

const entries = (...ratios: (number | null)[]): PoolEntry[] =>
  ratios.map((ratio, i) => ({ address: `192.0.2.${i + 1}`, name: `out${i + 1}.example`, ratio }));

const shares = (...ratios: (number | null)[]) =>
  poolShares(entries(...ratios))?.map(({ share }) => Number(share.toFixed(6)));

describe("shares of a pool", () => {
  const cases: [string, (number | null)[], number[]][] = [
    ["are equal without ratios", [null, null, null, null], [0.25, 0.25, 0.25, 0.25]],
    ["leave what a ratio does not take to the others", [0.5, null, null], [0.5, 0.25, 0.25]],
    ["warm an address up", [0.1, null, null, null], [0.1, 0.3, 0.3, 0.3]],
    ["are exact where ZoneMTA rounds", [0.4, 0.3, 0.3], [0.4, 0.3, 0.3]],
    ["are those of weights when every entry has a ratio", [3, 1], [0.75, 0.25]],
    ["fill up to 1 when every entry has a ratio", [0.2, 0.2], [0.5, 0.5]],
    ["are none for a ratio of 0", [0, null, null], [0, 0.5, 0.5]],
    ["are none for entries that ratios leave nothing to", [1, null], [1, 0]],
    ["are not made by the slip of a decimal fraction", [0.7, 0.2, 0.1, null], [0.7, 0.2, 0.1, 0]],
    ["are all for a single address", [0.01], [1]],
  ];
  for (const [name, ratios, expected] of cases) {
    test(name, () => {
      assert.deepEqual(shares(...ratios), expected);
    });
  }

  test("are counted within each address family", () => {
    const pool = poolShares([
      { address: "192.0.2.1", name: "a.example", ratio: 0.1 },
      { address: "192.0.2.2", name: "b.example", ratio: null },
      { address: "2001:db8::1", name: "c.example", ratio: null },
      { address: "2001:db8::2", name: "d.example", ratio: null },
    ]);
    assert.deepEqual(
      pool?.map(({ share }) => Number(share.toFixed(6))),
      [0.05, 0.45, 0.25, 0.25],
    );
  });

  test("are not to be had when no address could ever be used", () => {
    assert.equal(poolShares(entries(0, 0)), null);
    assert.equal(poolShares([]), null);
  });
});

const KEYS = Array.from({ length: 10_000 }, (_, i) => `message-${i}`);
const anyOf = () => true;
const poolOf = (...ratios: (number | null)[]) => poolShares(entries(...ratios)) as EgressAddress[];
const choices = (pool: readonly EgressAddress[], usable: (egress: EgressAddress) => boolean = anyOf) =>
  KEYS.map((key) => chooseEgress(pool, key, usable)?.address ?? null);

function countOf(chosen: readonly (string | null)[], address: string): number {
  return chosen.filter((one) => one === address).length;
}

describe("the choice of an egress address", () => {
  test("follows the shares", () => {
    const pool = poolOf(0.05, 0.25, null);
    const chosen = choices(pool);
    for (const { address, share } of pool) {
      const expected = share * KEYS.length;
      const deviation = Math.sqrt(expected * (1 - share)); // of a binomial count
      const count = countOf(chosen, address);
      assert.ok(Math.abs(count - expected) < 4 * deviation, `${address}: ${count} instead of ${expected}`);
    }
  });

  test("is the same for a key while the pool is, in whatever order it is written", () => {
    const pool = poolOf(0.5, null, null);
    assert.deepEqual(choices(pool), choices(pool.toReversed()));
  });

  test("moves only the mail of an address that is taken out, and spreads it by share", () => {
    const pool = poolOf(null, null, null, null);
    const before = choices(pool);
    const after = choices(pool, ({ address }) => address !== "192.0.2.1");
    const moved = after.filter((_, i) => before[i] === "192.0.2.1");
    assert.equal(countOf(after, "192.0.2.1"), 0);
    assert.ok(after.every((address, i) => before[i] === "192.0.2.1" || before[i] === address));
    for (const address of ["192.0.2.2", "192.0.2.3", "192.0.2.4"]) {
      assert.ok(Math.abs(countOf(moved, address) / moved.length - 1 / 3) < 0.05, address);
    }
  });

  test("moves mail only to an address whose share grows", () => {
    const before = choices(poolOf(0.1, null, null));
    const after = choices(poolOf(0.4, null, null));
    assert.ok(after.every((address, i) => address === before[i] || address === "192.0.2.1"));
  });

  test("is never an address of share 0", () => {
    assert.equal(countOf(choices(poolOf(0, null)), "192.0.2.1"), 0);
  });

  test("is none when none is usable", () => {
    assert.equal(
      chooseEgress(poolOf(null, null), "key", () => false),
      null,
    );
    assert.equal(chooseEgress([], "key", anyOf), null);
  });
});
