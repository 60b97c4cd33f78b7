/**
 * Files of large bodies: `bodies/incoming/<id>.<chance>` while written, `bodies/<shard>/<id>` when whole and synced.
 * A message id is a safe file name: its parser lets through lower-case letters and digits only.
 */

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { parseMessageId } from "../domain/ids.ts";
import type { MessageId } from "../domain/ids.ts";
import { HOUR, KIB } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ByteRange } from "../ports/body-store.ts";

/** Age at which a file half written is left over: no upload goes without a byte for so long. */
const LEFTOVER_MS = HOUR;
/** Files removed in one cleaning. */
const MAX_CLEANED = 1_000;
const READ_CHUNK_BYTES = 64 * KIB;
const INCOMING = "incoming";

/** A file that is being written. Exactly one of `moveIntoPlace` and `discard` ends it. */
export interface IncomingFile {
  /** On an error the file is still to be discarded. */
  write(chunk: Buffer): Promise<void>;
  /** Durable when it resolves. On an error nothing is left. */
  moveIntoPlace(): Promise<void>;
  discard(): Promise<void>;
}

export interface BodyFiles {
  create(id: MessageId): Promise<IncomingFile>;
  /** Null: no such file. */
  read(id: MessageId, range: ByteRange | undefined): Promise<AsyncIterable<Buffer> | null>;
  /** No error when there is none. */
  remove(id: MessageId): Promise<void>;
  /** Never throws: a file that stays for any reason is an orphan, and is cleaned later. */
  removeQuietly(id: MessageId): Promise<void>;
  /** Remove files half written long ago, and whole ones that are orphans. */
  clean(look: { now: EpochMs; isOrphan: (id: MessageId) => boolean }): Promise<void>;
}

export function bodyFiles(dataFolder: string): BodyFiles {
  const root = join(dataFolder, "bodies");
  const shards = new Set<string>();

  /** The last two characters of an id are chance, so that 1,024 folders share the files evenly. */
  const folderOf = (id: MessageId): string => join(root, id.slice(-2));
  const pathOf = (id: MessageId): string => join(folderOf(id), id);

  /** Made once, and its name synced in its parent before a file in it may count as durable. */
  async function makeFolder(folder: string): Promise<void> {
    if (shards.has(folder)) return;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await syncFolder(root);
    await syncFolder(dataFolder);
    shards.add(folder);
  }

  return {
    async create(id) {
      const folder = join(root, INCOMING);
      await makeFolder(folder);
      const temporary = join(folder, `${id}.${randomBytes(6).toString("hex")}`);
      return await incomingFile(temporary, async () => {
        await makeFolder(folderOf(id));
        await rename(temporary, pathOf(id));
        await syncFolder(folderOf(id));
      });
    },

    async read(id, range) {
      const path = pathOf(id);
      const found = await access(path).then(
        () => true,
        () => false,
      );
      return found ? chunksOf(path, range) : null;
    },

    remove: (id) => rm(pathOf(id), { force: true }),
    removeQuietly: (id) => rm(pathOf(id), { force: true }).catch(() => undefined),

    async clean({ now, isOrphan }) {
      let left = MAX_CLEANED;
      for (const folder of await list(root)) {
        for (const name of await list(join(root, folder))) {
          if (left === 0) return;
          const path = join(root, folder, name);
          if (!(await isLeftOver(path, now))) continue;
          const id = parseMessageId(name);
          if (folder !== INCOMING && (id === null || !isOrphan(id))) continue; // not ours, or in use
          await rm(path, { force: true });
          left--;
        }
      }
    },
  };
}

async function incomingFile(path: string, place: () => Promise<void>): Promise<IncomingFile> {
  const handle = await open(path, "wx", 0o600);
  const discard = async (): Promise<void> => {
    await handle.close().catch(() => undefined); // it may be closed already
    await rm(path, { force: true });
  };
  return {
    async write(chunk) {
      let rest = chunk;
      while (rest.length > 0) {
        const { bytesWritten } = await handle.write(rest);
        rest = rest.subarray(bytesWritten);
      }
    },
    async moveIntoPlace() {
      try {
        await handle.sync();
        await handle.close();
        await place();
      } catch (error) {
        await discard();
        throw error;
      }
    },
    discard,
  };
}

/** A new name in a folder is durable when the folder is synced. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function* chunksOf(path: string, range: ByteRange | undefined): AsyncIterable<Buffer> {
  const from = Math.max(range?.from ?? 0, 0);
  const to = range?.to ?? Number.POSITIVE_INFINITY;
  if (to <= from) return;
  const stream = createReadStream(path, { start: from, end: to - 1, highWaterMark: READ_CHUNK_BYTES });
  for await (const chunk of stream) yield chunk as Buffer;
}

async function isLeftOver(path: string, now: EpochMs): Promise<boolean> {
  try {
    return now - (await stat(path)).mtimeMs > LEFTOVER_MS;
  } catch {
    return false; // it has just gone
  }
}

/** Names in a folder; none when there is no folder. */
async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
}
