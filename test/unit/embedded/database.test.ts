/** The LMDB environment: shared transactions, counters, and what it says of a folder that cannot be used. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { openDatabase } from "#shared/embedded/database.ts";
import type { EmbeddedDatabase } from "#shared/embedded/database.ts";

async function tempFolder(): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-database-"));
  return {
    folder,
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function tempDatabase(): Promise<{ database: EmbeddedDatabase } & AsyncDisposable> {
  const { folder, [Symbol.asyncDispose]: remove } = await tempFolder();
  const database = openDatabase(folder);
  return {
    database,
    async [Symbol.asyncDispose]() {
      await database.close();
      await remove();
    },
  };
}

test("a work that throws is undone whole, and the works beside it are kept", async () => {
  await using opened = await tempDatabase();
  const { database } = opened;
  const table = database.table("fruits");
  const done: string[] = [];
  const trouble = new Error("in the middle");
  const answers = await Promise.allSettled([
    database.write((transaction) => {
      table.put("apple", 1);
      transaction.count("fruits", 1);
      transaction.afterCommit(async () => void done.push("apple"));
      return "first";
    }),
    database.write((transaction) => {
      table.put("pear", 1);
      transaction.count("fruits", 10);
      transaction.afterCommit(async () => void done.push("pear"));
      throw trouble;
    }),
    database.write((transaction) => {
      table.put("plum", table.get("apple"));
      return transaction.count("fruits", 1);
    }),
  ]);
  assert.deepEqual(answers, [
    { status: "fulfilled", value: "first" },
    { status: "rejected", reason: trouble },
    { status: "fulfilled", value: 2 },
  ]);
  assert.deepEqual(
    [...table.entries({})],
    [
      { key: "apple", value: 1 },
      { key: "plum", value: 1 },
    ],
  );
  assert.deepEqual(database.counters("fruits"), new Map([["fruits", 2]]));
  assert.deepEqual(done, ["apple"]);
});

test("works run in the order they were asked for, and more of them than fit in one transaction are all done", async () => {
  await using opened = await tempDatabase();
  const { database } = opened;
  const numbers = await Promise.all(
    Array.from({ length: 1_200 }, () => database.write((transaction) => transaction.count("number", 1))),
  );
  assert.deepEqual(
    numbers,
    Array.from({ length: 1_200 }, (_, i) => i + 1),
  );
});

test("a table is written inside of a work only", async () => {
  await using opened = await tempDatabase();
  const table = opened.database.table("fruits");
  assert.throws(() => table.put("apple", 1), /outside of a work/);
  assert.throws(() => table.remove("apple"), /outside of a work/);
  assert.equal(table.get("apple"), undefined);
});

test("counters are found by the start of their name", async () => {
  await using opened = await tempDatabase();
  const { database } = opened;
  await database.write((transaction) => {
    transaction.count("rows queued a", 2);
    transaction.count("rows queued b", -1);
    transaction.count("events", 7);
  });
  assert.deepEqual(
    database.counters("rows "),
    new Map([
      ["rows queued a", 2],
      ["rows queued b", -1],
    ]),
  );
});

test("what was written is there when the folder is opened again, and a closed store takes nothing", async () => {
  await using temp = await tempFolder();
  const first = openDatabase(temp.folder);
  const written = first.write((transaction) => {
    first.table("fruits").put("apple", { colour: "red" });
    transaction.count("fruits", 1);
  });
  await first.close();
  await written;
  await assert.rejects(
    first.write(() => 1),
    { name: "StoreWriteError", message: /closed/ },
  );
  const second = openDatabase(temp.folder);
  assert.deepEqual(second.table("fruits").get("apple"), { colour: "red" });
  assert.equal(second.counters("fruits").get("fruits"), 1);
  await second.close();
});

test("pages of what was removed are free to be written again", async () => {
  await using opened = await tempDatabase();
  const { database } = opened;
  const table = database.bytesTable("bodies");
  const before = database.freeBytes();
  await database.write(() => table.put("large", Buffer.alloc(1_000_000)));
  assert.ok(database.freeBytes() < before + 100_000, "they are used");
  await database.write(() => table.remove("large"));
  await database.write((transaction) => transaction.count("turn", 1));
  assert.ok(database.freeBytes() > 900_000, String(database.freeBytes()));
});

test("the folders above the data folder are made, too", async () => {
  await using temp = await tempFolder();
  const database = openDatabase(join(temp.folder, "new", "data"));
  await database.write((transaction) => transaction.count("number", 1));
  await database.close();
});

test("a folder of a newer format is refused, and left as it is", async () => {
  await using temp = await tempFolder();
  const older = openDatabase(temp.folder);
  await older.write(() => older.table("meta").put("format", 99));
  await older.close();
  for (let i = 0; i < 2; i++) {
    assert.throws(() => openDatabase(temp.folder), {
      name: "DataFolderError",
      message: /format 99 .* newer version\. Run that version/,
    });
  }
});

test("a folder that cannot be used is named with what to do", async () => {
  await using temp = await tempFolder();
  const file = join(temp.folder, "file");
  await writeFile(file, "not a folder");
  const isFolder = join(temp.folder, "store-is-a-folder");
  await mkdir(join(isFolder, "store.mdb"), { recursive: true });
  for (const folder of [file, join(file, "below"), isFolder, "/proc/zonefleet/data"]) {
    assert.throws(
      () => openDatabase(folder),
      (error: Error) =>
        error.name === "DataFolderError" &&
        error.message.includes(folder) &&
        error.message.includes("name another folder in ZONEFLEET_DATA"),
      folder,
    );
  }
});

test("a file that is no store is refused instead of ending the process", async () => {
  await using temp = await tempFolder();
  for (const content of ["short", "x".repeat(100_000)]) {
    await writeFile(join(temp.folder, "store.mdb"), content);
    assert.throws(() => openDatabase(temp.folder), {
      name: "DataFolderError",
      message: /store\.mdb .* is damaged, or not a store of this program/,
    });
  }
});
