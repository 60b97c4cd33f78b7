/**
 * The MTA-STS policy of a domain that mail goes to (RFC 8461): asked for by DNS and HTTPS, and kept. What a policy means for a
 * connection is in open-session.ts and connect.ts.
 *
 * - A policy is in force until its `max_age` is over, whatever becomes of the record and of the web server meanwhile (§5.1): who can
 *   cut us off from them must not be able to switch it off.
 * - The record is asked for again when its lifetime is over; the policy is fetched again when the record's id has changed, and once a
 *   day. What fails is tried again after five minutes (§3.3).
 * - With no policy in force and none to be had, mail goes as to a domain that has none (§5.1).
 *
 * Kept in the memory of the process: a new one asks anew.
 */

import { LRUCache } from "lru-cache";
import type { Logger } from "pino";

import type { Domain } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { parseStsPolicy, stsIdOf } from "#shared/domain/mta-sts.ts";
import type { StsPolicy } from "#shared/domain/mta-sts.ts";
import { DAY, HOUR, KIB, later, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Dns } from "#shared/ports/dns.ts";
import type { HttpsGet } from "#shared/ports/https-get.ts";

/** Null: none is in force. It does not reject. */
export type StsOf = (domain: Domain) => Promise<StsPolicy | null>;

export interface StsDeps {
  readonly dns: Pick<Dns, "txt">;
  readonly get: HttpsGet;
  readonly clock: Clock;
  readonly log?: Logger;
  /** Domains to remember at most; what is longest unused is forgotten first. */
  readonly maxDomains?: number;
}

const DEFAULT_MAX_DOMAINS = 20_000;
/** RFC 8461 §3.3. */
const MAX_POLICY_BYTES = 64 * KIB;
const FETCH_TIMEOUT_MS = MINUTE;
const FAILED_RETRY_MS = 5 * MINUTE;
const MIN_CHECK_MS = MINUTE;
const MAX_CHECK_MS = HOUR;
/** RFC 8461 §10.2 suggests once a day. */
const REFRESH_MS = DAY;
/** So long mail waits for news of a policy while an older one is in force. */
const PATIENCE_MS = 5 * SECOND;

interface Cached {
  readonly policy: StsPolicy;
  readonly id: string;
  readonly refreshAt: EpochMs;
  readonly expiresAt: EpochMs;
}

interface Known {
  /** Null: no policy was ever fetched. */
  readonly cached: Cached | null;
  /** When to ask for the record again. */
  readonly checkAt: EpochMs;
}

export function stsPolicies(deps: StsDeps): StsOf {
  const { clock, maxDomains = DEFAULT_MAX_DOMAINS } = deps;
  const known = new LRUCache<Domain, Known>({ max: maxDomains });
  /** Bounded by the mail that asks. */
  const checking = new Map<Domain, Promise<StsPolicy | null>>();

  async function check(domain: Domain, before: Cached | null): Promise<StsPolicy | null> {
    const now = await checked(domain, before, deps).catch((error: unknown): Known => {
      deps.log?.error({ component: "mta-sts", recipientDomain: domain, err: error }, "failed");
      return { cached: before, checkAt: later(clock.now(), FAILED_RETRY_MS) };
    });
    known.set(domain, now);
    checking.delete(domain);
    return inForce(now.cached, clock.now());
  }

  return async (domain) => {
    if (domain.startsWith("[")) return null; // an address literal has no DNS of its own
    const entry = known.get(domain);
    const policy = inForce(entry?.cached ?? null, clock.now());
    if (entry && entry.checkAt > clock.now()) return policy;
    const asked = checking.get(domain) ?? check(domain, entry?.cached ?? null);
    if (!checking.has(domain)) checking.set(domain, asked);
    return policy === null ? asked : withPatience(asked, policy, clock);
  };
}

function inForce(cached: Cached | null, now: EpochMs): StsPolicy | null {
  return cached && cached.expiresAt > now && cached.policy.mode !== "none" ? cached.policy : null;
}

async function withPatience(
  asked: Promise<StsPolicy | null>,
  policy: StsPolicy,
  clock: Clock,
): Promise<StsPolicy | null> {
  const answered = new AbortController();
  const patience = clock.sleep(PATIENCE_MS, answered.signal).then(() => policy);
  try {
    return await Promise.race([asked, patience]);
  } finally {
    answered.abort();
  }
}

/** What is known after asking once more; what was `before` stays when nothing better comes. */
async function checked(domain: Domain, before: Cached | null, deps: StsDeps): Promise<Known> {
  const answer = await deps.dns.txt(`_mta-sts.${domain}`);
  const now = deps.clock.now();
  if (answer.kind === "failed") return { cached: before, checkAt: later(now, MIN_CHECK_MS) };
  const lifetimeMs = Math.min(Math.max(answer.ttlSeconds * SECOND, MIN_CHECK_MS), MAX_CHECK_MS);
  const checkAt = later(now, lifetimeMs);
  const id = answer.kind === "found" ? stsIdOf(answer.records) : null;
  if (id === null || (before?.id === id && before.refreshAt > now)) return { cached: before, checkAt };
  const cached = await fetchPolicy(domain, id, deps);
  return cached ? { cached, checkAt } : { cached: before, checkAt: later(now, FAILED_RETRY_MS) };
}

/** Null: it cannot be had. */
async function fetchPolicy(domain: Domain, id: string, { get, clock, log }: StsDeps): Promise<Cached | null> {
  const answer = await get({
    host: `mta-sts.${domain}`,
    path: "/.well-known/mta-sts.txt",
    maxBytes: MAX_POLICY_BYTES,
    timeoutMs: FETCH_TIMEOUT_MS,
  });
  const read = readAnswer(answer);
  if (!read.ok) {
    log?.warn(
      { component: "mta-sts", recipientDomain: domain, detail: read.problem },
      "mta-sts policy not to be had",
    );
    return null;
  }
  const { policy } = read;
  const now = clock.now();
  const lifetimeMs = Math.max(policy.maxAgeSeconds * SECOND, MIN_CHECK_MS);
  return {
    policy,
    id,
    refreshAt: later(now, Math.min(REFRESH_MS, lifetimeMs / 2)),
    expiresAt: later(now, lifetimeMs),
  };
}

function readAnswer(answer: Awaited<ReturnType<HttpsGet>>): ReturnType<typeof parseStsPolicy> {
  if (answer.kind === "failed") return { ok: false, problem: answer.detail };
  if (answer.status !== 200) return { ok: false, problem: `the answer is ${answer.status}` };
  // §3.2: on a server where others may put pictures, only its owner should be able to put a policy
  if (!/^text\/plain *(?:;|$)/i.test(answer.contentType)) {
    return {
      ok: false,
      problem: `the answer is not text/plain: ${JSON.stringify(answer.contentType.slice(0, 100))}`,
    };
  }
  return parseStsPolicy(answer.body);
}
