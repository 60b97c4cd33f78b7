/**
 * From what an attempt came to, to where its row goes: delivered, due again, bounced or expired; with a block of our address
 * where the peer refused it and not the mail. The one place that joins classification, retry ladder and queue.
 */

import type { BounceAction, BounceCategory } from "../domain/bounce-rule.ts";
import { BOUNCE_CATEGORIES } from "../domain/bounce-rule.ts";
import type { Clock } from "../domain/clock.ts";
import type { Config } from "../domain/config.ts";
import type { DeferCause, Outcome, Ruling } from "../domain/outcome.ts";
import { NO_ROUTE } from "../domain/outcome.ts";
import { printReply } from "../domain/smtp-reply.ts";
import type { AttemptRecord, Lease } from "../domain/queue-row.ts";
import { droppedByPlugin } from "../domain/queue-row.ts";
import type { Classify } from "../domain/own-bounce-rules.ts";
import { becomesLate, nextAttempt } from "../domain/retry.ts";
import type { EpochMs } from "../domain/units.ts";
import { later } from "../domain/units.ts";
import type { Zone, ZoneName } from "../domain/zone.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import type { QueueStore, Settlement } from "../ports/queue-store.ts";
import type { Message } from "../domain/message.ts";
import type { Observer } from "./observer.ts";

export interface SettleDeps {
  readonly config: Config;
  readonly queue: QueueStore;
  readonly limits: Pick<LimitStore, "block">;
  /** What a reply means, the operator's rules first. */
  readonly classify: Classify;
  /** Send more slowly to a site that asks for it. */
  readonly slowDown: (complaint: Complaint) => Promise<void>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observer: Observer;
}

/** A reply that asks for less mail. */
export interface Complaint {
  readonly zone: ZoneName;
  readonly site: string;
  readonly response: string;
}

/** One attempt at some rows of one message. */
export interface Attempt {
  readonly zone: Zone;
  /** What limits and blocks are kept by. */
  readonly site: string;
  readonly startedAt: EpochMs;
  readonly leases: readonly Lease[];
  /** One for each lease, in order. */
  readonly outcomes: readonly Outcome[];
  /** True: another egress address of the pool may still try this site, so a refusal of this one is retried at once. */
  readonly otherEgress: boolean;
  /** Whose rows they are, for those who watch. */
  readonly message?: Message;
}

export type Settle = (attempt: Attempt) => Promise<void>;

export function settler(deps: SettleDeps): Settle {
  return async (attempt) => {
    const verdicts = verdictsOn(deps, attempt);
    await blockRefusedEgress(deps, attempt, verdicts);
    await slowDownSite(deps, attempt);
    await write(deps, verdicts, attempt.message);
  };
}

/** Rows of one attempt share its end and their jitter: with one due time they travel in one transaction again. */
function verdictsOn(deps: SettleDeps, attempt: Attempt): Settlement[] {
  const chance = deps.random();
  const shared = { ...deps, random: () => chance };
  const ended = { ...attempt, endedAt: deps.clock.now() };
  return attempt.leases.map((lease, i) => verdictOf(shared, ended, lease, attempt.outcomes[i] as Outcome));
}

/** End rows without an attempt, as when a recipient was suppressed after accept. */
export async function settleWithout(
  deps: Pick<SettleDeps, "queue" | "observer">,
  settlements: readonly Settlement[],
): Promise<void> {
  await write(deps, settlements);
}

async function write(
  { queue, observer }: Pick<SettleDeps, "queue" | "observer">,
  settlements: readonly Settlement[],
  message?: Message,
) {
  const written = await queue.settle(settlements);
  settlements.forEach(({ lease, attempt, settled }, i) => {
    if (written[i] === true) observer.settled(lease.row, attempt, settled, message);
    else observer.settledLate(lease.row, attempt);
  });
}

/** What the reply means, or for a failure with no reply to read, what its cause means. */
function meaning(
  classify: Classify,
  outcome: Outcome,
): {
  action: BounceAction;
  category: BounceCategory | null;
  status: string;
} {
  if (outcome.kind === "delivered")
    return { action: "defer", category: null, status: outcome.reply.enhanced ?? "2.0.0" };
  const { ruling } = outcome;
  if (ruling && ruling.action !== "drop") return ruled(outcome, ruling.action, ruling.category);
  if (outcome.cause === "reply" && outcome.reply) return classify(outcome.reply);
  if (outcome.kind === "bounced")
    return { action: "reject", category: CATEGORY[outcome.cause] ?? null, status: outcome.status };
  return {
    action: "defer",
    category: CATEGORY[outcome.cause] ?? null,
    status: STATUS[outcome.cause] ?? "4.0.0",
  };
}

/** A plugin has decided. Categories are ours; of another, none is kept. */
function ruled(
  { reply }: Outcome,
  action: BounceAction,
  category: Ruling["category"],
): ReturnType<typeof meaning> {
  const status = reply?.enhanced ?? (action === "reject" ? "5.0.0" : "4.0.0");
  return { action, category: BOUNCE_CATEGORIES.find((known) => known === category) ?? null, status };
}

const CATEGORY: Readonly<Record<string, BounceCategory>> = {
  dns: "dns",
  "no-domain": "dns",
  "null-mx": "dns",
  unroutable: "dns",
  connect: "network",
  timeout: "network",
  ambiguous: "network",
  protocol: "protocol",
  tls: "policy",
  blocked: "blacklist",
  "too-large": "message",
  "no-smtputf8": "message",
  http: "other",
  plugin: "policy",
};

/** RFC 3463 §3.5: what our own failures are called in a DSN. */
const STATUS: Readonly<Record<string, string>> = {
  dns: "4.4.3",
  connect: "4.4.1",
  timeout: "4.4.2",
  ambiguous: "4.4.2",
  protocol: "4.5.0",
  tls: "4.7.5",
  http: "4.3.0",
  blocked: "4.7.1",
  plugin: "4.7.1",
  internal: "4.3.0",
};

function verdictOf(
  deps: SettleDeps,
  attempt: Attempt & { readonly endedAt: EpochMs },
  lease: Lease,
  outcome: Outcome,
): Settlement {
  const now = attempt.endedAt;
  if (outcome.kind !== "delivered" && outcome.ruling?.action === "drop")
    return {
      lease,
      settled: { state: "dropped", untried: true },
      attempt: droppedByPlugin(now, outcome.detail),
    };
  const { action, category, status } = meaning(deps.classify, outcome);
  const record: AttemptRecord = {
    at: now,
    durationMs: now - attempt.startedAt,
    kind: outcome.kind,
    cause: outcome.kind === "delivered" ? null : outcome.cause,
    reply: outcome.reply,
    detail: outcome.kind === "delivered" ? printReply(outcome.reply) : outcome.detail,
    status,
    category,
    route: outcome.route,
  };
  if (outcome.kind === "delivered") return { lease, settled: { state: "delivered" }, attempt: record };
  if (action === "reject")
    return { lease, settled: { state: "bounced" }, attempt: { ...record, kind: "bounced" } };
  if (category === "blacklist" && attempt.otherEgress) {
    return deferredUntil(deps.config, lease, { ...record, kind: "deferred" }, now);
  }
  const cause = outcome.kind === "deferred" ? outcome.cause : "reply";
  const { deferTimesMs = attempt.zone.deferTimesMs } = outcome;
  return retried(deps, deferTimesMs, lease, { ...record, kind: "deferred", cause });
}

function retried(
  deps: SettleDeps,
  deferTimesMs: readonly number[],
  lease: Lease,
  record: AttemptRecord & { readonly cause: DeferCause },
): Settlement {
  const { row } = lease;
  const next = nextAttempt({
    attempts: row.attempts + 1,
    firstDeferredAt: row.firstDeferredAt,
    createdAt: row.createdAt,
    now: record.at,
    deferTimesMs,
    maxQueueTimeMs: deps.config.queue.maxQueueTimeMs,
    random: deps.random,
    cause: record.cause,
  });
  if (next.kind === "retry") return deferredUntil(deps.config, lease, record, next.dueAt);
  return expired(lease, record, next.detail);
}

function deferredUntil(config: Config, lease: Lease, record: AttemptRecord, dueAt: EpochMs): Settlement {
  const { firstDeferredAt, lastAttempt } = lease.row;
  const deferral = { now: record.at, firstDeferredAt, lastAt: lastAttempt?.at ?? null };
  const isLate = becomesLate(deferral, config.bounces.delay.afterMs);
  return {
    lease,
    settled: { state: "deferred", dueAt },
    attempt: isLate ? { ...record, late: true } : record,
  };
}

function expired(lease: Lease, record: AttemptRecord, why: string): Settlement {
  const detail = `${why}; the last attempt: ${record.detail}`;
  const attempt: AttemptRecord = { ...record, kind: "bounced", cause: "expired", status: "5.4.7", detail };
  return { lease, settled: { state: "expired" }, attempt };
}

/**
 * Put a row off without an attempt, because its site is known to be out of reach. It does not climb the ladder, and it expires
 * all the same when its time is over.
 */
export function putOff(
  config: Config,
  lease: Lease,
  { now, dueAt, detail }: { now: EpochMs; dueAt: EpochMs; detail: string },
): Settlement {
  const record: AttemptRecord = {
    at: now,
    durationMs: 0,
    kind: "deferred",
    cause: "connect",
    reply: null,
    detail,
    status: STATUS["connect"] as string,
    category: "network",
    route: NO_ROUTE,
  };
  const { firstDeferredAt } = lease.row;
  if (firstDeferredAt !== null && now >= later(firstDeferredAt, config.queue.maxQueueTimeMs)) {
    const { attempt } = expired(lease, record, "given up: the time in the queue is over");
    return { lease, settled: { state: "expired", untried: true }, attempt };
  }
  const settlement = deferredUntil(config, lease, record, dueAt);
  return { ...settlement, settled: { state: "deferred", dueAt, untried: true } };
}

/** The peer refused the address we came from: no process uses it for that site until the block is over. */
async function blockRefusedEgress(
  deps: SettleDeps,
  attempt: Attempt,
  verdicts: readonly Settlement[],
): Promise<void> {
  const refused = verdicts.find(
    ({ attempt: { category, cause } }) => category === "blacklist" && cause === "reply",
  );
  const address = refused?.attempt.route.egress ?? null;
  // The wildcard address stands for whatever the system picks: blocking it would stop the zone.
  if (!refused || !attempt.zone.pool.some((entry) => entry.address === address)) return;
  const now = deps.clock.now();
  await deps.limits.block({
    address: address as string,
    site: attempt.site,
    createdAt: now,
    until: later(now, deps.config.blacklist.ttlMs),
    response: refused.attempt.detail,
  });
}

/** Said once for all recipients: one complaint is one step, however many of them heard it. */
async function slowDownSite(deps: SettleDeps, { zone, site, outcomes }: Attempt): Promise<void> {
  const complaint = outcomes
    .map((outcome) => (outcome.kind !== "delivered" && outcome.cause === "reply" ? outcome.reply : null))
    .find((reply) => reply !== null && deps.classify(reply).action === "slowdown");
  if (complaint) await deps.slowDown({ zone: zone.name, site, response: printReply(complaint) });
}
