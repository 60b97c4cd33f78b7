import assert from "node:assert/strict";
import { test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import { fullDomainsBook } from "../../../sender/zone/full-domains.ts";
import { zoneA, zoneB } from "../../support/builders.ts";

test("a heartbeat tells what each zone said last, of so many domains at most, and of zones with none nothing", () => {
  const book = fullDomainsBook();
  const domains = Array.from({ length: 150 }, (_, i) => `d${i}.example` as Domain);
  book.note(zoneA, new Set(domains.slice(0, 2)));
  book.note(zoneB, "all");
  assert.deepEqual(book.list(), [
    { zone: zoneA, domains: ["d0.example", "d1.example"] },
    { zone: zoneB, domains: ["*"] },
  ]);
  book.note(zoneB, new Set());
  book.note(zoneA, new Set(domains));
  assert.deepEqual(book.list(), [{ zone: zoneA, domains: domains.slice(0, 100) }]);
});

test("mail that goes by ways of its own is told by its domain", () => {
  const book = fullDomainsBook();
  book.note(zoneA, new Set(["~00ff/one.example", "one.example", "~00ff.2/two.example"] as Domain[]));
  assert.deepEqual(book.list(), [{ zone: zoneA, domains: ["one.example", "two.example"] }]);
});
