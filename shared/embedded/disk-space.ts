/**
 * Leaves room on the disk for what must go on when mail is refused: a delivery whose outcome cannot be written is delivered
 * again. So accepts claim what they are about to write, and are refused while less than a reserve would be left for settling.
 * Room is what the file system has, and what is free inside the store's file, which never shrinks.
 */

import { statfs } from "node:fs/promises";

import type { Clock } from "../domain/clock.ts";
import { MIB } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { EmbeddedDatabase } from "./database.ts";
import { StoreWriteError } from "./group-commit.ts";

export const DEFAULT_RESERVE_BYTES = 64 * MIB;
/** How long an answer is believed: the other processes that share the disk write some tens of MiB in that time. */
const LOOK_EVERY_MS = 250;

export interface DiskSpace {
  /** Resolves when `bytes` more may be written; throws a `StoreWriteError` when they would come out of the reserve. */
  claim(bytes: number): Promise<void>;
}

export interface DiskSpaceDeps {
  readonly database: EmbeddedDatabase;
  readonly clock: Clock;
  readonly reserveBytes: number;
}

export function diskSpace({ database, clock, reserveBytes }: DiskSpaceDeps): DiskSpace {
  let room = 0;
  let lookedAt = 0 as EpochMs;
  let looking: Promise<void> | null = null;

  async function look(): Promise<void> {
    const { bavail, bsize } = await statfs(database.folder);
    room = bavail * bsize - reserveBytes;
    // Counting free pages takes half a millisecond: only when it matters.
    if (room < reserveBytes) room += database.freeBytes();
    lookedAt = clock.now();
  }

  function lookOnce(): Promise<void> {
    looking ??= look().finally(() => {
      looking = null;
    });
    return looking;
  }

  return {
    async claim(bytes) {
      if (room < bytes || clock.now() - lookedAt > LOOK_EVERY_MS) await lookOnce();
      if (room < bytes) {
        throw new StoreWriteError(
          `the disk of ${database.folder} is full: the last ${Math.round(reserveBytes / MIB)} MiB are kept for what is queued`,
        );
      }
      room -= bytes;
    },
  };
}
