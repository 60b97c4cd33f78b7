/**
 * Runs the works of all callers in shared transactions of one LMDB environment.
 *
 * D1  `write` resolves when what it wrote is on the disk, and rejects when nothing of it was kept.
 * D2  All works that wait when the write lock comes are one transaction: one fdatasync for any number of callers.
 * D3  A work that throws is undone whole, and the works beside it are not.
 */

import type { Database, RootDatabase } from "lmdb";

import { SECOND } from "../domain/units.ts";

/** Works in one transaction: bounds how long the write lock keeps other processes waiting. */
const MAX_WORKS_PER_COMMIT = 512;
/** Works that may wait for the write lock: far beyond what connections can cause, so reaching it is a fault. */
const MAX_WAITING_WORKS = 100_000;
/** How long a work waits for the write lock, which a stopped process or a hanging disk may hold. */
const WRITE_LOCK_TIMEOUT_MS = 30 * SECOND;

/** The store could not write: disk full, input/output error, lock not to be had. Nothing of the work was kept. */
export class StoreWriteError extends Error {
  override readonly name = "StoreWriteError";
}

/** What a work may do besides writing tables. */
export interface WriteTransaction {
  /** Add to a counter and give its new value; written once a commit, however often it is called. */
  count(counter: string, by: number): number;
  /** To be run when the write is on the disk, and before `write` resolves. Must not throw. */
  afterCommit(action: () => Promise<void>): void;
}

export interface GroupCommit {
  write<T>(work: (transaction: WriteTransaction) => T): Promise<T>;
  /** True inside a work. */
  isWriting(): boolean;
  /** Finishes the works that wait. */
  close(): Promise<void>;
}

interface WaitingWork {
  readonly work: (transaction: WriteTransaction) => unknown;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type AfterCommit = () => Promise<void>;

type Ran = { ok: true; result: unknown; actions: readonly AfterCommit[] } | { ok: false; error: unknown };

/** Runs works in shared transactions, one transaction at a time: while one is synced the next ones gather (D2). */
export function groupCommit(root: RootDatabase, counters: Database<number, string>): GroupCommit {
  const state = { writing: false };
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
      for (const [index, work] of batch.entries()) answer(work, ran[index] as Ran);
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
  function runBatch(batch: readonly WaitingWork[]): Ran[] {
    state.writing = true;
    try {
      const together = attemptWorks(root, counters, batch);
      if (together.ok) return together.ran;
      return batch.flatMap((work): Ran[] => {
        const alone = attemptWorks(root, counters, [work]);
        return alone.ok ? alone.ran : [alone];
      });
    } finally {
      state.writing = false;
    }
  }

  return {
    isWriting: () => state.writing,
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
      // lmdb-js waits for the sync of its last commit, which never comes when that commit failed: let the last one be empty.
      await committed(root, ignore).catch(ignore);
    },
  };
}

/** Run works in one nested transaction: all of them, or nothing when one throws. */
function attemptWorks(
  root: RootDatabase,
  counters: Database<number, string>,
  works: readonly WaitingWork[],
): { ok: true; ran: Ran[] } | { ok: false; error: unknown } {
  const counts = new Map<string, number>();
  const count = (counter: string, by: number): number => {
    const value = (counts.get(counter) ?? counters.get(counter) ?? 0) + by;
    counts.set(counter, value);
    return value;
  };
  try {
    const ran = root.transactionSync(() => {
      const done = works.map(({ work }) => runWork(work, count));
      for (const [counter, value] of counts) counters.putSync(counter, value);
      return done;
    });
    return { ok: true, ran };
  } catch (error) {
    return { ok: false, error };
  }
}

function runWork(work: WaitingWork["work"], count: WriteTransaction["count"]): Ran {
  const actions: AfterCommit[] = [];
  const result = work({ count, afterCommit: (action) => actions.push(action) });
  return { ok: true, result, actions };
}

function answer({ resolve, reject }: WaitingWork, ran: Ran): void {
  if (!ran.ok) return reject(ran.error);
  const { result, actions } = ran;
  if (actions.length === 0) return resolve(result);
  Promise.all(actions.map((action) => action())).then(() => resolve(result), reject);
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
