/** What every ConfigStore keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ConfigStore } from "#shared/ports/config-store.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenConfigStore = () => Promise<{ store: ConfigStore } & AsyncDisposable>;

export function configStoreContract(backend: string, open: OpenConfigStore): void {
  describe(`ConfigStore on ${backend}`, () => {
    test("a document is read as it was put", async () => {
      await using opened = await open();
      const { store } = opened;
      assert.equal(await store.get("rule", "one"), null);
      const value = { text: "ä✓", list: [1, null, { deep: true }], empty: {} };
      const put = await store.put({ kind: "rule", name: "one", value }, 0);
      assert.ok(put);
      assert.ok(put.version > 0);
      assert.deepEqual(put, { kind: "rule", name: "one", version: put.version, value });
      assert.deepEqual(await store.get("rule", "one"), put);
    });

    test("a write on an old version writes nothing", async () => {
      await using opened = await open();
      const { store } = opened;
      const first = await store.put({ kind: "rule", name: "one", value: 1 }, 0);
      assert.ok(first);
      assert.equal(await store.put({ kind: "rule", name: "one", value: "new?" }, 0), null);
      const second = await store.put({ kind: "rule", name: "one", value: 2 }, first.version);
      assert.ok(second);
      assert.ok(second.version > first.version);
      assert.equal(await store.put({ kind: "rule", name: "one", value: "late" }, first.version), null);
      assert.deepEqual(await store.get("rule", "one"), second);
    });

    test("of many writers on one version one wins", async () => {
      await using opened = await open();
      const { store } = opened;
      const writing = Array.from({ length: 10 }, (_, i) =>
        store.put({ kind: "rule", name: "one", value: i }, 0),
      );
      const written = (await Promise.all(writing)).filter((document) => document !== null);
      assert.equal(written.length, 1);
      assert.deepEqual(await store.get("rule", "one"), written[0]);
    });

    test("a document made again after its removal is not mistaken for the old one", async () => {
      await using opened = await open();
      const { store } = opened;
      const first = await store.put({ kind: "rule", name: "one", value: 1 }, 0);
      assert.ok(first);
      assert.equal(await store.remove("rule", "one"), true);
      assert.equal(await store.remove("rule", "one"), false);
      assert.equal(await store.get("rule", "one"), null);
      assert.equal(
        await store.put({ kind: "rule", name: "one", value: 2 }, first.version),
        null,
        "it is gone",
      );
      const again = await store.put({ kind: "rule", name: "one", value: 2 }, 0);
      assert.ok(again);
      assert.ok(again.version > first.version);
    });

    test("a list has the documents of its kind and no other", async () => {
      await using opened = await open();
      const { store } = opened;
      const names = ["b", "a", "ä/x", "\u{10ffff}", "a".repeat(500)];
      for (const name of names) await store.put({ kind: "rule", name, value: name.length }, 0);
      for (const kind of ["rul", "rule-2", "rule0"]) await store.put({ kind, name: "a", value: "other" }, 0);
      const listed = await store.list("rule");
      assert.deepEqual(listed.map(({ name }) => name).toSorted(), names.toSorted());
      for (const document of listed) assert.deepEqual(await store.get("rule", document.name), document);
      assert.deepEqual(await store.list("none"), []);
    });
  });
}
