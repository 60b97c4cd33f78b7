/**
 * Accept a message durably, or refuse it: the one way in, behind both front doors and for our own DSN.
 *
 * The body goes first, then message and rows in one write; the client is answered only after that. What fails in between leaves
 * at most a body that nothing names. It is taken away again, unless the message may have been accepted after all.
 */

import { mayWriteAs } from "../domain/account.ts";
import type { Address } from "../domain/address.ts";
import { domainOf, needsSmtputf8 } from "../domain/address.ts";
import type { Clock } from "../domain/clock.ts";
import type { Config } from "../domain/config.ts";
import { DomainError } from "../domain/errors.ts";
import { lastValue } from "../domain/headers.ts";
import type { MessageId } from "../domain/ids.ts";
import { rowIdOf } from "../domain/ids.ts";
import type { IntakeResult } from "../domain/intake.ts";
import { factsOf, intake } from "../domain/intake.ts";
import type { Message } from "../domain/message.ts";
import type { QueueRow } from "../domain/queue-row.ts";
import { droppedByPlugin, suppressedRecord } from "../domain/queue-row.ts";
import { unknownZone, zoneRouter } from "../domain/route-recipient.ts";
import type { SuppressionEntry } from "../domain/suppression.ts";
import type { EpochMs } from "../domain/units.ts";
import { later, MINUTE } from "../domain/units.ts";
import type { WayId } from "../domain/way.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { BodyStore } from "../ports/body-store.ts";
import type { Plugins } from "../plugins/plugins.ts";
import { DroppedError } from "../plugins/verdict.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import type { SecretStore } from "../ports/secret-store.ts";
import type { Sealing } from "../ports/sealing.ts";
import type { SuppressionStore } from "../ports/suppression-store.ts";
import type { Submission, Submit, Submitted } from "./submission.ts";
import { keepKeys } from "./message-keys.ts";
import type { Observer } from "./observer.ts";
import type { WatchedMail } from "./watched-mail.ts";
import { watchMail } from "./watched-mail.ts";
import { srsReturn } from "./srs-return.ts";
import { sealWays } from "./ways.ts";

export interface SubmitDeps {
  readonly config: Config;
  readonly bodies: BodyStore;
  readonly queue: QueueStore;
  readonly suppressions: SuppressionStore;
  readonly secrets: Pick<SecretStore, "put">;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly newMessageId: () => MessageId;
  readonly observer: Observer;
  /** Null: there are none. */
  readonly plugins: Plugins | null;
}

/** A Date header nearer than this is a clock that is wrong, not a wish. */
const FUTURE_DATE_FROM_MS = 5 * MINUTE;
const NO_BYTES = Buffer.alloc(0);
const NO_BODY = { bytes: 0, headerBytes: 0, dkimBodyHash: null, eightBit: false };
const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;

export function submitter(deps: SubmitDeps): Submit {
  const keep = keepKeys(deps.secrets);
  const route = zoneRouter(deps.config.zones, deps.config.queue.defaultZone);
  const isZone = (name: string): name is ZoneName => deps.config.zones.has(name as ZoneName);

  /** All of it from the body on; `watched` null: no plugin looks at it. */
  async function acceptFrom(given: Submission, { id, now, watched }: Accepting): Promise<Submitted> {
    const stored = await storeBody(deps, watched?.submission ?? given, { id, now, watched });
    try {
      return await acceptStored(given, stored, { id, now, watched });
    } catch (error) {
      if (error instanceof MaybeAcceptedError) throw error.fault; // housekeeping takes a body that nothing names
      // An id that is the same at every try: its body may belong to an accepted message already.
      if (!given.dsn && given.id === undefined) await deps.bodies.delete(id).catch(() => undefined); // the first error is the one to tell
      throw error;
    }
  }

  async function acceptStored(
    given: Submission,
    stored: IntakeResult,
    { id, now, watched }: Accepting,
  ): Promise<Submitted> {
    const left = await watched?.queued(stored, (block) => replaceBlock(deps.bodies, id, stored, block));
    const { submission, taken, extra } = left ?? { submission: given, taken: stored, extra: null };
    refuseUndeclaredUtf8(submission, taken);
    refuseForeignFrom(submission, taken);
    const routes = await Promise.all(
      withoutDoubles(submission.recipients.map((to) => srsReturn(to, deps.config.srs, now))).map(
        async (recipient) => {
          const zone = submission.dsn?.zone ?? route(routingFacts(deps.config, submission, taken, recipient));
          const routed = await watched?.routed(recipient, zone);
          const way = routed?.way ?? submission.ways?.get(recipient) ?? submission.settings?.way ?? null;
          return { recipient: routed?.recipient ?? recipient, zone: routed?.zone ?? zone, way };
        },
      ),
    );
    const recipients = routes.map(({ recipient }) => recipient);
    const { dkimKeys = [] } = submission.settings ?? {};
    const keyNames = dkimKeys.length > 0 ? await keep(dkimKeys) : null;
    const { ways, idOf } = await sealWays(
      routes.map(({ way }) => way),
      id,
      deps.sealing,
    );
    const facts = { id, acceptedAt: now, recipientCount: routes.length, dkimKeys: keyNames, ways, extra };
    const message = messageOf(submission, taken, facts);
    const { returnPath, origin } = message;
    const suppressed = await deps.suppressions.find(recipients, { returnPath, user: origin.user });
    const dueAt = dueTime(deps.config, submission, taken, now);
    const rows = routes.map(({ recipient, zone, way }, i) =>
      rowOf(message, {
        seq: i + 1,
        recipient,
        zone,
        way: idOf(way),
        dueAt,
        suppressed: suppressed[i] ?? null,
      }),
    );
    const answer = await accept(deps.queue, message, rows);
    if (answer === "exists") return { message, messageId: id, rows, repeated: true };
    const unknown = unknownZone(deps.config.zones, zonesNamed(deps.config, submission, taken));
    const notes = { ...watched?.notes(), ...(unknown !== null && { unknownZone: unknown }) };
    deps.observer.accepted(message, rows, deps.clock.now() - now, notes);
    return { message, messageId: id, rows };
  }

  /** A mail that a plugin has dropped: it is in the books, and its body is not kept. */
  async function acceptDropped(
    submission: Submission,
    { id, now, watched, error }: Accepting & { readonly error: DroppedError },
  ): Promise<Submitted> {
    const headers = watched?.headers() ?? [];
    const taken = { ...factsOf(headers, NO_BYTES), body: NO_BODY };
    const facts = { id, acceptedAt: now, dkimKeys: null, ways: null, extra: null };
    const recipients = withoutDoubles(submission.recipients);
    const message = messageOf(submission, taken, { ...facts, recipientCount: recipients.length });
    const rows = recipients.map((recipient, i) => {
      const zone = route(routingFacts(deps.config, submission, taken, recipient));
      const row = rowOf(message, { seq: i + 1, recipient, zone, way: null, dueAt: now, suppressed: null });
      return {
        ...row,
        state: "dropped",
        finishedAt: now,
        lastAttempt: droppedByPlugin(now, error.description),
      } as const;
    });
    const answer = await accept(deps.queue, message, rows);
    const dropped = { text: error.text };
    if (answer === "exists") return { message, messageId: id, rows, dropped, repeated: true };
    await deps.bodies.delete(id).catch(() => undefined); // it goes with the history then
    deps.observer.accepted(message, rows, deps.clock.now() - now, watched?.notes());
    return { message, messageId: id, rows, dropped };
  }

  return async (given) => {
    const startedAt = deps.clock.now();
    const { plugins } = deps;
    const id = given.dsn?.id ?? given.id ?? (given.session?.envelopeId as MessageId) ?? deps.newMessageId();
    let watched: WatchedMail | null = null;
    try {
      if (given.recipients.length === 0)
        throw new DomainError("no-recipients", "name at least one recipient");
      const isWatched = plugins !== null && plugins.watchesMail && !given.dsn;
      if (isWatched) watched = await watchMail(given, { plugins, id, now: startedAt, isZone });
      return await acceptFrom(given, { id, now: startedAt, watched });
    } catch (error) {
      if (error instanceof DroppedError)
        return await acceptDropped(watched?.submission ?? given, { id, now: startedAt, error, watched });
      deps.observer.notAccepted(error, given.origin, { id, notes: watched?.notes() ?? {} });
      throw error;
    }
  };
}

/** One mail on its way through. */
interface Accepting {
  readonly id: MessageId;
  readonly now: EpochMs;
  /** Null: no plugin looks at it. */
  readonly watched: WatchedMail | null;
}

function withoutDoubles(recipients: readonly Address[]): Address[] {
  return [...new Set(recipients)];
}

/** The content stays, and is stored once more with another header block. */
async function replaceBlock(
  bodies: BodyStore,
  id: MessageId,
  { body }: IntakeResult,
  block: Buffer,
): Promise<void> {
  const content = await bodies.get(id, { from: body.headerBytes, to: body.bytes });
  if (content === null) throw new Error(`the body of message ${id} is missing from the store`);
  await bodies.put(id, joined(block, content));
}

async function* joined(first: Buffer, rest: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  yield first;
  yield* rest;
}

/** Whether the queue took the message is not known, so that its body must stay. Does not leave this file. */
class MaybeAcceptedError extends Error {
  override readonly name = "MaybeAcceptedError";
  readonly fault: unknown;

  constructor(fault: unknown) {
    super("the queue has not said whether it took the message", { cause: fault });
    this.fault = fault;
  }
}

/** As the queue's own, but a fault may be that of the answer alone: then the message is there, and rows without bytes are lost mail. */
async function accept(queue: QueueStore, message: Message, rows: readonly QueueRow[]) {
  try {
    return await queue.accept(message, rows);
  } catch (fault) {
    const stored = await queue.get(message.id).catch(() => {
      throw new MaybeAcceptedError(fault);
    });
    if (!stored) throw fault;
    return stored.message.acceptedAt === message.acceptedAt ? "accepted" : "exists";
  }
}

async function storeBody(
  { config, bodies, newMessageId }: SubmitDeps,
  submission: Submission,
  { id, now, watched }: Accepting,
): Promise<IntakeResult> {
  const { returnPath, origin } = submission;
  const stream = intake(submission.source, {
    maxBytes: submission.maxBytes,
    maxHops: config.headers.maxHops,
    bareNewlines: submission.bareNewlines,
    dkim: config.dkim.enabled,
    addMissing: config.headers.addMissing,
    messageIdDomain: returnPath ? domainOf(returnPath) : config.hostname,
    onlyRecipient: submission.recipients.length === 1 ? (submission.recipients[0] ?? null) : null,
    originatingIp:
      config.headers.xOriginatingIp && origin.ip !== null && !LOOPBACK.test(origin.ip) ? origin.ip : null,
    now,
    newMessageIdLocal: newMessageId,
    ...(watched && { onHeaders: watched.onHeaders }),
  });
  await bodies.put(id, watched ? watched.stored(stream.chunks) : stream.chunks);
  return stream.result();
}

/** RFC 6531 §3.4: headers that are not ASCII take the extension. Nobody could say in which encoding they are. */
function refuseUndeclaredUtf8({ smtputf8 }: Submission, { smtputf8Headers }: IntakeResult): void {
  if (smtputf8 || !smtputf8Headers) return;
  const text = "The header is not ASCII: say SMTPUTF8 in MAIL, or use encoded words (RFC 2047).";
  throw new DomainError("needs-smtputf8", text);
}

function refuseForeignFrom({ senders = null }: Submission, { headers }: IntakeResult): void {
  if (mayWriteAs(senders, headers)) return;
  throw new DomainError("forbidden", "This login may not send with that From address.", "from");
}

function messageOf(
  submission: Submission,
  taken: IntakeResult,
  facts: Pick<Message, "id" | "acceptedAt" | "recipientCount" | "dkimKeys" | "ways" | "extra">,
): Message {
  const { returnPath, origin } = submission;
  return {
    ...facts,
    returnPath,
    body: taken.body,
    origin,
    messageIdHeader: taken.messageIdHeader,
    from: taken.from,
    subject: taken.subject,
    fbl: submission.settings?.fbl ?? taken.fbl,
    smtputf8:
      submission.smtputf8 && (taken.smtputf8Headers || (returnPath !== null && needsSmtputf8(returnPath))),
    purpose: submission.dsn ? "dsn" : "submitted",
  };
}

/** The latest of what was asked for: now, `notBefore`, the operator's own, and a Date header that lies ahead; never past `queue.maxDelayMs`. */
function dueTime(config: Config, submission: Submission, taken: IntakeResult, now: EpochMs): EpochMs {
  const wishes: number[] = [now];
  for (const asked of [submission.notBefore, submission.settings?.notBefore ?? null]) {
    if (asked !== null) wishes.push(asked);
  }
  if (config.headers.futureDate && taken.date !== null && taken.date > now + FUTURE_DATE_FROM_MS)
    wishes.push(taken.date);
  return Math.min(Math.max(...wishes), later(now, config.queue.maxDelayMs)) as EpochMs;
}

type TakenHeaders = Pick<IntakeResult, "headers">;

function zonesNamed(config: Config, { origin, settings }: Submission, { headers }: TakenHeaders) {
  const mayRoute = config.headers.allowRoutingHeaders.includes(origin.interface);
  return {
    headerZone: mayRoute ? lastValue(headers, "x-sending-zone") : null,
    directoryZone: settings?.zone ?? null,
  };
}

function routingFacts(config: Config, submission: Submission, taken: TakenHeaders, recipient: Address) {
  return {
    ...zonesNamed(config, submission, taken),
    headers: taken.headers,
    returnPathDomain: submission.returnPath ? domainOf(submission.returnPath) : null,
    recipientDomain: domainOf(recipient),
    originIp: submission.origin.ip,
  };
}

interface RowFacts {
  readonly seq: number;
  readonly recipient: Address;
  readonly zone: ZoneName;
  readonly way: WayId | null;
  readonly dueAt: EpochMs;
  readonly suppressed: SuppressionEntry | null;
}

function rowOf(message: Message, { seq, recipient, zone, way, dueAt, suppressed }: RowFacts): QueueRow {
  const now = message.acceptedAt;
  return {
    id: rowIdOf(message.id, seq),
    messageId: message.id,
    seq,
    zone,
    recipient,
    domain: domainOf(recipient),
    way,
    state: suppressed ? "suppressed" : dueAt > now ? "deferred" : "queued",
    createdAt: now,
    dueAt,
    attempts: 0,
    firstDeferredAt: null,
    leaseToken: 0,
    leasedBy: null,
    leasedUntil: null,
    lastAttempt: suppressed ? suppressedRecord(suppressed, now) : null,
    finishedAt: suppressed ? now : null,
  };
}
