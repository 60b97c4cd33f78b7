/** What every SuppressionStore keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { SuppressionEntry } from "#shared/domain/suppression.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { SuppressionStore } from "#shared/ports/suppression-store.ts";
import { address } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenSuppressionStore = (clock: Clock) => Promise<{ store: SuppressionStore } & AsyncDisposable>;

const one = "one.example" as Domain;

export function suppressionStoreContract(backend: string, open: OpenSuppressionStore): void {
  describe(`SuppressionStore on ${backend}`, () => {
    test("an added entry has an id, its time and its reason", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const entry = await opened.store.add({ address: address("Anna@one.example"), reason: "asked us to" });
      const { id, ...rest } = entry;
      assert.notEqual(id, "");
      assert.deepEqual(rest, {
        address: "Anna@one.example",
        domain: null,
        createdAt: clock.now(),
        reason: "asked us to",
      });
    });

    test("adding what is there, in any case, gives the entry that is there", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const first = await store.add({ address: address("Anna@one.example"), reason: "first" });
      const domain = await store.add({ domain: one, reason: null });
      await clock.advance(SECOND);
      assert.deepEqual(await store.add({ address: address("aNNA@one.example"), reason: "second" }), first);
      assert.deepEqual(await store.add({ domain: one, reason: "second" }), domain);
      assert.deepEqual(await store.list({ limit: 10, cursor: null }), {
        entries: [first, domain],
        cursor: null,
      });
    });

    test("many adding the same at once make one entry", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      const adding = Array.from({ length: 20 }, (_, i) => store.add({ domain: one, reason: String(i) }));
      const ids = new Set((await Promise.all(adding)).map((entry) => entry.id));
      assert.equal(ids.size, 1);
    });

    test("a recipient is found by its address in any case, then by its domain, in the order asked", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      const domain = await store.add({ domain: one, reason: null });
      const anna = await store.add({ address: address("anna@one.example"), reason: null });
      const ben = await store.add({ address: address("ben@two.example"), reason: null });
      const asked = [
        "ANNA@one.example",
        "ben@two.example",
        "carl@one.example",
        "anna@two.example",
        "d@sub.one.example",
      ];
      const found = await store.find(asked.map(address));
      assert.deepEqual(found, [anna, ben, domain, null, null]);
      assert.deepEqual(await store.find([]), []);
    });

    test("a removed entry forbids nothing, and what it was of can be added anew under another id", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      const entry = await store.add({ address: address("anna@one.example"), reason: null });
      assert.equal(await store.remove(entry.id), true);
      assert.equal(await store.remove(entry.id), false);
      assert.deepEqual(await store.find([address("anna@one.example")]), [null]);
      const again = await store.add({ address: address("anna@one.example"), reason: "again" });
      assert.notEqual(again.id, entry.id);
      assert.deepEqual(await store.find([address("anna@one.example")]), [again]);
    });

    test("an id that no entry ever had is not there", async () => {
      await using opened = await open(fakeClock());
      for (const id of ["", "0", "1", "-1", "1e3", "nonsense", "9".repeat(100), "\0"]) {
        assert.equal(await opened.store.remove(id), false);
      }
    });

    test("pages follow the order of adding and together hold every entry once", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const added: SuppressionEntry[] = [];
      for (let i = 0; i < 25; i++) {
        added.push(await store.add({ address: address(`user${(i * 7) % 25}@one.example`), reason: null }));
        await clock.advance(1); // a store may order by time
      }
      const removed = added.splice(3, 1)[0];
      assert.ok(removed);
      await store.remove(removed.id);
      for (const limit of [1, 5, 24, 100]) {
        const listed: SuppressionEntry[] = [];
        let cursor: string | null = null;
        do {
          const page: { entries: SuppressionEntry[]; cursor: string | null } = await store.list({
            limit,
            cursor,
          });
          assert.ok(page.entries.length <= limit);
          listed.push(...page.entries);
          cursor = page.cursor;
        } while (cursor !== null);
        assert.deepEqual(listed, added, `limit ${limit}`);
      }
    });

    test("a cursor that is not one is the caller's mistake", async () => {
      await using opened = await open(fakeClock());
      await assert.rejects(opened.store.list({ limit: 5, cursor: "nonsense" }), DomainError);
    });
  });
}
