/**
 * From the durable events of bounced, expired and suppressed recipients, and of those whose mail is late, to a DSN. It reads the event log
 * under a claim, so one worker at a time does it, and the DSN's id is made from the events it reports: a crash between
 * accepting the DSN and moving on makes the next worker submit the same id again, which the queue answers with `exists`.
 */

import { createHash } from "node:crypto";

import type { Address } from "../domain/address.ts";
import type { Clock } from "../domain/clock.ts";
import type { Config, DsnConfig } from "../domain/config.ts";
import { composeDsn } from "../domain/dsn.ts";
import type { DsnInput } from "../domain/dsn-input.ts";
import { DomainError } from "../domain/errors.ts";
import type { EventType, MailEvent } from "../domain/event.ts";
import { firstValue, parseHeaders } from "../domain/headers.ts";
import type { HeaderList } from "../domain/headers.ts";
import type { MessageId, WorkerId } from "../domain/ids.ts";
import { messageIdOfFact } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import { ownOrigin } from "../domain/message.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { QueueRow } from "../domain/queue-row.ts";
import { givenUpAt } from "../domain/retry.ts";
import type { EpochMs } from "../domain/units.ts";
import { later, SECOND } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { BodyStore } from "../ports/body-store.ts";
import type { EventLog } from "../ports/event-log.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import type { Observer } from "./observer.ts";
import type { Submit } from "./submission.ts";

export interface ReportDeps {
  readonly config: Config;
  readonly queue: QueueStore;
  readonly bodies: BodyStore;
  readonly submit: Submit;
  readonly clock: Clock;
  readonly observer: Observer;
  /** A report that can never be made (not: a store that is down): it is told, and the reader goes on. */
  readonly onUnreportable: (event: MailEvent, error: unknown) => void;
}

const CONSUMER = "dsn";
const CLAIM_MS = 30 * SECOND;
const EVENTS_PER_READ = 500;
/** Recipients in one DSN: a mail to thousands of dead addresses is reported in several. */
const MAX_RECIPIENTS_PER_DSN = 100;
const FAILED: ReadonlySet<EventType> = new Set<EventType>(["bounce", "expiry", "suppression"]);

type ReaderDeps = ReportDeps & { readonly events: EventLog; readonly worker: WorkerId };

/** While another worker reads. */
const CLAIM_RETRY_MS = 5 * SECOND;

/**
 * A reader of the log for one worker. Each call reports all that is there, and resolves with the number of events read; null:
 * another worker reads. While nothing happens it only looks: a claim is a write to the disk.
 */
export function bounceReader(deps: ReaderDeps): (stop?: AbortSignal) => Promise<number | null> {
  const { events, clock } = deps;
  let position: number | null = null;
  let nextClaimAt: EpochMs | null = null;
  return async (stop) => {
    if (nextClaimAt !== null && clock.now() < nextClaimAt) return null;
    if (position !== null && (await events.read(position, 1)).length === 0) return 0;
    let total = 0;
    for (;;) {
      const read = await reportNext(deps);
      position = read?.position ?? null;
      nextClaimAt = read ? null : later(clock.now(), CLAIM_RETRY_MS);
      if (!read) return total === 0 ? null : total;
      total += read.count;
      if (read.count < EVENTS_PER_READ || stop?.aborted === true) return total;
    }
  };
}

/** Null: another worker reads. */
async function reportNext(deps: ReaderDeps): Promise<{ count: number; position: number } | null> {
  const claim = await deps.events.claim(CONSUMER, deps.worker, later(deps.clock.now(), CLAIM_MS));
  if (!claim) return null;
  const events = await deps.events.read(claim.position, EVENTS_PER_READ);
  const last = events.at(-1);
  if (!last) return { count: 0, position: claim.position };
  await reportEvents(deps, events);
  const stillOurs = await deps.events.advance(claim, last.number);
  return stillOurs ? { count: events.length, position: last.number } : null;
}

/** The events of each report that these ask for. */
export function reportsOf(events: readonly MailEvent[]): (readonly MailEvent[])[] {
  return groups(events).map((group) => group.events);
}

/** Report what these events tell of. The same events again make no second report. */
export async function reportEvents(deps: ReportDeps, events: readonly MailEvent[]): Promise<void> {
  for (const group of groups(events)) await reportGroup(deps, group);
}

/** Events of one report: of one message, and of zones' settings for reports. */
interface Group {
  readonly kind: DsnInput["kind"];
  readonly zone: ZoneName | null;
  readonly events: MailEvent[];
}

/**
 * Events of one message and one write, which are in the log together or not at all and have one time: who reads them again
 * after a crash finds the same groups, and so the same ids, whatever has come after them.
 */
function groups(events: readonly MailEvent[]): Group[] {
  const byReport = new Map<string, Group>();
  for (const event of events) {
    const kind = kindOf(event);
    if (kind === null || event.returnPath === null) continue;
    const key = `${kind} ${event.messageId} ${event.zone} ${event.at}`;
    const group = byReport.get(key);
    if (group) group.events.push(event);
    else byReport.set(key, { kind, zone: event.zone, events: [event] });
  }
  return [...byReport.values()].flatMap((group) =>
    chunks(group.events, MAX_RECIPIENTS_PER_DSN).map((events) => ({ ...group, events })),
  );
}

/** Null: nobody is told of it. */
function kindOf({ type, attempt }: MailEvent): DsnInput["kind"] | null {
  if (FAILED.has(type)) return "failed";
  return type === "deferral" && attempt?.late === true ? "delayed" : null;
}

async function reportGroup(deps: ReportDeps, group: Group): Promise<void> {
  const first = group.events[0] as MailEvent;
  const { bounces } = deps.config;
  const dsn = (group.zone === null ? undefined : bounces.byZone.get(group.zone)) ?? bounces;
  if (dsn.disabled || (group.kind === "delayed" && !bounces.delay.enabled)) return;
  try {
    const stored = await deps.queue.get(first.messageId);
    if (!stored) return; // its history is over: nobody waits for this report any more
    const header = await headerBlockOf(deps.bodies, stored.message);
    if (!wantsReport(deps.config, stored.message, parseHeaders(header))) return;
    await submitReport(deps, dsn, { ...stored, header, group });
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    deps.onUnreportable(first, error);
  }
}

interface Reported {
  readonly message: Message;
  readonly rows: readonly QueueRow[];
  readonly header: Buffer;
  readonly group: Group;
}

async function submitReport(
  { config, clock, submit, observer }: ReportDeps,
  { mailerDaemon, zone }: DsnConfig,
  reported: Reported,
): Promise<void> {
  const { message, header, group } = reported;
  const { returnPath } = message;
  const recipients = recipientsOf(reported);
  if (returnPath === null || recipients.length === 0) return;
  const id = idOfReport(group);
  const dsn = composeDsn({
    kind: group.kind,
    message: { ...message, returnPath },
    recipients,
    headerBlock: header,
    hostname: config.hostname,
    mailerDaemon,
    now: clock.now(),
    unique: id,
    retryUntil: group.kind === "delayed" ? retryUntil(config, reported) : null,
  });
  const submitted = await submit({
    returnPath: null,
    recipients: [returnPath],
    origin: ownOrigin("bounce"),
    source: once(dsn),
    bareNewlines: "normalise",
    maxBytes: Number.MAX_SAFE_INTEGER,
    smtputf8: true,
    notBefore: null,
    dsn: { id, zone },
  });
  observer.bounceSent(submitted.message, message.id);
}

/** Whoever was reached, or has failed, since he was late is not waited for any more. */
function recipientsOf({ group, rows }: Reported): DsnInput["recipients"] {
  const open = new Set(rows.filter(({ state }) => !isFinal(state)).map(({ id }) => id));
  return group.events.flatMap(({ rowId, recipient, attempt }) => {
    if (!recipient || !attempt || (group.kind === "delayed" && (!rowId || !open.has(rowId)))) return [];
    return [{ recipient, attempt }];
  });
}

/** When the last of them is given up. */
function retryUntil(config: Config, { group, rows }: Reported): EpochMs | null {
  const deferTimesMs = group.zone === null ? undefined : config.zones.get(group.zone)?.deferTimesMs;
  if (!deferTimesMs) return null;
  const { maxQueueTimeMs } = config.queue;
  const late = new Set(group.events.map(({ rowId }) => rowId));
  const times = rows
    .filter(({ id }) => late.has(id))
    .map(({ attempts, firstDeferredAt, lastAttempt, createdAt }) =>
      givenUpAt({
        attempts,
        firstDeferredAt,
        now: lastAttempt?.at ?? createdAt,
        deferTimesMs,
        maxQueueTimeMs,
      }),
    );
  return times.length === 0 ? null : (Math.max(...times) as EpochMs);
}

/** The same events give the same id, whoever reports them and however often. */
function idOfReport({ kind, events }: Group): MessageId {
  const rows = events.map((event) => event.rowId).join(" ");
  const fact = kind === "failed" ? `dsn ${rows}` : `dsn delayed ${rows}`;
  return messageIdOfFact((events[0] as MailEvent).at, createHash("sha256").update(fact).digest());
}

/** No report on a report, to nobody, or to a machine that answers by itself (RFC 3834 §2, RFC 5321 §6.1). */
function wantsReport(config: Config, message: Message, headers: HeaderList): boolean {
  if (message.returnPath === null || message.purpose === "dsn") return false;
  if ([message.returnPath, message.from].some(isMailerDaemon)) return false;
  if (config.bounces.disableInterfaces.includes(message.origin.interface)) return false;
  const value = (name: string): string => (firstValue(headers, name) ?? "").trim().toLowerCase();
  if (/^auto-(?:generated|replied)\b/.test(value("auto-submitted"))) return false;
  const suppressed = value("x-auto-response-suppress").split(/[\s,]+/);
  if (suppressed.includes("all") || suppressed.includes("ndr")) return false;
  return !value("content-type").startsWith("multipart/report");
}

function isMailerDaemon(address: Address | null): boolean {
  return address !== null && address.toLowerCase().startsWith("mailer-daemon@");
}

async function headerBlockOf(bodies: BodyStore, message: Message): Promise<Buffer> {
  const stream = await bodies.get(message.id, { from: 0, to: message.body.headerBytes });
  if (!stream) return Buffer.alloc(0);
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

async function* once(buffer: Buffer): AsyncGenerator<Buffer> {
  yield buffer;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}
