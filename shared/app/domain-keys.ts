/**
 * The DKIM keys that were put over the API, as a sender finds them: names of all are listed twice a minute, and a key is read when
 * mail first needs it after that. So a new key signs, and one that was removed does not, within a minute, and no mail costs a read.
 */

import { LRUCache } from "lru-cache";

import type { Clock } from "../domain/clock.ts";
import type { DkimKey } from "../domain/dkim.ts";
import { andParents, parseDkimKey } from "../domain/dkim.ts";
import { HOUR, SECOND } from "../domain/units.ts";
import type { SecretStore } from "../ports/secret-store.ts";
import { readKey } from "./dkim-keys.ts";

const FRESH_MS = 30 * SECOND;
/** While the store does not answer, keys that are known go on signing; then mail waits, as it does for a key that cannot be read. */
const MAX_STALE_MS = HOUR;
const MAX_KEYS_READ = 5_000;

/** The names of all keys at one time, and those keys that were read since. */
interface Book {
  readonly listedAt: number;
  readonly names: ReadonlyMap<string, readonly string[]>;
  readonly keys: LRUCache<string, Promise<DkimKey | null>>;
}

/** Rejects when the store cannot tell: mail that is to be signed does not go without. */
export type DomainKeys = (domain: string) => Promise<DkimKey[]>;

export function domainKeys(
  secrets: Pick<SecretStore, "get" | "list">,
  { clock }: { clock: Pick<Clock, "now"> },
): DomainKeys {
  let book: Book | null = null;
  let askAgainAt = 0;
  let listing: Promise<Book> | null = null;

  async function list(): Promise<Book> {
    try {
      const names = Map.groupBy(await secrets.list("dkim-domain"), (name) => name.split("/")[0] ?? "");
      book = { listedAt: clock.now(), names, keys: new LRUCache({ max: MAX_KEYS_READ }) };
    } catch (error) {
      if (book === null || clock.now() - book.listedAt > MAX_STALE_MS) throw error;
    }
    askAgainAt = clock.now() + FRESH_MS;
    return book;
  }

  function current(): Book | Promise<Book> {
    if (book && clock.now() < askAgainAt) return book;
    listing ??= list().finally(() => {
      listing = null;
    });
    return listing;
  }

  /** Mails that want a key at the same time share the read. */
  function keyNamed(name: string, { keys }: Book): Promise<DkimKey | null> {
    const known = keys.get(name);
    if (known) return known;
    const reading = readKey(secrets, name).then((stored) => stored && parseDkimKey(stored));
    keys.set(name, reading);
    reading.catch(() => keys.delete(name)); // the next mail tries again; who waits hears of it
    return reading;
  }

  return async (domain) => {
    const now = await current();
    const names = andParents(domain).flatMap((each) => now.names.get(each) ?? []);
    const keys = await Promise.all(names.map((name) => keyNamed(name, now)));
    return keys.filter((key) => key !== null);
  };
}
