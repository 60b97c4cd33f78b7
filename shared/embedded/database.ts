/**
 * The one LMDB environment of a data folder: opened by every process that works on it, written by one at a time.
 *
 * Owns the format version, tables and counters. The folder is made ready in data-folder.ts, writing is in group-commit.ts, and
 * what the tables mean is each store's.
 */

import * as z from "zod";
import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";

import { GIB } from "../domain/units.ts";
import { DataFolderError, readyFolder, syncFolder } from "./data-folder.ts";
import { groupCommit } from "./group-commit.ts";
import type { WriteTransaction } from "./group-commit.ts";

/** Raised when an older program could no longer read what this one writes. */
const FORMAT = 1;
const MAX_TABLES = 64;
/**
 * Addresses set aside for the file, not memory: a map that starts small is mapped anew each time it grows, and lmdb-js keeps the
 * old maps, so that the process seems to hold the file several times over. It still grows when this is not enough.
 */
const MAP_BYTES = 256 * GIB;
/** Read transactions at once over all processes; a process has a few. */
const MAX_READERS = 1_024;

/** Part of a key or a whole one; keys of arrays sort by their parts, numbers before text. No U+0000 in text. */
export type TableKey = string | number | (string | number)[];

export interface TableRange {
  /** First key; with `reverse` the last. */
  readonly start?: TableKey;
  /** Not reached. */
  readonly end?: TableKey;
  readonly exclusiveStart?: boolean;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** Values by ordered key. Read at any time: the last commit, or inside a work what it wrote. Written only inside a work. */
export interface Table<V> {
  get(key: TableKey): V | undefined;
  has(key: TableKey): boolean;
  put(key: TableKey, value: V): void;
  remove(key: TableKey): void;
  /** To be read to the end, or left, before the next `await`. */
  entries(range: TableRange): Iterable<{ key: TableKey; value: V }>;
  keys(range: TableRange): Iterable<TableKey>;
}

/** What stands where JSON should: no shape of a record takes it. */
export class NotJson {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export interface EmbeddedDatabase {
  readonly folder: string;
  /** A table of JSON values. Trust nothing of what is read: it may even be `NotJson`. */
  table(name: string): Table<unknown>;
  bytesTable(name: string): Table<Buffer>;
  /** Make what `build` makes, all tables it opens in one transaction: a new folder costs one sync and not one a table. */
  opening<T>(build: () => T): T;
  /**
   * Run `work` under the write lock and resolve with what it gave, durable. It is synchronous, reads before it writes what
   * could be missing, keeps no state outside the tables before it returns, and may be run again when a work beside it threw.
   */
  write<T>(work: (transaction: WriteTransaction) => T): Promise<T>;
  /** Counters whose name starts with `prefix`, by name. */
  counters(prefix: string): Map<string, number>;
  /** Bytes in the file of the store that are free to be written, without the file growing. */
  freeBytes(): number;
  /** Free what processes that were killed still keep from being reused. */
  clearDeadReaders(): number;
  /** Finishes the works that wait. */
  close(): Promise<void>;
}

/** Open the data folder, made when there is none. Throws a `DataFolderError`. */
export function openDatabase(folder: string): EmbeddedDatabase {
  const root = openRoot(folder);
  const counters = root.openDB<number, string>("counters", { encoding: "json" });
  const opened = new Map<string, Database<unknown, TableKey>>([["counters", counters]]);
  const commits = groupCommit(root, counters);
  const openTable = (name: string, encoding: "string" | "binary"): Database<unknown, TableKey> => {
    const found = opened.get(name) ?? root.openDB<unknown, TableKey>(name, { encoding });
    opened.set(name, found);
    return found;
  };
  return {
    folder,
    table: (name) => jsonTable(tableOf(openTable(name, "string") as Database<string, TableKey>, commits)),
    bytesTable: (name) => tableOf(openTable(name, "binary") as Database<Buffer, TableKey>, commits),
    opening: (build) => root.transactionSync(build),
    write: (work) => commits.write(work),
    counters: (prefix) => {
      const range = counters.getRange({ start: prefix, end: `${prefix}\uffff` });
      return new Map([...range].map(({ key, value }) => [key, value]));
    },
    freeBytes: () => freeBytes(root, opened.values()),
    clearDeadReaders: () => root.readerCheck(),
    async close() {
      await commits.close();
      await root.close();
    },
  };
}

function openRoot(folder: string): RootDatabase {
  const path = readyFolder(folder);
  const root = open<unknown>({
    path,
    noSubdir: true,
    maxDbs: MAX_TABLES,
    maxReaders: MAX_READERS,
    mapSize: MAP_BYTES,
  });
  checkFormat(folder, root);
  return root;
}

function checkFormat(folder: string, root: RootDatabase): void {
  const meta = root.openDB<unknown, string>("meta", { encoding: "json" });
  const found = meta.get("format");
  if (found === FORMAT) return;
  if (found === undefined) {
    meta.putSync("format", FORMAT);
    syncFolder(folder);
    return;
  }
  throw new DataFolderError(
    `the data folder ${folder} has format ${JSON.stringify(found)} and this program knows format ${FORMAT}: ` +
      "it was written by a newer version. Run that version, or name another folder in ZONEFLEET_DATA",
  );
}

function tableOf<V>(database: Database<V, TableKey>, commits: { isWriting(): boolean }): Table<V> {
  const mayWrite = (): void => {
    if (!commits.isWriting())
      throw new Error("a table is written outside of a work of EmbeddedDatabase.write");
  };
  return {
    get: (key) => database.get(key),
    has: (key) => database.doesExist(key),
    put(key, value) {
      mayWrite();
      database.putSync(key, value);
    },
    remove(key) {
      mayWrite();
      database.removeSync(key);
    },
    entries: (range) => database.getRange(range),
    keys: (range) => database.getKeys(range),
  };
}

/** lmdb-js would throw on a text that is no JSON, and with it end a walk over the texts beside it. */
function jsonTable(texts: Table<string>): Table<unknown> {
  return {
    ...texts,
    get(key) {
      const text = texts.get(key);
      return text === undefined ? undefined : parseJson(text);
    },
    put: (key, value) => texts.put(key, JSON.stringify(value)),
    *entries(range) {
      for (const { key, value } of texts.entries(range)) yield { key, value: parseJson(value) };
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return new NotJson(text);
  }
}

/** What lmdb-js tells of a table, and with it of the whole file. */
const StatsShape = z.object({
  pageSize: z.int(),
  treeBranchPageCount: z.int(),
  treeLeafPageCount: z.int(),
  overflowPages: z.int(),
  lastPageNumber: z.int().optional(),
  free: z.unknown().optional(),
});

/** The pages of the file without those of tables, of the list of free pages, and of the three heads. */
function freeBytes(root: RootDatabase, tables: Iterable<Database<unknown, TableKey>>): number {
  const whole = StatsShape.parse(root.getStats());
  let used = pagesOf(whole) + pagesOf(StatsShape.parse(whole.free));
  for (const table of tables) used += pagesOf(StatsShape.parse(table.getStats()));
  const pages = (whole.lastPageNumber ?? 0) - 2 - used;
  return Math.max(pages, 0) * whole.pageSize;
}

function pagesOf(stats: z.infer<typeof StatsShape>): number {
  return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
}
