/**
 * Who may log in: passwords of SMTP accounts against their stored scrypt hashes.
 *
 * 1. An unknown user costs the same work as a wrong password, so that neither the answer nor its time tells which users exist.
 * 2. At most `atOnce` hashes are computed together and `MAX_WAITING` wait: libuv's threads also serve the store.
 * 3. A password that was right is remembered as a keyed digest, so that a busy client pays for scrypt once. What is remembered
 *    is checked against the store again after `RECHECK_MS`: that long a removed account or an old password may still pass.
 */

import { createHmac, timingSafeEqual } from "node:crypto";

import { LRUCache } from "lru-cache";

import type { Clock } from "../domain/clock.ts";
import type { Account } from "../domain/account.ts";
import { parseAccount } from "../domain/account.ts";
import { NO_PASSWORD, verifyPassword } from "../domain/password.ts";
import { SECOND, later } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { SecretStore } from "../ports/secret-store.ts";
import { MAX_CREDENTIAL_LENGTH } from "./accounts.ts";

export const RECHECK_MS = 30 * SECOND;
/** Who refuses a login waits so long before it says so. */
export const FAILURE_DELAY_MS = SECOND;
const MAX_REMEMBERED = 1_000;
const MAX_AT_ONCE = 2;
const MAX_WAITING = 64;

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Who has logged in. */
export interface Login {
  readonly user: string;
  readonly senders: Account["senders"];
}

/** `busy`: too many ask at once, try again later. */
export type CredentialAnswer = Login | "wrong" | "busy";

/** Throws when the store does, or when what it holds is no account. */
export type CheckCredentials = (credentials: Credentials) => Promise<CredentialAnswer>;

interface Remembered {
  readonly digest: Buffer;
  /** What the store held when the password was right. */
  readonly stored: string;
  readonly login: Login;
  readonly recheckAt: EpochMs;
}

/** `key` is 32 random bytes that live as long as this process. */
export function credentialCheck({
  secrets,
  clock,
  key,
  atOnce = MAX_AT_ONCE,
}: {
  secrets: SecretStore;
  clock: Pick<Clock, "now">;
  key: Buffer;
  atOnce?: number;
}): CheckCredentials {
  const remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED });
  const gate = workGate(atOnce);

  async function recall(user: string, digest: Buffer): Promise<Login | null> {
    const known = remembered.get(user);
    if (!known || !timingSafeEqual(known.digest, digest)) return null;
    if (clock.now() < known.recheckAt) return known.login;
    if ((await secrets.get("account", user)) !== known.stored) return null;
    remembered.set(user, { ...known, recheckAt: later(clock.now(), RECHECK_MS) });
    return known.login;
  }

  return async ({ user, password }) => {
    if (user.length > MAX_CREDENTIAL_LENGTH || password.length > MAX_CREDENTIAL_LENGTH) return "wrong";
    const digest = createHmac("sha256", key).update(password).digest();
    const recalled = await recall(user, digest);
    if (recalled) return recalled;
    const leave = await gate.enter();
    if (!leave) return "busy";
    try {
      const stored = await secrets.get("account", user);
      const account = stored === null ? null : accountIn(stored);
      const matches = await verifyPassword(account?.passwordHash ?? NO_PASSWORD, password);
      if (!matches || stored === null || account === null) return "wrong";
      const login = { user, senders: account.senders };
      remembered.set(user, { digest, stored, login, recheckAt: later(clock.now(), RECHECK_MS) });
      return login;
    } finally {
      leave();
    }
  };
}

/** The login of an account, for a proxy that has checked the password itself. Throws as `CheckCredentials` does. */
export function accountLogins(secrets: SecretStore): (user: string) => Promise<Login | null> {
  return async (user) => {
    const stored = user.length > MAX_CREDENTIAL_LENGTH ? null : await secrets.get("account", user);
    return stored === null ? null : { user, senders: accountIn(stored).senders };
  };
}

function accountIn(stored: string): Account {
  const account = parseAccount(stored);
  if (account === null) throw new Error("the stored password of an SMTP account cannot be read: set it anew");
  return account;
}

/** Lets `atOnce` in; `enter` gives how to leave, or null when too many wait already. */
function workGate(atOnce: number): { enter(): Promise<(() => void) | null> } {
  let inside = 0;
  const waiting: (() => void)[] = [];
  const leave = (): void => {
    const next = waiting.shift();
    if (next) next();
    else inside -= 1;
  };
  return {
    async enter() {
      if (waiting.length >= MAX_WAITING) return null;
      if (inside < atOnce) inside += 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      return leave;
    },
  };
}
