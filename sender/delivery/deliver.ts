/**
 * One job from start to outcome, as a pipeline: open a session (or use the one given) → sign → transact; and on to the next
 * host when a host takes no mail now. Every recipient gets its own `Outcome`; an error of ours becomes a deferral here and
 * never blames a recipient.
 */

import type { Address } from "#shared/domain/address.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { deferred } from "#shared/domain/outcome.ts";
import type { Message } from "#shared/domain/message.ts";
import type { Lease, QueueRow } from "#shared/domain/queue-row.ts";
import type { HttpTarget } from "#shared/domain/zone.ts";
import type { DeliveryView } from "#shared/plugins/views.ts";
import type { BodyStore, ByteRange } from "#shared/ports/body-store.ts";
import { postMail } from "./deliver-http.ts";
import { bodyAtHand, whole } from "./body-at-hand.ts";
import type { Posted } from "./deliver-http.ts";
import type { Job } from "./job.ts";
import { openSession } from "./open-session.ts";
import type { OpenDeps } from "./open-session.ts";
import type { SignedFor, Signer } from "./sign.ts";
import { DEFAULT_TIMEOUTS, systemTimers } from "./timeouts.ts";
import type { SmtpSession } from "./smtp-client.ts";
import { transact } from "./transaction.ts";
import type { Transacted, TransactOptions } from "./transaction.ts";

export interface DeliverDeps extends OpenDeps {
  readonly bodies: BodyStore;
  readonly signer: Signer;
  /** Return path to send with: that of the message, or one of ours that leads to it (SRS). */
  readonly returnPathOf: (message: Message) => Address | null;
  readonly onInternalError: (job: Job, error: unknown) => void;
}

export interface DeliverOptions extends TransactOptions {
  /**
   * Asked when a connection is ready, and again for each further one: how many of the leases may be tried now, from the first on;
   * none: it has to wait. What comes of the delivery is theirs alone. Left out: all of them.
   */
  readonly mayBegin?: (leases: readonly Lease[]) => Promise<readonly Lease[]>;
}

export interface Delivered {
  /** One for each lease of the job that was tried, in order. */
  readonly outcomes: readonly Outcome[];
  /** Fit for another job while it is usable; else it is closing, and the peer counts it until it has. Null: there is none. */
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
  options: DeliverOptions,
): Promise<Delivered> {
  try {
    return await (job.http === null
      ? deliverByHosts(job, reused, deps, options)
      : deliverByHttp(job, job.http, deps, options));
  } catch (error) {
    deps.onInternalError(job, error);
    return failed(job, ownFault(), false);
  }
}

async function deliverByHosts(
  whole: Job,
  reused: SmtpSession | null,
  deps: DeliverDeps,
  options: DeliverOptions,
): Promise<Delivered> {
  const tried = new Set<string>();
  let job = whole;
  let session = reused;
  let before: Delivered | null = null;
  for (let begun = 0; begun < MAX_SESSIONS_PER_JOB; begun++) {
    if (!session) {
      const opened = await openSession(job, deps, tried, options.signal);
      if (!opened.ok)
        return before ?? (opened.outcome ? failed(job, opened.outcome, opened.siteDown) : UNTRIED);
      session = opened.session;
      tellOfConnected(job, session, deps);
    }
    await showConnection(job, session, deps);
    const ready = await madeReady(job, deps, options);
    job = await withBegun(job, options);
    if (job.leases.length === 0) return { ...(before ?? UNTRIED), session };
    const carried = await carry(job, session, ready, options);
    if (!carried.stale && !carried.tryNextHost) return carried;
    if (!carried.stale) before = carried;
    await session.closed(); // one connection at a time
    session = null;
  }
  return before ?? failed(job, deferred("protocol", "the peer closes its connections at once"), false);
}

function tellOfConnected(job: Job, session: SmtpSession, { hooks }: DeliverDeps): void {
  if (!hooks || !job.view) return;
  const connection = connectionOf(job.view, session);
  hooks.tell("sender:connected", job.view, connection, { host: session.route.mx }, connection.secure);
}

async function showConnection(job: Job, session: SmtpSession, { hooks }: DeliverDeps): Promise<void> {
  if (hooks && job.view) await hooks.connection(job.view, connectionOf(job.view, session));
}

/** As plugins see it, and `view` with the egress address that it is from. */
function connectionOf(view: DeliveryView, { route, secured, ehloName }: SmtpSession) {
  if (route.egress !== null && ehloName !== null)
    view.zoneAddress = { address: route.egress, name: ehloName };
  return { ...route, secure: secured !== null };
}

const UNTRIED: Delivered = { outcomes: [], session: null, siteDown: false };

/** What waits for its turn has its content at hand then. */
async function madeReady(
  { message }: Job,
  deps: DeliverDeps,
  { mayBegin }: DeliverOptions,
): Promise<DeliverDeps> {
  return mayBegin ? { ...deps, bodies: await bodyAtHand(message, deps.bodies) } : deps;
}

async function withBegun(job: Job, { mayBegin }: DeliverOptions): Promise<Job> {
  return mayBegin ? { ...job, leases: await mayBegin(job.leases) } : job;
}

/** One POST for each recipient; when the server cannot be reached, the rest are not tried. */
async function deliverByHttp(
  whole: Job,
  target: HttpTarget,
  stored: DeliverDeps,
  options: DeliverOptions,
): Promise<Delivered> {
  const { signal, beforeDot } = options;
  const deps = await madeReady(whole, stored, options);
  const job = await withBegun(whole, options);
  const { timeouts = DEFAULT_TIMEOUTS, timers = systemTimers } = deps.connectOptions;
  const { message, leases } = job;
  const content = await contentOf(job, {}, deps);
  if ("kind" in content) return failed(job, content, false);
  const headerBlock = await content.headerBlock();
  const post = async (row: QueueRow, index: number): Promise<Posted> => {
    const head = await signed(job, signedFor(job, [index], null), content, deps);
    await beforeDot?.();
    const body = (range?: ByteRange) => content.body(range);
    return postMail({ message, row, head, headerBlock, stored: body }, { target, timeouts, timers, signal });
  };
  const outcomes: Outcome[] = [];
  for (const [index, { row }] of leases.entries()) {
    const posted = await post(row, index).catch((error: unknown): Posted => {
      deps.onInternalError(job, error); // what the server has taken from us before is delivered all the same
      return { outcome: ownFault(), down: false };
    });
    outcomes.push(posted.outcome);
    if (posted.down)
      return {
        outcomes: leases.map((_, i) => outcomes[i] ?? posted.outcome),
        session: null,
        siteDown: index === 0,
      };
  }
  return { outcomes, session: null, siteDown: false };
}

function ownFault(): Outcome {
  return deferred("internal", "an error of ours; see the log");
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
  if (!session.usable || tryNextHost) session.quit();
  return {
    outcomes,
    session,
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
  const connection = job.view ? connectionOf(job.view, session) : session.route;
  const content = await contentOf(job, connection, deps);
  if ("kind" in content) return notBegun(indexes, content, session);
  const chunks = await content.body();
  const head = await signed(job, signedFor(job, indexes, session.ehloName), content, deps);
  const recipients = content.recipients ?? indexes.map((i) => leases[i]?.row.recipient as Address);
  const usual = job.skipSrs ? message.returnPath : deps.returnPathOf(message);
  const returnPath = content.returnPath === null ? usual : content.returnPath.address;
  const { eightBit } = message.body;
  const { bytes } = content;
  const { smtputf8 } = message;
  return transact(session, { returnPath, recipients, bytes, eightBit, smtputf8 }, { head, chunks }, options);
}

/** A plugin has ended it before a word was said. */
function notBegun(indexes: readonly number[], outcome: Outcome, session: SmtpSession): Transacted {
  return {
    outcomes: indexes.map(() => ({ ...outcome, route: session.route })),
    overLimit: [],
    sessionUsable: session.usable,
    staleSession: false,
    tryNextHost: false,
  };
}

/** What is sent of a mail: what is stored, or what plugins have made of it. */
interface SentContent {
  readonly bytes: number;
  readonly headerBlock: () => Promise<Buffer>;
  readonly body: (range?: ByteRange) => Promise<AsyncIterable<Buffer>>;
  /** True: it is signed by itself. */
  readonly changed: boolean;
  /** Null: as without plugins, both. */
  readonly returnPath: { readonly address: Address | null } | null;
  readonly recipients: readonly Address[] | null;
}

async function contentOf(job: Job, connection: object, deps: DeliverDeps): Promise<SentContent | Outcome> {
  const { message, view } = job;
  const stored: SentContent = {
    bytes: message.body.bytes,
    headerBlock: () => headerBlockOf(message, deps),
    body: (range) => bodyOf(message, deps, range),
    changed: false,
    returnPath: null,
    recipients: null,
  };
  if (!view || deps.hooks?.seesHeaders !== true)
    return { ...stored, changed: view !== undefined && view.dkim.keys.length > 0 };
  const made = await deps.hooks.headers(view, await stored.headerBlock(), message, connection);
  if ("kind" in made) return made;
  const { block, returnPath, recipient } = made;
  const envelope = { returnPath, recipients: [recipient] };
  if (block === null) return { ...stored, ...envelope, changed: view.dkim.keys.length > 0 };
  const { bytes, headerBytes } = message.body;
  return {
    ...envelope,
    bytes: bytes - headerBytes + block.length,
    headerBlock: async () => block,
    body: async (range) =>
      joinedRange(block, (from) => bodyOf(message, deps, { from: headerBytes + from, to: bytes }), range),
    changed: true,
  };
}

/** Bytes of a block with content behind it. */
async function* joinedRange(
  block: Buffer,
  contentFrom: (from: number) => Promise<AsyncIterable<Buffer>>,
  range: ByteRange = { from: 0, to: Number.MAX_SAFE_INTEGER },
): AsyncIterable<Buffer> {
  const { from, to } = range;
  if (from < block.length) yield block.subarray(from, to);
  if (to <= block.length) return;
  let left = to - Math.max(from, block.length);
  for await (const chunk of await contentFrom(Math.max(0, from - block.length))) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

function signed(
  job: Job,
  transaction: SignedFor,
  { changed, headerBlock }: SentContent,
  { signer }: DeliverDeps,
): Promise<Buffer> {
  const own = changed ? { keys: job.view?.dkim.keys ?? [] } : null;
  return signer.sign(job.message, headerBlock, transaction, own);
}

async function bodyOf(
  { id }: Message,
  { bodies }: DeliverDeps,
  range?: ByteRange,
): Promise<AsyncIterable<Buffer>> {
  const chunks = await bodies.get(id, range);
  if (!chunks) throw new Error(`the body of message ${id} is missing from the store`);
  return chunks;
}

async function headerBlockOf(message: Message, deps: DeliverDeps): Promise<Buffer> {
  return whole(await bodyOf(message, deps, { from: 0, to: message.body.headerBytes }));
}

function signedFor({ message, leases }: Job, indexes: readonly number[], ehloName: string | null): SignedFor {
  const only = indexes.length === 1 ? leases[indexes[0] as number] : undefined;
  return only
    ? { id: only.row.id, recipient: only.row.recipient, ehloName }
    : { id: message.id, recipient: null, ehloName };
}
