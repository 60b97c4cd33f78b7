/** What every SuppressionStore keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { MailOwner, SuppressionEntry, SuppressionScope } from "#shared/domain/suppression.ts";
import { GLOBAL_SCOPE } from "#shared/domain/suppression.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { SuppressionStore } from "#shared/ports/suppression-store.ts";
import { address } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenSuppressionStore = (clock: Clock) => Promise<{ store: SuppressionStore } & AsyncDisposable>;

const one = "one.example" as Domain;
const nobody: MailOwner = { returnPath: null, user: null };
const ofTwo: SuppressionScope = { kind: "sender", domain: "two.example" as Domain };
const ofShop: SuppressionScope = { kind: "user", user: "shop" };

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
        scope: GLOBAL_SCOPE,
        createdAt: clock.now(),
        expiresAt: null,
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
      const found = await store.find(asked.map(address), nobody);
      assert.deepEqual(found, [anna, ben, domain, null, null]);
      assert.deepEqual(await store.find([], nobody), []);
    });

    test("a removed entry forbids nothing, and what it was of can be added anew under another id", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      const entry = await store.add({ address: address("anna@one.example"), reason: null });
      assert.equal(await store.remove(entry.id), true);
      assert.equal(await store.remove(entry.id), false);
      assert.deepEqual(await store.find([address("anna@one.example")], nobody), [null]);
      const again = await store.add({ address: address("anna@one.example"), reason: "again" });
      assert.notEqual(again.id, entry.id);
      assert.deepEqual(await store.find([address("anna@one.example")], nobody), [again]);
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

    test("an entry of a scope stops mail of that sender domain, or that user, and no other", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      const anna = address("anna@one.example");
      const ofSender = await store.add({ address: anna, scope: ofTwo, reason: null });
      const ofUser = await store.add({ domain: one, scope: ofShop, reason: null });
      assert.deepEqual([ofSender.scope, ofUser.scope], [ofTwo, ofShop]);
      const foundFor = async (owner: MailOwner) => (await store.find([anna], owner))[0];
      assert.equal(await foundFor(nobody), null);
      assert.deepEqual(await foundFor({ returnPath: address("x@two.example"), user: null }), ofSender);
      assert.equal(await foundFor({ returnPath: address("x@sub.two.example"), user: "Shop" }), null);
      assert.deepEqual(await foundFor({ returnPath: address("x@three.example"), user: "shop" }), ofUser);
      const both = { returnPath: address("x@two.example"), user: "shop" };
      assert.deepEqual(await foundFor(both), ofSender, "an address goes before a domain");
    });

    test("what is looked up for many recipients at once is that of each, whatever the scope", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      const recipients = Array.from({ length: 120 }, (_, i) => address(`rcpt${i}@d${i}.example`));
      const added = new Map<number, SuppressionEntry>();
      for (const [i, scope] of [
        [3, GLOBAL_SCOPE],
        [50, ofTwo],
        [119, ofShop],
      ] as const) {
        added.set(i, await store.add({ address: recipients[i] ?? assert.fail(), scope, reason: null }));
      }
      const found = await store.find(recipients, { returnPath: address("x@two.example"), user: "shop" });
      assert.deepEqual(
        found,
        recipients.map((_, i) => added.get(i) ?? null),
      );
    });

    test("of one address there is an entry for each scope, and the widest is the one that is told", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      const anna = address("anna@one.example");
      const narrow = await store.add({ address: anna, scope: ofShop, reason: "narrow" });
      const wide = await store.add({ address: anna, reason: "wide" });
      assert.notEqual(wide.id, narrow.id);
      const shop = { returnPath: null, user: "shop" };
      assert.deepEqual(await store.find([anna], shop), [wide]);
      assert.equal(await store.remove(wide.id), true);
      assert.deepEqual(await store.find([anna], shop), [narrow]);
      assert.deepEqual(await store.get({ address: address("Anna@one.example"), scope: ofShop }), narrow);
      assert.equal(await store.get({ address: anna }), null);
    });

    test("a user that no entry can be of is found free", async () => {
      await using opened = await open(fakeClock());
      for (const user of ["", "a\u0000b", "x".repeat(5_000)]) {
        assert.deepEqual(await opened.store.find([address("anna@one.example")], { returnPath: null, user }), [
          null,
        ]);
      }
    });

    test("an entry whose time is over is as if it had never been", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const anna = address("anna@one.example");
      const first = await store.add({ address: anna, reason: null, expiresAt: clock.in(10 * SECOND) });
      assert.deepEqual(await store.find([anna], nobody), [first]);
      await clock.advance(10 * SECOND);
      assert.deepEqual(await store.find([anna], nobody), [null]);
      assert.equal(await store.get({ address: anna }), null);
      assert.deepEqual((await store.list({ limit: 10, cursor: null })).entries, []);
      assert.equal(await store.remove(first.id), false);
      const again = await store.add({ address: anna, reason: "again", expiresAt: clock.in(SECOND) });
      await clock.advance(SECOND);
      const last = await store.add({ address: anna, reason: "last" });
      assert.notEqual(last.id, again.id);
      assert.deepEqual((await store.list({ limit: 10, cursor: null })).entries, [last]);
    });

    test("adding what is there moves its end back, never forward", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const soon = clock.in(10 * SECOND);
      const first = await store.add({ domain: one, reason: "first", expiresAt: soon });
      const sooner = await store.add({ domain: one, reason: null, expiresAt: clock.in(SECOND) });
      assert.deepEqual(sooner, first);
      const longer = await store.add({ domain: one, reason: null, expiresAt: later(soon, SECOND) });
      assert.deepEqual(longer, { ...first, expiresAt: later(soon, SECOND) });
      const forGood = await store.add({ domain: one, reason: null });
      assert.deepEqual(forGood, { ...first, expiresAt: null });
      assert.deepEqual(await store.add({ domain: one, reason: null, expiresAt: soon }), forGood);
      assert.deepEqual((await store.list({ limit: 10, cursor: null })).entries, [forGood]);
      await clock.advance(60 * SECOND);
      assert.deepEqual(await store.find([address("anna@one.example")], nobody), [forGood]);
    });

    test("many added at once come in order, and say which are new", async () => {
      await using opened = await open(fakeClock());
      const { store } = opened;
      await store.add({ address: address("rcpt5@one.example"), reason: "there" });
      const requests = Array.from({ length: 60 }, (_, i) => ({
        address: address(`rcpt${i}@one.example`),
        reason: null,
      }));
      const results = await store.addAll(requests);
      assert.deepEqual(
        results.map(({ entry }) => entry.address),
        requests.map((request) => request.address),
      );
      assert.deepEqual(
        results.flatMap(({ added }, i) => (added ? [] : [i])),
        [5],
      );
      assert.ok((await store.addAll(requests)).every(({ added }) => !added));
    });

    test("a cursor that is not one is the caller's mistake", async () => {
      await using opened = await open(fakeClock());
      await assert.rejects(opened.store.list({ limit: 5, cursor: "nonsense" }), DomainError);
    });
  });
}
