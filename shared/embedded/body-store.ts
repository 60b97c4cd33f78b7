/**
 * Bodies: small ones in LMDB beside their message, large ones in files of their own.
 *
 * B1  A small body is held in memory until the accept of its message writes it in the same transaction, so that a mail costs
 *     one group commit and an aborted submission costs none. What is held too long, or is too much, goes to the disk by itself.
 * B2  A large body is streamed to `bodies/incoming`, synced, then moved to its name and the folder synced: under its name a
 *     file is always whole.
 * B3  What a crash leaves (a file half written, a body whose message was never accepted) is removed by `sweep` when it is old.
 */

import type { Clock } from "../domain/clock.ts";
import { timeOfMessageId } from "../domain/ids.ts";
import type { MessageId } from "../domain/ids.ts";
import { DAY, HOUR, KIB, MIB, MINUTE, later } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { BodyStore, ByteRange } from "../ports/body-store.ts";
import { bodyFiles } from "./body-files.ts";
import type { IncomingFile } from "./body-files.ts";
import type { EmbeddedDatabase } from "./database.ts";
import type { DiskSpace } from "./disk-space.ts";
import type { WriteTransaction } from "./group-commit.ts";

/** Bodies up to this size lie in LMDB: larger ones would cost it long runs of free pages, and main memory on the way. */
export const SMALL_BODY_BYTES = 64 * KIB;
/** Small bodies held in memory for their accept; beyond it they are written at once. */
const MAX_HELD_BYTES = 32 * MIB;
/** An accept follows its body within seconds; a body held for longer is written on its own. */
const MAX_HELD_MS = MINUTE;
/** Age at which a body without a message is left over. */
const ORPHAN_MS = DAY;
const CLEAN_EVERY_MS = HOUR;
/** Small bodies looked at in one cleaning. */
const MAX_LOOKED = 10_000;

export interface EmbeddedBodyStore extends BodyStore {
  /** In the work of an accept: write the body that is held for the message (B1). */
  commitHeld(transaction: WriteTransaction, id: MessageId): void;
  /** Let go of a body that is held and not wanted. */
  dropHeld(id: MessageId): void;
  /** In a work: delete the body; a file goes when the work is on the disk. */
  forget(transaction: WriteTransaction, id: MessageId): void;
  /** Write what is held too long and, once an hour, remove what is left over (B3). */
  sweep(): Promise<void>;
}

interface HeldBody {
  readonly bytes: Buffer;
  readonly since: EpochMs;
}

export interface BodyStoreDeps {
  readonly database: EmbeddedDatabase;
  readonly clock: Clock;
  readonly space: DiskSpace;
}

export function embeddedBodyStore({ database, clock, space }: BodyStoreDeps): EmbeddedBodyStore {
  const small = database.bytesTable("bodies");
  const messages = database.table("messages");
  const files = bodyFiles(database.folder);
  const held = new Map<MessageId, HeldBody>();
  let heldBytes = 0;
  let nextCleaning = clock.now();
  let cleanedUpTo = "";

  function dropHeld(id: MessageId): void {
    heldBytes -= held.get(id)?.bytes.length ?? 0;
    held.delete(id);
  }

  async function keepSmall(id: MessageId, bytes: Buffer): Promise<void> {
    dropHeld(id);
    await space.claim(bytes.length);
    if (heldBytes + bytes.length > MAX_HELD_BYTES) {
      await database.write(() => small.put(id, bytes));
    } else {
      held.set(id, { bytes, since: clock.now() });
      heldBytes += bytes.length;
    }
  }

  async function removeSmall(id: MessageId): Promise<void> {
    dropHeld(id);
    if (small.has(id)) await database.write(() => small.remove(id));
  }

  async function writeHeldTooLong(): Promise<void> {
    for (const [id, { bytes, since }] of held) {
      if (clock.now() - since < MAX_HELD_MS) return; // in the order they came
      await database.write(() => small.put(id, bytes));
      dropHeld(id);
    }
  }

  /** A message that is known keeps its body; an id without one is an orphan once it is old. */
  function isOrphan(id: MessageId): boolean {
    return isOld(id) && !messages.has(id);
  }

  function isOld(id: MessageId): boolean {
    return clock.now() - timeOfMessageId(id) > ORPHAN_MS;
  }

  /** Goes on where the last cleaning stopped. Ids sort by time, so the first young one ends the round. */
  async function cleanSmall(): Promise<void> {
    const looked = [...small.keys({ start: cleanedUpTo, exclusiveStart: true, limit: MAX_LOOKED })];
    const old = looked.map((key) => key as MessageId).filter(isOld);
    cleanedUpTo = old.length === MAX_LOOKED ? (old.at(-1) as MessageId) : "";
    const orphans = old.filter((id) => !messages.has(id));
    if (orphans.length === 0) return;
    await database.write(() => {
      for (const id of orphans) if (!messages.has(id)) small.remove(id);
    });
  }

  return {
    async put(id, source) {
      const body = await gather(source, { create: () => files.create(id), space });
      if (messages.has(id)) {
        // Accepted before, and it has its body: a body never changes, and what came again is not stored.
        await body.file?.discard();
        return body.bytes;
      }
      if (body.file) {
        await body.file.moveIntoPlace();
        await removeSmall(id);
      } else {
        await keepSmall(id, Buffer.concat(body.chunks));
      }
      return body.bytes;
    },

    async get(id, range) {
      const bytes = held.get(id)?.bytes ?? small.get(id);
      if (bytes) return inOneChunk(bytes.subarray(...cut(bytes.length, range)));
      return await files.read(id, range);
    },

    async delete(id) {
      await removeSmall(id);
      await files.remove(id);
    },

    commitHeld(transaction, id) {
      const body = held.get(id);
      if (!body) return;
      small.put(id, body.bytes);
      transaction.afterCommit(async () => dropHeld(id));
    },

    dropHeld,

    forget(transaction, id) {
      if (small.has(id)) small.remove(id);
      else transaction.afterCommit(() => files.removeQuietly(id));
    },

    async sweep() {
      await writeHeldTooLong();
      if (clock.now() < nextCleaning) return;
      nextCleaning = later(clock.now(), CLEAN_EVERY_MS);
      await cleanSmall();
      await files.clean({ now: clock.now(), isOrphan });
    },
  };
}

type Gathered = { bytes: number; file: null; chunks: Buffer[] } | { bytes: number; file: IncomingFile };

/** Read all of `source`: into memory while it is small, into a file once it is not. A source that throws leaves nothing. */
async function gather(
  source: AsyncIterable<Buffer>,
  { create, space }: { create: () => Promise<IncomingFile>; space: DiskSpace },
): Promise<Gathered> {
  let chunks: Buffer[] = [];
  let file: IncomingFile | null = null;
  let bytes = 0;
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes <= SMALL_BODY_BYTES) {
        chunks.push(chunk);
        continue;
      }
      await space.claim(chunk.length);
      file ??= await create();
      for (const part of [...chunks, chunk]) await file.write(part);
      chunks = [];
    }
  } catch (error) {
    await file?.discard();
    throw error;
  }
  return file ? { bytes, file } : { bytes, file: null, chunks };
}

async function* inOneChunk(bytes: Buffer): AsyncIterable<Buffer> {
  if (bytes.length > 0) yield bytes;
}

/** From and to inside a body of `length` bytes. */
function cut(length: number, range: ByteRange | undefined): [from: number, to: number] {
  if (!range) return [0, length];
  const from = Math.min(Math.max(range.from, 0), length);
  return [from, Math.max(from, Math.min(range.to, length))];
}
