/** What every SecretStore keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { DomainError } from "#shared/domain/errors.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenSecretStore = () => Promise<{ store: SecretStore } & AsyncDisposable>;

export function secretStoreContract(backend: string, open: OpenSecretStore): void {
  describe(`SecretStore on ${backend}`, () => {
    test("a secret is read as it was put, and put again it is replaced", async () => {
      await using opened = await open();
      const { store } = opened;
      assert.equal(await store.get("account", "anna"), null);
      await store.put("account", "anna", "scrypt$1\nline two ✓");
      assert.equal(await store.get("account", "anna"), "scrypt$1\nline two ✓");
      await store.put("account", "anna", "");
      assert.equal(await store.get("account", "anna"), "");
    });

    test("of many that are added under one name at once, one is kept, and its caller knows", async () => {
      await using opened = await open();
      const { store } = opened;
      const values = Array.from({ length: 8 }, (_, i) => `secret ${i}`);
      const added = await Promise.all(values.map((value) => store.add("dkim-domain", "a.example/s", value)));
      const winners = values.filter((_, i) => added[i]);
      assert.equal(winners.length, 1);
      assert.equal(await store.get("dkim-domain", "a.example/s"), winners[0]);
      assert.equal(await store.add("dkim-domain", "a.example/s", "late"), false);
      assert.equal(await store.get("dkim-domain", "a.example/s"), winners[0]);
      await store.remove("dkim-domain", "a.example/s");
      assert.equal(await store.add("dkim-domain", "a.example/s", "again"), true);
      assert.deepEqual(await store.list("dkim-domain"), ["a.example/s"]);
    });

    test("kinds do not see each other's secrets", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.put("account", "same", "a");
      await store.put("api-key", "same", "k");
      assert.equal(await store.get("dkim", "same"), null);
      assert.equal(await store.get("api-key", "same"), "k");
      assert.equal(await store.remove("account", "same"), true);
      assert.equal(await store.get("api-key", "same"), "k");
    });

    test("names are listed in order, without those removed", async () => {
      await using opened = await open();
      const { store } = opened;
      assert.deepEqual(await store.list("dkim"), []);
      for (const name of ["b.example", "a.example", "C", "gone"]) await store.put("dkim", name, "key");
      assert.equal(await store.remove("dkim", "gone"), true);
      assert.equal(await store.remove("dkim", "gone"), false);
      assert.equal(await store.get("dkim", "gone"), null);
      assert.deepEqual(await store.list("dkim"), ["C", "a.example", "b.example"]);
    });

    test("any name is a name of its own and comes back in the list as it was", async () => {
      const name = fc.oneof(
        fc.constantFrom(
          "..",
          ".",
          "../../etc/passwd",
          "/",
          "a/b",
          "a%2Fb",
          "A",
          "a",
          ".new-1",
          "ä@münchen.example",
        ),
        fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }),
      );
      const names = fc.uniqueArray(name, { minLength: 2, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(names, async (names) => {
          await using opened = await open();
          const { store } = opened;
          await Promise.all(names.map((name, i) => store.put("account", name, `secret ${i}`)));
          const read = await Promise.all(names.map((name) => store.get("account", name)));
          assert.deepEqual(
            read,
            names.map((_, i) => `secret ${i}`),
          );
          assert.deepEqual(await store.list("account"), names.toSorted());
        }),
        { numRuns: 20 },
      );
    });

    test("a name that cannot be kept is the caller's mistake, and none has it", async () => {
      await using opened = await open();
      const { store } = opened;
      for (const name of ["", "x".repeat(2_000), "\ud800"]) {
        await assert.rejects(store.put("account", name, "secret"), DomainError);
        await assert.rejects(store.add("account", name, "secret"), DomainError);
        assert.equal(await store.get("account", name), null);
        assert.equal(await store.remove("account", name), false);
      }
    });
  });
}
