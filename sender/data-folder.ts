/**
 * Whose data folder it is: one supervisor at a time, with its workers.
 *
 * 1. A claim ends with its process, however that ends, because it is a lock of the operating system and not a file that says so.
 *    (SQLite takes the lock: Node has no call of its own for it. The lock files stay empty and are never removed.)
 * 2. Each worker shares a second lock for as long as it runs. A supervisor that was killed leaves workers that finish what they
 *    are sending; the next one waits for them, or it would give their leases away while they still send.
 * 3. `supervisor.json` says who has the claim. It is only for the message to a second instance, never for the decision.
 */

import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, chown, mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import type { Clock } from "#shared/domain/clock.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { SECOND } from "#shared/domain/units.ts";
import * as z from "zod";

const SUPERVISOR_LOCK = "supervisor.lock";
const WORKERS_LOCK = "workers.lock";
const OWNER_FILE = "supervisor.json";

/** Longer than a worker without supervisor takes to finish (worker-link.ts). */
const FORMER_WORKERS_TIMEOUT_MS = 40 * SECOND;
const FORMER_WORKERS_CHECK_MS = 100;

const SQLITE_BUSY = 5;

const OwnerSchema = z.object({ pid: z.number(), startedAt: z.string(), digest: z.string() });

export interface DataFolderOptions {
  readonly folder: string;
  readonly pid: number;
  /** Of the configuration, to tell a second instance whether it is the same. */
  readonly digest: string;
  readonly clock: Clock;
  /** Do not wait for them any longer. */
  readonly stop: AbortSignal;
  /** Called once when workers of a former supervisor still finish. */
  readonly onWait: () => void;
}

/** Make the folder when there is none and claim it for this process. Throws a `DomainError` for the operator's screen. */
export async function claimDataFolder(options: DataFolderOptions): Promise<Disposable> {
  const { folder, pid, digest, clock } = options;
  try {
    await makeFolder(folder);
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    const claim = lockFile(join(folder, SUPERVISOR_LOCK), "exclusive");
    if (claim === null) throw taken(folder, digest, await readOwner(folder));
    try {
      await formerWorkersGone(options);
      await writeOwner(folder, { pid, startedAt: new Date(clock.now()).toISOString(), digest });
    } catch (error) {
      claim[Symbol.dispose]();
      throw error;
    }
    return claim;
  } catch (error) {
    throw error instanceof DomainError ? error : unusable(folder, error);
  }
}

/** For a user that may not make it himself. What is there already stays whose it is. Throws as `claimDataFolder` does. */
export async function makeFolderFor(
  { uid, gid }: { uid: number; gid: number },
  folder: string,
): Promise<void> {
  try {
    for (const made of await makeFolder(folder)) await chown(made, uid, gid);
  } catch (error) {
    throw unusable(folder, error);
  }
}

/**
 * With the folders above it; resolves with those that were not there. (`recursive` of Node goes on for ever where a folder is there and
 * takes none, as in /proc.)
 */
async function makeFolder(path: string): Promise<string[]> {
  try {
    await mkdir(path, { mode: 0o700 });
    return [path];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await stat(path)).isDirectory()) return [];
    const above = dirname(path);
    if (code !== "ENOENT" || above === path || (await isThere(above))) throw error;
    const made = await makeFolder(above);
    await mkdir(path, { mode: 0o700 });
    return [...made, path];
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

/** A worker's part of the claim, for as long as the process lives. */
export function joinDataFolder(folder: string): void {
  if (lockFile(join(folder, WORKERS_LOCK), "shared") === null) {
    throw inFolder(`another ZoneFleet is just starting on the data folder ${folder}`);
  }
}

async function formerWorkersGone({ folder, clock, stop, onWait }: DataFolderOptions): Promise<void> {
  const path = join(folder, WORKERS_LOCK);
  const deadline = clock.now() + FORMER_WORKERS_TIMEOUT_MS;
  let told = false;
  for (let alone = lockFile(path, "exclusive"); ; alone = lockFile(path, "exclusive")) {
    if (alone !== null) {
      alone[Symbol.dispose]();
      return;
    }
    if (clock.now() >= deadline || stop.aborted) break;
    if (!told) onWait();
    told = true;
    await clock.sleep(FORMER_WORKERS_CHECK_MS, stop);
  }
  throw inFolder(
    `workers of a former ZoneFleet still run on the data folder ${folder}: wait until they have finished, or end the ` +
      "processes with worker-main.ts in their command line, then start again",
  );
}

/** Locks live as long as their database object: one that is forgotten would be collected, and its lock with it. */
const heldLocks = new Set<DatabaseSync>();

/** Null: another process has it. */
function lockFile(path: string, mode: "exclusive" | "shared"): Disposable | null {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec("PRAGMA journal_mode = MEMORY"); // no second file
    database.exec(mode === "exclusive" ? "BEGIN EXCLUSIVE" : "BEGIN; SELECT count(*) FROM sqlite_schema");
  } catch (error) {
    database.close();
    if (isBusy(error)) return null;
    throw error;
  }
  heldLocks.add(database);
  return {
    [Symbol.dispose]() {
      heldLocks.delete(database);
      database.close();
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY;
}

type Owner = z.infer<typeof OwnerSchema>;

/** Written beside and renamed, so that a reader never sees a half. */
async function writeOwner(folder: string, owner: Owner): Promise<void> {
  const unfinished = join(folder, `.new-${randomBytes(4).toString("hex")}`);
  await writeFile(unfinished, `${JSON.stringify(owner)}\n`, { mode: 0o600 });
  await rename(unfinished, join(folder, OWNER_FILE));
}

/** Null: the other instance has not written it yet, or somebody spoilt it. */
async function readOwner(folder: string): Promise<Owner | null> {
  try {
    return OwnerSchema.parse(JSON.parse(await readFile(join(folder, OWNER_FILE), "utf8")));
  } catch {
    return null;
  }
}

function taken(folder: string, digest: string, owner: Owner | null): DomainError {
  const who = owner === null ? "another process" : `process ${owner.pid}, since ${owner.startedAt}`;
  const same = owner?.digest === digest;
  const config = owner === null ? "" : ` with ${same ? "the same" : "a different"} configuration`;
  const stop = owner === null ? "Stop it first" : `Stop it first (kill ${owner.pid})`;
  const why = owner === null || same ? "" : " so that this configuration takes effect";
  return inFolder(
    `a ZoneFleet runs on the data folder ${folder} already: ${who},${config || " just starting"}. ` +
      `${stop}${why}, or name another folder in ZONEFLEET_DATA to run a second one beside it`,
  );
}

function unusable(folder: string, error: unknown): DomainError {
  const { code, message } = error as NodeJS.ErrnoException;
  return inFolder(`cannot use the data folder ${folder}: ${adviceOf(code) ?? message}`);
}

function adviceOf(code: string | undefined): string | null {
  const elsewhere = "or name another folder in ZONEFLEET_DATA";
  switch (code) {
    case "ENOENT":
      return `no folder can be made there (${code}). Name another folder in ZONEFLEET_DATA`;
    case "EACCES":
    case "EPERM":
    case "ERR_SQLITE_ERROR": // a lock file of another user
      return `permission denied (${code}). Give the user that runs ZoneFleet read and write access to it, ${elsewhere}`;
    case "EEXIST":
    case "ENOTDIR":
      return `it, or a part of its path, is not a folder (${code}). Move that away, ${elsewhere}`;
    case "ENOSPC":
    case "EDQUOT":
      return `the disk is full (${code}). Free some space, ${elsewhere}`;
    case "EROFS":
      return `the disk is read-only (${code}). Remount it, ${elsewhere}`;
    default:
      return null;
  }
}

function inFolder(message: string): DomainError {
  return new DomainError("invalid-config", message, "ZONEFLEET_DATA");
}
