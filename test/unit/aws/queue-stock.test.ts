import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Parcel } from "#shared/aws/stock.ts";
import { stockOf } from "#shared/aws/stock.ts";
import type { Domain } from "#shared/domain/address.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { newMessageId, zoneA } from "../../support/builders.ts";

const now = 1_000_000 as EpochMs;
const at = (ms: number): EpochMs => (now + ms) as EpochMs;
const all = { max: 1_000, maxPerDomain: 1_000, avoid: new Set<Domain>() };

function parcel(domain: string, fields: Partial<Parcel> = {}): Parcel {
  return {
    zone: zoneA,
    messageId: newMessageId(),
    domain: domain as Domain,
    dueAt: now,
    seqs: [1],
    ticket: null,
    keepUntil: at(60_000),
    ...fields,
  };
}

const domainsOf = (parcels: readonly Parcel[]): string[] => parcels.map(({ domain }) => domain);

describe("the stock of a zone", () => {
  test("the oldest of a domain comes first, whenever it was received", () => {
    const stock = stockOf(10);
    const parcels = [3, 1, 2].map((ms) => parcel("a", { dueAt: at(-ms) }));
    for (const one of parcels) stock.add(one);
    assert.deepEqual(
      stock.choose(all, now).map(({ dueAt }) => now - dueAt),
      [3, 2, 1],
    );
    assert.deepEqual(stock.choose(all, now), [], "what was chosen is out");
  });

  test("domains take turns, and who had one waits for all the others", () => {
    const stock = stockOf(100);
    for (const domain of ["a", "b", "c"]) for (let i = 0; i < 3; i++) stock.add(parcel(domain));
    const served = Array.from({ length: 9 }, () => domainsOf(stock.choose({ ...all, max: 1 }, now))).flat();
    assert.deepEqual(served, ["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
  });

  test("a domain gives its share, and one to be avoided nothing", () => {
    const stock = stockOf(100);
    for (const domain of ["a", "b"]) for (let i = 0; i < 5; i++) stock.add(parcel(domain));
    const wanted = { max: 100, maxPerDomain: 2, avoid: new Set(["b" as Domain]) };
    assert.equal(stock.countRows(wanted, now), 2);
    assert.deepEqual(domainsOf(stock.choose(wanted, now)), ["a", "a"]);
    assert.deepEqual(domainsOf(stock.choose({ ...wanted, avoid: new Set() }, now)), ["b", "b", "a", "a"]);
  });

  test("a parcel is given whole, over the maximum if it must be", () => {
    const stock = stockOf(100);
    stock.add(parcel("a", { seqs: [1, 2, 3] }));
    stock.add(parcel("a", { seqs: [1, 2, 3] }));
    assert.equal(stock.choose({ ...all, max: 4 }, now).length, 2);
  });

  test("what is not due yet is not given, and tells when it will be", () => {
    const stock = stockOf(100);
    stock.add(parcel("a", { dueAt: at(5) }));
    stock.add(parcel("b", { dueAt: at(3) }));
    assert.deepEqual(stock.choose(all, now), []);
    assert.equal(stock.nextDueAt(new Set(), now), at(3));
    assert.equal(stock.nextDueAt(new Set(["b" as Domain]), now), at(5));
    assert.equal(stock.choose(all, at(5)).length, 2);
    assert.equal(stock.nextDueAt(new Set(), now), null);
  });

  test("when it is full, the domain with most has to make room, so that a newcomer is seen", () => {
    const stock = stockOf(4);
    for (let i = 0; i < 3; i++) assert.equal(stock.add(parcel("full", { dueAt: at(-9 + i) })), null);
    assert.equal(stock.add(parcel("b")), null);
    const evicted = stock.add(parcel("new"));
    assert.equal(evicted?.domain, "full");
    assert.equal(evicted.dueAt, at(-7), "its newest");
    assert.deepEqual(new Set(domainsOf(stock.choose(all, now))), new Set(["full", "b", "new"]));
  });

  test("rows are known while any parcel has them, and forgotten with the last", () => {
    const stock = stockOf(10);
    const first = parcel("a", { seqs: [1, 2] });
    const second = parcel("a", { messageId: first.messageId, seqs: [2, 3], keepUntil: at(1) });
    stock.add(first);
    stock.add(second);
    const known = (seq: number): boolean => stock.has(rowIdOf(first.messageId, seq));
    assert.deepEqual([1, 2, 3, 4].map(known), [true, true, true, false]);
    assert.deepEqual(stock.expire(at(1)), [second]);
    assert.deepEqual([1, 2, 3].map(known), [true, true, false]);
    assert.deepEqual(stock.drop("all"), [first]);
    assert.deepEqual([1, 2, 3].map(known), [false, false, false]);
  });
});
