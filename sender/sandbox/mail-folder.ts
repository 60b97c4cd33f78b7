/**
 * Where the sandbox keeps the mail it took: `<time>-<chance>-<first recipient>.eml` with a `.json` of the same name that holds the
 * envelope. The newest mails stay, up to a count and a sum of bytes. Nothing here is durable: it is mail for nobody.
 */

import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { EpochMs } from "#shared/domain/units.ts";
import { MIB } from "#shared/domain/units.ts";

export interface MailFolderLimits {
  readonly maxMails: number;
  readonly maxBytes: number;
  /** A mail over this is counted and hashed like any, but its bytes are not kept. */
  readonly maxMailBytes: number;
}

const DEFAULT_LIMITS: MailFolderLimits = {
  maxMails: 1_000,
  maxBytes: 512 * MIB,
  maxMailBytes: 64 * MIB,
};

export interface Measured {
  readonly size: number;
  /** In hex. */
  readonly sha256: string;
}

export interface MailFolder {
  /** Writes the message to a file that does not count yet, and measures it on the way. */
  write(message: AsyncIterable<Buffer>): Promise<UnfiledMail>;
}

export interface UnfiledMail extends Measured {
  /** Gives it its name and its envelope; resolves with the name, or null when it was too large to keep. */
  file(label: { at: EpochMs; recipient: string; envelope: object }): Promise<string | null>;
  discard(): Promise<void>;
}

const UNFILED = ".part";
const MAX_LABEL_CHARS = 80;

/** Makes the folder when there is none, and clears away what a crash left unfinished. */
export async function openMailFolder(path: string, limits = DEFAULT_LIMITS): Promise<MailFolder> {
  await mkdir(path, { recursive: true });
  const filed = await filedMails(path);
  return {
    async write(message) {
      const part = join(path, `${randomBytes(8).toString("hex")}${UNFILED}`);
      try {
        const measured = await copy(message, part, limits.maxMailBytes);
        return unfiledMail(path, part, measured, { filed, limits });
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    },
  };
}

/** Reads a message to its end; the next chunk is read when `each` is done with the one before. */
export async function measure(
  message: AsyncIterable<Buffer>,
  each?: (chunk: Buffer) => Promise<void>,
): Promise<Measured> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of message) {
    hash.update(chunk);
    size += chunk.length;
    await each?.(chunk);
  }
  return { size, sha256: hash.digest("hex") };
}

interface Filed {
  readonly name: string;
  readonly bytes: number;
}

function unfiledMail(
  path: string,
  part: string,
  measured: Measured,
  { filed, limits }: { filed: Filed[]; limits: MailFolderLimits },
): UnfiledMail {
  return {
    ...measured,
    async file({ at, recipient, envelope }) {
      if (measured.size > limits.maxMailBytes) {
        await rm(part, { force: true });
        return null;
      }
      const name = nameOf(at, recipient);
      try {
        await writeFile(join(path, `${name}.json`), `${JSON.stringify(envelope, null, 2)}\n`);
        await rename(part, join(path, `${name}.eml`));
      } catch (error) {
        await Promise.all([part, join(path, `${name}.json`)].map((file) => rm(file, { force: true })));
        throw error;
      }
      filed.push({ name, bytes: measured.size });
      await removeOldest(path, filed, limits);
      return `${name}.eml`;
    },
    discard: () => rm(part, { force: true }),
  };
}

/**
 * The first `maxBytes` go to the file; the rest is only measured, so that no mail can fill the disk. The message is read to its end
 * although the disk fails: only then the peer can be answered.
 */
async function copy(message: AsyncIterable<Buffer>, path: string, maxBytes: number): Promise<Measured> {
  let failure: unknown = null;
  const failed = (error: unknown): null => {
    failure ??= error;
    return null;
  };
  const file = await open(path, "wx").catch(failed);
  try {
    let written = 0;
    const measured = await measure(message, async (chunk) => {
      written += chunk.length;
      if (failure === null && written <= maxBytes) await file?.appendFile(chunk).catch(failed);
    });
    if (failure !== null) throw new Error("the sandbox cannot write to its folder", { cause: failure });
    return measured;
  } finally {
    await file?.close();
  }
}

/** Sorts by time. An address becomes a part of a file name only in characters that mean nothing to any file system. */
function nameOf(at: EpochMs, recipient: string): string {
  const time = new Date(at).toISOString().replaceAll(/[-:.]/g, "");
  const label = recipient.replaceAll(/[^A-Za-z0-9@._+-]/g, "_");
  return `${time}-${randomBytes(3).toString("hex")}-${label.slice(0, MAX_LABEL_CHARS)}`;
}

async function filedMails(path: string): Promise<Filed[]> {
  const names = (await readdir(path)).toSorted();
  const filed: Filed[] = [];
  for (const name of names) {
    if (name.endsWith(UNFILED)) await rm(join(path, name), { force: true });
    if (!name.endsWith(".eml")) continue;
    const { size } = await stat(join(path, name));
    filed.push({ name: name.slice(0, -".eml".length), bytes: size });
  }
  return filed;
}

async function removeOldest(
  path: string,
  filed: Filed[],
  { maxMails, maxBytes }: MailFolderLimits,
): Promise<void> {
  let sum = filed.reduce((bytes, mail) => bytes + mail.bytes, 0);
  while (filed.length > maxMails || sum > maxBytes) {
    const oldest = filed.shift();
    if (oldest === undefined) return;
    sum -= oldest.bytes;
    await rm(join(path, `${oldest.name}.eml`), { force: true });
    await rm(join(path, `${oldest.name}.json`), { force: true });
  }
}
