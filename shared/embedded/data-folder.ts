/**
 * The folder that the store lies in: made when there is none, and looked at before LMDB is, which has no words for what is
 * wrong with it.
 */

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";

const STORE_FILE = "store.mdb";
/** The first page of an LMDB file has this number behind its header, in the byte order of the machine: little-endian. */
const LMDB_MARK = Buffer.from([0xde, 0xc0, 0xef, 0xbe]);
const LMDB_MARK_AT = 24;

/** A data folder that cannot be used. The message names it and says what to do. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** Make the folder ready for its store and give the path of the store's file. Throws a `DataFolderError`. */
export function readyFolder(folder: string): string {
  const path = join(folder, STORE_FILE);
  let isStore: boolean;
  try {
    makeFolder(folder);
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    isStore = isStoreOrNew(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new DataFolderError(
      `cannot use the data folder ${folder}: ${why}. Give the user that runs this process read and write access to it, ` +
        "or name another folder in ZONEFLEET_DATA",
      { cause: error },
    );
  }
  if (isStore) return path;
  throw new DataFolderError(
    `${STORE_FILE} in the data folder ${folder} is damaged, or not a store of this program: ` +
      "put a backup in its place, or name another folder in ZONEFLEET_DATA",
  );
}

/** A new name in a folder is durable when the folder is synced. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** With the folders above it. (`recursive` of Node never returns where a folder is there and takes none, as in /proc.) */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  const above = dirname(folder);
  if (above !== folder) makeFolder(above);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!existsSync(folder)) throw error; // another process was first
  }
}

/** LMDB ends the process on a file that is not its own, so its mark is looked for first. */
function isStoreOrNew(path: string): boolean {
  if (!existsSync(path) || statSync(path).size === 0) return true;
  const head = Buffer.alloc(LMDB_MARK_AT + LMDB_MARK.length);
  const handle = openSync(path, "r+");
  try {
    readSync(handle, head);
  } finally {
    closeSync(handle);
  }
  return head.subarray(LMDB_MARK_AT).equals(LMDB_MARK);
}
