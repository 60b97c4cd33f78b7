/**
 * Who the process is. Started as root with `user` in the configuration, it opens its ports and reads its keys as root and then becomes
 * that user for good, before there is any worker: workers never were root. Whether root is really gone is tried out, not believed.
 *
 * Nothing of root stays behind, no helper and no capability. What only root can do is done at the start alone: ports under 1024 are
 * bound then (held-sockets.ts), and a key that only root may read is read then.
 */

import { constants } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";

import type { RunAs } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";

export interface Identity {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

const ROOT = 0;

/** For the screen of somebody who runs all of it as root. */
export const ROOT_WARNING =
  "Warning: this runs as root, and need not. Set `user` in the configuration to the user that it is to become once its ports are open, " +
  "or run it as a service: `npx zonefleet systemd`.";

export function isRoot(): boolean {
  return process.geteuid?.() === ROOT;
}

/** Whom to become; null: the process is that user already. Throws a `DomainError` when it cannot become that user. */
export function identityOf({ user, group }: RunAs): Identity | null {
  if (!isRoot()) {
    const { username, uid } = userInfo();
    if (user === username || user === uid) return null;
    throw new DomainError(
      "invalid-config",
      `user: this process runs as ${username} and cannot become ${user}: start it as root, or leave user out`,
      "user",
    );
  }
  const { uid, gid, username, homedir } = known("user", user, () => {
    process.seteuid?.(user); // of all that Node has, `userInfo` alone knows users; it tells of the effective one
    try {
      return userInfo();
    } finally {
      process.seteuid?.(ROOT);
    }
  });
  if (uid === ROOT)
    throw new DomainError("invalid-config", "user: is root; leave it out to stay root", "user");
  return { name: username, uid, gid: group === null ? gid : groupId(group), home: homedir };
}

function groupId(group: string | number): number {
  return known("group", group, () => {
    const before = process.getegid?.() ?? ROOT;
    process.setegid?.(group);
    const gid = process.getegid?.() ?? ROOT;
    process.setegid?.(before);
    return gid;
  });
}

function known<T>(key: "user" | "group", value: string | number, ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isUnknown = code === "ERR_UNKNOWN_CREDENTIAL" || code === "ERR_SYSTEM_ERROR";
    const why = isUnknown ? `there is no ${key} ${value} on this machine` : message;
    throw new DomainError("invalid-config", `${key}: ${why}`, key);
  }
}

/** Do `work` as `identity`, and be root again: what it makes is that user's, and what that user may not do fails. */
export async function asUser<T>(identity: Identity, work: () => Promise<T>): Promise<T> {
  const groups = process.getgroups?.() ?? [];
  const gid = process.getegid?.() ?? ROOT;
  joinGroups(identity);
  process.setegid?.(identity.gid);
  process.seteuid?.(identity.uid);
  try {
    return await work();
  } finally {
    process.seteuid?.(ROOT);
    process.setegid?.(gid);
    process.setgroups?.(groups);
  }
}

/** Become `identity` for good. Throws when anything of root is left. */
export function becomeUser(identity: Identity): void {
  joinGroups(identity);
  process.setgid?.(identity.gid);
  process.setuid?.(identity.uid); // real, effective and saved
  refuseRoot(identity);
  process.env["HOME"] = identity.home; // programs and libraries look there for files of theirs
  process.env["USER"] = identity.name;
  process.env["LOGNAME"] = identity.name;
}

/** The user's groups in place of root's. Node's types leave the call out. */
function joinGroups({ name, gid }: Identity): void {
  (process as unknown as { initgroups(user: string, group: number): void }).initgroups(name, gid);
}

function refuseRoot({ uid, gid }: Identity): void {
  const ids = [process.getuid?.(), process.geteuid?.(), process.getgid?.(), process.getegid?.()];
  const isOther = ids.join() !== [uid, uid, gid, gid].join();
  const ways = [
    () => process.setuid?.(ROOT),
    () => process.seteuid?.(ROOT),
    () => process.setgroups?.([ROOT]),
  ];
  if (isOther || ways.some(succeeds))
    throw new Error(`the process could not give up root: it has the ids ${ids.join(" ")}`);
}

function succeeds(attempt: () => void): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false; // EPERM
  }
}

/** For a worker: throws when it is root although the configuration has a user. */
export function assertNotRoot({ runAs }: { readonly runAs: RunAs | null }): void {
  if (runAs !== null && (isRoot() || process.getuid?.() === ROOT))
    throw new Error("this worker is root, and the configuration says `user`");
}

/**
 * What the user that we have become needs: its data folder with what is in it, and the program. Throws a `DomainError` that names what
 * it cannot use. (`access` asks for the real user, which is right only after `becomeUser`.)
 */
export async function checkAccess(
  { name }: Identity,
  { dataDir, program }: { dataDir: string; program: string },
): Promise<void> {
  const { R_OK, W_OK, X_OK } = constants;
  const refused = (path: string, advice: string): never => {
    throw new DomainError("invalid-config", `user: ${name} may not use ${path}: ${advice}`, "user");
  };
  const give = `give it to that user with everything in it (chown -R ${name} ${dataDir})`;
  if (!(await can(dataDir, R_OK | W_OK | X_OK))) refused(dataDir, give);
  for (const entry of await readdir(dataDir, { withFileTypes: true })) {
    const path = join(dataDir, entry.name);
    const rights = entry.isDirectory() ? R_OK | W_OK | X_OK : R_OK | W_OK;
    if (!(await can(path, rights))) refused(path, give);
  }
  const install = "install ZoneFleet where every user can read it, such as /opt";
  for (const path of [program, process.execPath]) {
    if (!(await can(path, R_OK)) || !(await can(dirname(path), X_OK))) refused(path, install);
  }
}

async function can(path: string, rights: number): Promise<boolean> {
  try {
    await access(path, rights);
    return true;
  } catch {
    return false;
  }
}
