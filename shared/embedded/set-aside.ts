/**
 * Records that cannot be read: a fault of ours, or of the disk, that must not stop the mail beside it.
 *
 * Whoever meets one goes on as if it were not there. It is moved to the table `unreadable` as it is, with the reason and the time,
 * counted, and told of once. A message set aside takes its rows along, for they cannot be sent. Bodies stay where they are, so
 * that what was lost can be made good by hand.
 *
 *   unreadable [table, key]                    a `SetAsideRecord`; the counter `unreadable <table>` says how many
 */

import type { Clock } from "../domain/clock.ts";
import type { EpochMs } from "../domain/units.ts";
import type { EmbeddedDatabase } from "./database.ts";
import type { WriteTransaction } from "./group-commit.ts";
import { StoredRecordError } from "./records.ts";

export type RecordTable = "messages" | "rows" | "events";

export interface SetAsideRecord {
  readonly table: RecordTable;
  readonly key: string | number;
  readonly at: EpochMs;
  /** Why, naming the record. */
  readonly error: string;
  /** What was there; of what is no JSON, its text. */
  readonly stored: unknown;
}

export interface SetAside {
  /** What `read` gives. Null: the record cannot be read, and is moved in a work of its own, soon. */
  readable<T>(record: { table: RecordTable; key: string | number }, read: () => T): T | null;
  /** In a work: keep a record that is no use where it was, and is removed there by the caller. */
  keep(transaction: WriteTransaction, record: Omit<SetAsideRecord, "at">): void;
}

export interface SetAsideDeps {
  readonly database: EmbeddedDatabase;
  readonly clock: Clock;
  /** Told when the record has been moved. */
  readonly onSetAside: (record: SetAsideRecord) => void;
  /** In a work: take a record that cannot be read out of what counts it. */
  readonly uncount: (transaction: WriteTransaction, record: Pick<SetAsideRecord, "table" | "key">) => void;
}

export function setAside({ database, clock, onSetAside, uncount }: SetAsideDeps): SetAside {
  const unreadable = database.table("unreadable");
  /** Being moved: it may be met many times until it is. */
  const moving = new Set<string>();

  function keep(transaction: WriteTransaction, record: Omit<SetAsideRecord, "at">): void {
    const kept = { ...record, at: clock.now() };
    unreadable.put([kept.table, kept.key], kept);
    transaction.count(`unreadable ${kept.table}`, 1);
    transaction.afterCommit(async () => onSetAside(kept));
  }

  async function move(record: { table: RecordTable; key: string | number }, error: string): Promise<void> {
    const name = JSON.stringify(record);
    if (moving.has(name)) return;
    moving.add(name);
    try {
      await database.write((transaction) => {
        const table = database.table(record.table);
        const stored = table.get(record.key);
        if (stored === undefined) return; // another process was first
        table.remove(record.key);
        uncount(transaction, record);
        keep(transaction, { ...record, error, stored });
      });
    } finally {
      moving.delete(name);
    }
  }

  return {
    readable(record, read) {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof StoredRecordError)) throw error;
        move(record, error.message).catch(() => undefined); // the disk is full: who meets it next moves it
        return null;
      }
    },
    keep,
  };
}
