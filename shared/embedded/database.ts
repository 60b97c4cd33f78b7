/**
 * The one LMDB environment of a data folder: opened by every process that works on it, written by one at a time.
 *
 * Owns the file, its format version, tables, counters and the group commit. Stops at what the tables mean: that is each store's.
 *
 * D1  `write` resolves when what it wrote is on the disk, and rejects when nothing of it was kept.
 * D2  All works that wait when the write lock comes are one transaction: one fdatasync for any number of callers.
 * D3  A work that throws is undone whole, and the works beside it are not.
 */

import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";

import { SECOND } from "../domain/units.ts";

/** Raised when an older program could no longer read what this one writes. */
const FORMAT = 1;
const MAX_TABLES = 64;
/** Read transactions at once over all processes; a process has a few. */
const MAX_READERS = 1_024;
/** Works in one transaction: bounds how long the write lock keeps other processes waiting. */
const MAX_WORKS_PER_COMMIT = 512;
/** Works that may wait for the write lock: far beyond what connections can cause, so reaching it is a fault. */
const MAX_WAITING_WORKS = 100_000;
/** How long a work waits for the write lock, which a stopped process or a hanging disk may hold. */
const WRITE_LOCK_TIMEOUT_MS = 30 * SECOND;

/** A data folder that cannot be used. The message names it and says what to do. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** The store could not write: disk full, input/output error, lock not to be had. Nothing of the work was kept. */
export class StoreWriteError extends Error {
  override readonly name = "StoreWriteError";
}

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

/** What a work may do besides writing tables. */
export interface WriteTransaction {
  /** Add to a counter and give its new value; written once a commit, however often it is called. */
  count(counter: string, by: number): number;
  /** To be run when the write is on the disk. Must not throw. */
  afterCommit(action: () => void): void;
}

export interface EmbeddedDatabase {
  readonly folder: string;
  /** A table of JSON values. Trust nothing of what is read but that it is JSON. */
  table(name: string): Table<unknown>;
  bytesTable(name: string): Table<Buffer>;
  /**
   * Run `work` under the write lock and resolve with what it gave, durable. It is synchronous, reads before it writes what
   * could be missing, keeps no state outside the tables before it returns, and may be run again when a work beside it threw.
   */
  write<T>(work: (transaction: WriteTransaction) => T): Promise<T>;
  /** Counters whose name starts with `prefix`, by name. */
  counters(prefix: string): Map<string, number>;
  /** Free what processes that were killed still keep from being reused. */
  clearDeadReaders(): number;
  /** Finishes the works that wait. */
  close(): Promise<void>;
}

interface WaitingWork {
  readonly work: (transaction: WriteTransaction) => unknown;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Ran = { ok: true; result: unknown } | { ok: false; error: unknown };

/** Open the data folder, made when there is none. Throws a `DataFolderError`. */
export function openDatabase(folder: string): EmbeddedDatabase {
  const root = openRoot(folder);
  const counters = root.openDB<number, string>("counters", { encoding: "json" });
  const state = { writing: false };
  const commits = groupCommit(root, counters, state);
  return {
    folder,
    table: (name) => table(root.openDB<unknown, TableKey>(name, { encoding: "json" }), state),
    bytesTable: (name) => table(root.openDB<Buffer, TableKey>(name, { encoding: "binary" }), state),
    write: (work) => commits.write(work),
    counters: (prefix) => {
      const range = counters.getRange({ start: prefix, end: `${prefix}\uffff` });
      return new Map([...range].map(({ key, value }) => [key, value]));
    },
    clearDeadReaders: () => root.readerCheck(),
    async close() {
      await commits.close();
      await root.close();
    },
  };
}

function openRoot(folder: string): RootDatabase {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    const path = join(folder, "store.mdb");
    const root = open<unknown>({ path, noSubdir: true, maxDbs: MAX_TABLES, maxReaders: MAX_READERS });
    checkFormat(folder, root);
    return root;
  } catch (error) {
    if (error instanceof DataFolderError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new DataFolderError(
      `cannot use the data folder ${folder}: ${why}. Give the user that runs this process read and write access to it, ` +
        "or name another folder in ZONEFLEET_DATA",
      { cause: error },
    );
  }
}

function checkFormat(folder: string, root: RootDatabase): void {
  const meta = root.openDB<unknown, string>("meta", { encoding: "json" });
  const found = meta.get("format");
  if (found === FORMAT) return;
  if (found === undefined) {
    meta.putSync("format", FORMAT);
    return;
  }
  throw new DataFolderError(
    `the data folder ${folder} has format ${JSON.stringify(found)} and this program knows format ${FORMAT}: ` +
      "it was written by a newer version. Run that version, or name another folder in ZONEFLEET_DATA",
  );
}

function table<V>(database: Database<V, TableKey>, state: { readonly writing: boolean }): Table<V> {
  const mayWrite = (): void => {
    if (!state.writing) throw new Error("a table is written outside of a work of EmbeddedDatabase.write");
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

/** Runs works in shared transactions, one transaction at a time: while one is synced the next ones gather (D2). */
function groupCommit(root: RootDatabase, counters: Database<number, string>, state: { writing: boolean }) {
  const waiting: WaitingWork[] = [];
  let running: Promise<void> | null = null;
  let closed = false;

  async function run(): Promise<void> {
    while (waiting.length > 0) await commitOnce();
    running = null;
  }

  async function commitOnce(): Promise<void> {
    let batch: WaitingWork[] = [];
    const lockTimer = setInterval(refuseWaiting, WRITE_LOCK_TIMEOUT_MS);
    try {
      const ran = await committed(root, () => {
        batch = waiting.splice(0, MAX_WORKS_PER_COMMIT);
        return runBatch(batch);
      });
      settleAll(batch, ran);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      clearInterval(lockTimer);
    }
  }

  /** Only works that have not begun: what has begun may yet be kept, and only the disk can tell. */
  function refuseWaiting(): void {
    for (const { reject } of waiting.splice(0)) {
      reject(new StoreWriteError("no write lock: another process or the disk keeps the store busy"));
    }
  }

  /** All in one; when one throws, the lot is undone and each has a nested transaction of its own (D3). */
  function runBatch(batch: readonly WaitingWork[]): { results: Ran[]; actions: (() => void)[] } {
    state.writing = true;
    try {
      const together = attemptWorks(root, counters, batch);
      if (together.failed === null) return together;
      const single = batch.map((work) => attemptWorks(root, counters, [work]));
      return {
        results: single.flatMap(({ results, failed }) => failed ?? results),
        actions: single.flatMap(({ actions }) => actions),
      };
    } finally {
      state.writing = false;
    }
  }

  return {
    write<T>(work: (transaction: WriteTransaction) => T): Promise<T> {
      if (closed) return Promise.reject(new StoreWriteError("the store is closed"));
      if (waiting.length >= MAX_WAITING_WORKS) {
        return Promise.reject(new StoreWriteError(`${MAX_WAITING_WORKS} writes wait already`));
      }
      return new Promise<T>((resolve, reject) => {
        waiting.push({ work, resolve: resolve as (result: unknown) => void, reject });
        running ??= run();
      });
    },
    async close(): Promise<void> {
      closed = true;
      await running;
    },
  };
}

interface Attempted {
  readonly results: Ran[];
  readonly actions: (() => void)[];
  /** Why nothing was written; null: it was. */
  readonly failed: Ran | null;
}

function attemptWorks(
  root: RootDatabase,
  counters: Database<number, string>,
  works: readonly WaitingWork[],
): Attempted {
  const counts = new Map<string, number>();
  const actions: (() => void)[] = [];
  const transaction: WriteTransaction = {
    count(counter, by) {
      const value = (counts.get(counter) ?? counters.get(counter) ?? 0) + by;
      counts.set(counter, value);
      return value;
    },
    afterCommit: (action) => actions.push(action),
  };
  try {
    const results = root.transactionSync(() => {
      const ran = works.map(({ work }): Ran => ({ ok: true, result: work(transaction) }));
      for (const [counter, value] of counts) counters.putSync(counter, value);
      return ran;
    });
    return { results, actions, failed: null };
  } catch (error) {
    return { results: [], actions: [], failed: { ok: false, error } };
  }
}

function settleAll(batch: readonly WaitingWork[], ran: { results: Ran[]; actions: (() => void)[] }): void {
  for (const action of ran.actions) action();
  for (const [index, { resolve, reject }] of batch.entries()) {
    const outcome = ran.results[index] as Ran;
    if (outcome.ok) resolve(outcome.result);
    else reject(outcome.error);
  }
}

/**
 * Run `work` in a transaction off the main thread and resolve when it is on the disk (D1). `flushed` is what lmdb-js promises
 * for that; it has to be asked for in the same turn, when it still means this transaction.
 */
async function committed<T>(root: RootDatabase, work: () => T): Promise<T> {
  const commit = root.transaction(() => {
    // lmdb-js keeps a second promise of the same commit, and nobody to hear it: a full disk would end the process.
    root.committed.then(ignore, ignore);
    return work();
  });
  const flushed = root.flushed.then(ignore);
  try {
    const [result] = await Promise.all([commit, flushed]);
    return result;
  } catch (error) {
    throw new StoreWriteError("the store could not write: is the disk full?", {
      cause: await causeOf(error),
    });
  }
}

function ignore(): void {
  // a promise that is heard elsewhere
}

/** lmdb-js rejects with a promise of the reason. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !("commitError" in error)) return error;
  try {
    return await error.commitError;
  } catch (reason) {
    return reason;
  }
}
