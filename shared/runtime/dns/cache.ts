/**
 * A Dns that remembers the answers of another one.
 *
 * An answer is kept for its lifetime, within bounds of ours, and given with the lifetime it still has. All who ask for what is being
 * asked share one question. When asking again fails, records that were true lately are better than none (RFC 8767): they are given
 * for a bounded time more. "No such name" is never given so: it would bounce mail.
 */

import { LRUCache } from "lru-cache";

import type { Clock } from "../../domain/clock.ts";
import { later, SECOND } from "../../domain/units.ts";
import type { EpochMs } from "../../domain/units.ts";
import type { Dns, DnsAnswer, MxRecord } from "../../ports/dns.ts";

export interface CachedDnsOptions {
  readonly clock: Clock;
  /** Answers to keep at most; the one longest unused goes first. */
  readonly maxEntries?: number;
}

const DEFAULT_MAX_ENTRIES = 20_000;
/** A zone with a lifetime of nothing would be asked for each mail; nobody notices a few seconds. */
const MIN_TTL_SECONDS = 5;
/** RFC 8767 §4 sees no need for more than days; a day bounds the harm of a record that was wrong. */
const MAX_TTL_SECONDS = 86_400;
/** A "no" is kept shorter than its owner may say (RFC 2308 §5): a domain that has just been made bounces mail until then. */
const MAX_NEGATIVE_TTL_SECONDS = 900;
/** A failure is kept this long, so that an outage is not made worse by a question for each mail. */
const FAILED_TTL_SECONDS = 5;
/** How long over its lifetime an answer is given when asking again fails. */
const MAX_STALE_SECONDS = 86_400;
/** Lifetime of such an answer, and the time until it is asked for again (RFC 8767 §4, §5). */
const STALE_TTL_SECONDS = 30;

interface Entry<T> {
  readonly answer: DnsAnswer<T>;
  readonly expiresAt: EpochMs;
  /** Records to fall back on, and until when; null: none. */
  readonly lastGood: { readonly records: readonly T[]; readonly until: EpochMs } | null;
}

export function cachedDns(dns: Dns, { clock, maxEntries = DEFAULT_MAX_ENTRIES }: CachedDnsOptions): Dns {
  const mx = cacheOf<MxRecord>({ clock, maxEntries });
  const addresses = cacheOf<string>({ clock, maxEntries });
  const texts = cacheOf<string>({ clock, maxEntries });
  const names = cacheOf<string>({ clock, maxEntries });
  return {
    mx: (domain) => mx(domain, () => dns.mx(domain)),
    addresses: (host, family) => addresses(`${family} ${host}`, () => dns.addresses(host, family)),
    txt: (name) => texts(name, () => dns.txt(name)),
    reverse: (ip) => names(ip, () => dns.reverse(ip)),
  };
}

function cacheOf<T>({ clock, maxEntries }: { clock: Clock; maxEntries: number }) {
  const entries = new LRUCache<string, Entry<T>>({ max: maxEntries });
  /** Bounded by those who ask: a question ends within the time-outs of the resolver. */
  const asked = new Map<string, Promise<DnsAnswer<T>>>();

  async function askAnew(key: string, ask: () => Promise<DnsAnswer<T>>): Promise<DnsAnswer<T>> {
    const answer = await ask();
    const entry = entryOf(answer, entries.get(key)?.lastGood ?? null, clock.now());
    entries.set(key, entry);
    return remaining(entry, clock.now());
  }

  return async (key: string, ask: () => Promise<DnsAnswer<T>>): Promise<DnsAnswer<T>> => {
    const entry = entries.get(key);
    if (entry && entry.expiresAt > clock.now()) return remaining(entry, clock.now());
    const shared = asked.get(key);
    if (shared) return shared;
    const answer = askAnew(key, ask);
    asked.set(key, answer);
    try {
      return await answer;
    } finally {
      asked.delete(key);
    }
  };
}

/** What to keep of an answer. */
function entryOf<T>(answer: DnsAnswer<T>, lastGood: Entry<T>["lastGood"], now: EpochMs): Entry<T> {
  if (answer.kind === "found") {
    const expiresAt = later(now, clamp(answer.ttlSeconds, MAX_TTL_SECONDS) * SECOND);
    const until = later(expiresAt, MAX_STALE_SECONDS * SECOND);
    return { answer, expiresAt, lastGood: { records: answer.records, until } };
  }
  if (answer.kind !== "failed") {
    const expiresAt = later(now, clamp(answer.ttlSeconds, MAX_NEGATIVE_TTL_SECONDS) * SECOND);
    return { answer, expiresAt, lastGood: null };
  }
  if (lastGood && lastGood.until > now) {
    const stale = { kind: "found", records: lastGood.records, ttlSeconds: STALE_TTL_SECONDS } as const;
    return { answer: stale, expiresAt: later(now, STALE_TTL_SECONDS * SECOND), lastGood };
  }
  return { answer, expiresAt: later(now, FAILED_TTL_SECONDS * SECOND), lastGood: null };
}

function clamp(ttlSeconds: number, max: number): number {
  return Math.min(Math.max(ttlSeconds, MIN_TTL_SECONDS), max);
}

function remaining<T>({ answer, expiresAt }: Entry<T>, now: EpochMs): DnsAnswer<T> {
  if (answer.kind === "failed") return answer;
  return { ...answer, ttlSeconds: Math.max(0, Math.floor((expiresAt - now) / SECOND)) };
}
