/**
 * The key that secrets in the store are sealed with: `<data>/secrets/seal-key`, 32 bytes in hex, for the owner alone. Made at the
 * first start; of processes that start together, one makes it. Whoever copies the store takes it along, or sealed mail stays shut.
 */

import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { aesSealer, SEAL_KEY_BYTES } from "../app/sealer.ts";
import type { Sealer } from "../app/sealer.ts";
import { DataFolderError, syncFolder } from "./data-folder.ts";

const FILE = "seal-key";

/** Throws a `DataFolderError` when the file is there and holds no key. */
export async function embeddedSealer({ folder }: { folder: string }): Promise<Sealer> {
  const path = join(folder, FILE);
  const stored = (await readKey(path)) ?? (await makeKey(folder, path));
  if (new RegExp(`^[0-9a-f]{${2 * SEAL_KEY_BYTES}}\\s*$`).test(stored))
    return aesSealer(Buffer.from(stored.trim(), "hex"));
  throw new DataFolderError(
    `${path} holds no key: put a backup in its place, or remove it; mail that waits for a relay with a password is then deferred until it expires`,
  );
}

/** Null: there is none. */
async function readKey(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Written beside it and linked to its name, which fails when another process was first: then its key is the one. */
async function makeKey(folder: string, path: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const unfinished = join(folder, `.new-${randomBytes(8).toString("hex")}`);
  try {
    await using handle = await open(unfinished, "wx", 0o600);
    await handle.writeFile(`${randomBytes(SEAL_KEY_BYTES).toString("hex")}\n`);
    await handle.sync();
    await link(unfinished, path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    await rm(unfinished, { force: true });
  }
  syncFolder(folder);
  return readFile(path, "utf8");
}
