/**
 * DKIM keys that come with a mail, from the operator's directory. A key is kept as a secret under a name made of what it is, so
 * that mail of one sender shares one; the message holds the names. They stay when the mail is gone: there are as many as the
 * operator has ever handed out, and mail that is tried again next week still needs its own.
 */

import { createHash } from "node:crypto";

import { LRUCache } from "lru-cache";

import type { DkimKeySource } from "../domain/config.ts";
import type { DkimKey } from "../domain/dkim.ts";
import { parseDkimKey } from "../domain/dkim.ts";
import type { SecretStore } from "../ports/secret-store.ts";

/** In memory, of each process. */
const MAX_REMEMBERED = 1_000;

/** Resolves with the names of the keys once they are kept. */
export type KeepKeys = (keys: readonly DkimKeySource[]) => Promise<string[]>;

export function keepKeys(secrets: Pick<SecretStore, "put">): KeepKeys {
  const kept = new LRUCache<string, true>({ max: MAX_REMEMBERED });
  return (keys) =>
    Promise.all(
      keys.map(async ({ domain, selector, privateKey, terms }) => {
        const value = JSON.stringify({ domain, selector, privateKey, terms });
        const name = `mail-${createHash("sha256").update(value).digest("hex").slice(0, 32)}`;
        if (!kept.has(name)) await put(secrets, name, value);
        kept.set(name, true);
        return name;
      }),
    );
}

/** Whatever the store has against it is not the mistake of who sends the mail. */
async function put(secrets: Pick<SecretStore, "put">, name: string, value: string): Promise<void> {
  try {
    await secrets.put("dkim", name, value);
  } catch (error) {
    throw new Error("the DKIM key of a message could not be kept", { cause: error });
  }
}

/** Rejects when the key is not there or cannot be read: mail that was to be signed does not go without. */
export function keyReader(secrets: Pick<SecretStore, "get">): (name: string) => Promise<DkimKey> {
  const read = new LRUCache<string, DkimKey>({ max: MAX_REMEMBERED });
  return async (name) => {
    const known = read.get(name);
    if (known) return known;
    const stored = await secrets.get("dkim", name);
    if (stored === null) throw new Error(`the DKIM key ${name} of a message is gone`);
    const key = parseDkimKey(JSON.parse(stored) as DkimKeySource);
    read.set(name, key);
    return key;
  };
}
