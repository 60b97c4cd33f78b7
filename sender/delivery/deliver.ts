/**
 * One job from start to outcome, as a pipeline: open a session (or use the one given) → sign → transact; and on to the next
 * host when a host takes no mail now. Every recipient gets its own `Outcome`; an error of ours becomes a deferral here and
 * never blames a recipient.
 */

import type { Address } from "#shared/domain/address.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { deferred } from "#shared/domain/outcome.ts";
import type { BodyStore } from "#shared/ports/body-store.ts";
import type { Job } from "./job.ts";
import { openSession } from "./open-session.ts";
import type { OpenDeps } from "./open-session.ts";
import type { ReceivedFor, Signer } from "./sign.ts";
import type { SmtpSession } from "./smtp-client.ts";
import { transact } from "./transaction.ts";
import type { Transacted, TransactOptions } from "./transaction.ts";

export interface DeliverDeps extends OpenDeps {
  readonly bodies: BodyStore;
  readonly signer: Signer;
  readonly onInternalError: (job: Job, error: unknown) => void;
}

export interface Delivered {
  /** One for each lease of the job, in order. */
  readonly outcomes: readonly Outcome[];
  /** Fit for another job; null: there is none, or it is closed. */
  readonly session: SmtpSession | null;
  readonly siteDown: boolean;
}

/** Sessions begun for one job: each on another host, after one that was dead or would take no mail now. */
const MAX_SESSIONS_PER_JOB = 4;
/** Transactions for one job: a peer that takes a few recipients at a time is given the rest at once (RFC 5321 §4.5.3.1.10). */
const MAX_TRANSACTIONS_PER_JOB = 20;

export async function deliver(
  job: Job,
  reused: SmtpSession | null,
  deps: DeliverDeps,
  options: TransactOptions,
): Promise<Delivered> {
  try {
    return await deliverByHosts(job, reused, deps, options);
  } catch (error) {
    deps.onInternalError(job, error);
    return failed(job, deferred("internal", "an error of ours; see the log"), false);
  }
}

async function deliverByHosts(
  job: Job,
  reused: SmtpSession | null,
  deps: DeliverDeps,
  options: TransactOptions,
): Promise<Delivered> {
  const tried = new Set<string>();
  let session = reused;
  let before: Delivered | null = null;
  for (let begun = 0; begun < MAX_SESSIONS_PER_JOB; begun++) {
    if (!session) {
      const opened = await openSession(job, deps, tried, options.signal);
      if (!opened.ok) return before ?? failed(job, opened.outcome, opened.siteDown);
      session = opened.session;
    }
    const carried = await carry(job, session, deps, options);
    if (!carried.stale && !carried.tryNextHost) return carried;
    if (!carried.stale) before = carried;
    session = null;
  }
  return before ?? failed(job, deferred("protocol", "the peer closes its connections at once"), false);
}

function failed(job: Job, outcome: Outcome, siteDown: boolean): Delivered {
  return { outcomes: job.leases.map(() => outcome), session: null, siteDown };
}

interface Carried extends Delivered {
  /** The reused session was dead before anything was said on it. */
  readonly stale: boolean;
  /** Nobody's fate is decided, and another host may do better at once. */
  readonly tryNextHost: boolean;
}

/** Transactions until each recipient has its outcome. The session is closed unless it comes back. */
async function carry(
  job: Job,
  session: SmtpSession,
  deps: DeliverDeps,
  options: TransactOptions,
): Promise<Carried> {
  const outcomes: Outcome[] = [];
  let pending = job.leases.map((_, i) => i);
  let last: Transacted | null = null;
  try {
    for (let count = 0; pending.length > 0 && count < MAX_TRANSACTIONS_PER_JOB; count++) {
      last = await transactOnce(job, pending, session, deps, options);
      for (const [i, index] of pending.entries()) outcomes[index] = last.outcomes[i] as Outcome;
      const { overLimit, sessionUsable } = last;
      if (!sessionUsable || overLimit.length === pending.length) break; // it takes none at all: not now
      pending = overLimit.map((i) => pending[i] as number);
    }
  } catch (error) {
    session.destroy(); // the dialogue is who knows where
    throw error;
  }
  const tryNextHost = last?.tryNextHost === true && outcomes.every(isOpen);
  if (!session.usable) session.destroy();
  else if (tryNextHost) session.quit();
  return {
    outcomes,
    session: session.usable ? session : null,
    siteDown: false,
    stale: last?.staleSession ?? false,
    tryNextHost,
  };
}

/** Another host may take the mail still: this one could not now, or cannot take UTF-8 at all (RFC 6531 §3.2). */
function isOpen(outcome: Outcome): boolean {
  return outcome.kind === "deferred" || (outcome.kind === "bounced" && outcome.cause === "no-smtputf8");
}

async function transactOnce(
  job: Job,
  indexes: readonly number[],
  session: SmtpSession,
  deps: DeliverDeps,
  options: TransactOptions,
): Promise<Transacted> {
  const { message, leases } = job;
  const { bytes, headerBytes, eightBit } = message.body;
  const chunks = await deps.bodies.get(message.id);
  if (!chunks) throw new Error(`the body of message ${message.id} is missing from the store`);
  const headerBlock = async (): Promise<Buffer> =>
    whole(await deps.bodies.get(message.id, { from: 0, to: headerBytes }));
  const head = await deps.signer.sign(message, headerBlock, receivedFor(job, indexes));
  const recipients = indexes.map((i) => leases[i]?.row.recipient as Address);
  const { returnPath, smtputf8 } = message;
  return transact(session, { returnPath, recipients, bytes, eightBit, smtputf8 }, { head, chunks }, options);
}

function receivedFor({ message, leases }: Job, indexes: readonly number[]): ReceivedFor {
  const only = indexes.length === 1 ? leases[indexes[0] as number] : undefined;
  return only ? { id: only.row.id, recipient: only.row.recipient } : { id: message.id, recipient: null };
}

async function whole(chunks: AsyncIterable<Buffer> | null): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks ?? []) parts.push(chunk);
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}
