/**
 * Secrets as files: `<folder>/<kind>/<name>`, one secret each, readable by the owner alone (folders 0700, files 0600).
 *
 * 1. No name leaves its folder, and no two names share a file: what is not plain is percent-encoded.
 * 2. A reader sees the old secret or the new one, never half of one: a file is written beside it, synced, then renamed or linked.
 *
 * A crash in between leaves a `.new-…` file, which nothing reads. What is inside a secret is the caller's matter.
 */

import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, open, readdir, readFile, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";

import { DomainError } from "../domain/errors.ts";
import type { SecretKind, SecretStore } from "../ports/secret-store.ts";

/** File systems take 255 bytes in a name. */
const MAX_FILE_NAME = 255;
const UNFINISHED = ".new-";

export function embeddedSecretStore({ folder }: { folder: string }): SecretStore {
  return {
    async get(kind, name) {
      const file = fileNameOf(name);
      return file === null ? null : ifThere(readFile(join(folder, kind, file), "utf8"));
    },
    async list(kind) {
      const files = (await ifThere(readdir(join(folder, kind)))) ?? [];
      return files
        .map(nameOfFile)
        .filter((name) => name !== null)
        .toSorted();
    },
    async put(kind, name, value) {
      const file = fileNameOf(name);
      if (file === null) throw unusableName(kind, name);
      await makeFolders(folder, kind);
      await replaceFile(join(folder, kind), file, value);
    },
    async add(kind, name, value) {
      const file = fileNameOf(name);
      if (file === null) throw unusableName(kind, name);
      await makeFolders(folder, kind);
      return addFile(join(folder, kind), file, value);
    },
    async remove(kind, name) {
      const file = fileNameOf(name);
      if (file === null) return false;
      const removed = await ifThere(unlink(join(folder, kind, file)).then(() => true));
      if (removed === true) await syncFolder(join(folder, kind));
      return removed === true;
    },
  };
}

/** Letters, digits and `@_-.` stand for themselves, but for a dot in front; the rest is `%XX` of its UTF-8. Null: no file can have it. */
function fileNameOf(name: string): string | null {
  if (name === "" || !name.isWellFormed()) return null;
  const file = name.replaceAll(/^\.|[^a-zA-Z0-9@_.-]/gu, percentEncoded);
  return file.length > MAX_FILE_NAME ? null : file;
}

/** Null: not a file that `fileNameOf` names, such as an unfinished one or an editor's. */
function nameOfFile(file: string): string | null {
  try {
    const name = decodeURIComponent(file);
    return fileNameOf(name) === file ? name : null;
  } catch {
    return null;
  }
}

function percentEncoded(char: string): string {
  return [...Buffer.from(char)]
    .map((byte) => `%${byte.toString(16).padStart(2, "0").toUpperCase()}`)
    .join("");
}

function unusableName(kind: SecretKind, name: string): DomainError {
  const shown = JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}…` : name);
  return new DomainError(
    "invalid-request",
    `${shown} cannot name a secret (${kind}): use 1 to ${MAX_FILE_NAME} characters, fewer when they are not letters and digits`,
    "name",
  );
}

/** A folder that was there already, made by hand perhaps, is closed to others too. */
async function makeFolders(folder: string, kind: SecretKind): Promise<void> {
  for (const path of [folder, join(folder, kind)]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
  }
}

async function replaceFile(folder: string, file: string, value: string): Promise<void> {
  const unfinished = join(folder, UNFINISHED + randomBytes(8).toString("hex"));
  try {
    await writeSynced(unfinished, value);
    await rename(unfinished, join(folder, file));
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/** False: the file is there. A link is refused where a rename would replace. */
async function addFile(folder: string, file: string, value: string): Promise<boolean> {
  const unfinished = join(folder, UNFINISHED + randomBytes(8).toString("hex"));
  try {
    await writeSynced(unfinished, value);
    await link(unfinished, join(folder, file));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(unfinished, { force: true });
  }
  await syncFolder(folder);
  return true;
}

async function writeSynced(path: string, value: string): Promise<void> {
  await using handle = await open(path, "wx", 0o600);
  await handle.writeFile(value);
  await handle.sync();
}

/** A rename or an unlink is durable only when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}

async function ifThere<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
