/**
 * From the durable events of bounced, expired and suppressed recipients to a DSN in the `bounces` zone. It reads the event log
 * under a claim, so one worker at a time does it, and the DSN's id is made from the events it reports: a crash between
 * accepting the DSN and moving on makes the next worker submit the same id again, which the queue answers with `exists`.
 */

import { createHash } from "node:crypto";

import type { Clock } from "../domain/clock.ts";
import type { Config } from "../domain/config.ts";
import { composeDsn } from "../domain/dsn.ts";
import { DomainError } from "../domain/errors.ts";
import type { EventType, MailEvent } from "../domain/event.ts";
import { firstValue, parseHeaders } from "../domain/headers.ts";
import type { HeaderList } from "../domain/headers.ts";
import type { MessageId, WorkerId } from "../domain/ids.ts";
import { messageIdOfFact } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import { later, SECOND } from "../domain/units.ts";
import type { BodyStore } from "../ports/body-store.ts";
import type { EventLog } from "../ports/event-log.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import type { Observer } from "./observer.ts";
import type { Submit } from "./submit.ts";

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
const REPORTED: ReadonlySet<EventType> = new Set<EventType>(["bounce", "expiry", "suppression"]);

/** Report what is in the log and resolve with the number of events read; null: another worker does this now. */
export async function reportBounces(
  deps: ReportDeps & { readonly events: EventLog; readonly worker: WorkerId },
): Promise<number | null> {
  const claim = await deps.events.claim(CONSUMER, deps.worker, later(deps.clock.now(), CLAIM_MS));
  if (!claim) return null;
  const events = await deps.events.read(claim.position, EVENTS_PER_READ);
  const last = events.at(-1);
  if (!last) return 0;
  await reportEvents(deps, events);
  const stillOurs = await deps.events.advance(claim, last.number);
  return stillOurs ? events.length : null;
}

/** Report what these events tell of. The same events again make no second report. */
export async function reportEvents(deps: ReportDeps, events: readonly MailEvent[]): Promise<void> {
  for (const group of groups(events)) await reportGroup(deps, group);
}

/** Events of one message that stand together in the log: those of one transaction, as a rule. */
function groups(events: readonly MailEvent[]): MailEvent[][] {
  const byMessage = new Map<string, MailEvent[]>();
  for (const event of events) {
    if (!REPORTED.has(event.type) || event.returnPath === null) continue;
    const group = byMessage.get(event.messageId);
    if (group) group.push(event);
    else byMessage.set(event.messageId, [event]);
  }
  return [...byMessage.values()].flatMap((group) => chunks(group, MAX_RECIPIENTS_PER_DSN));
}

async function reportGroup(deps: ReportDeps, group: readonly MailEvent[]): Promise<void> {
  const first = group[0] as MailEvent;
  try {
    const stored = await deps.queue.get(first.messageId);
    if (!stored) return; // its history is over: nobody waits for this report any more
    const header = await headerBlockOf(deps.bodies, stored.message);
    if (!wantsReport(deps.config, stored.message, parseHeaders(header))) return;
    await submitReport(deps, stored.message, header, group);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    deps.onUnreportable(first, error);
  }
}

async function submitReport(
  { config, clock, submit, observer }: ReportDeps,
  message: Message,
  header: Buffer,
  group: readonly MailEvent[],
): Promise<void> {
  const { returnPath } = message;
  if (returnPath === null) return;
  const id = idOfReport(group);
  const dsn = composeDsn({
    kind: "failed",
    message: { ...message, returnPath },
    recipients: group.flatMap(({ recipient, attempt }) =>
      recipient && attempt ? [{ recipient, attempt }] : [],
    ),
    headerBlock: header,
    hostname: config.hostname,
    mailerDaemon: config.bounces.mailerDaemon,
    now: clock.now(),
    unique: id,
    retryUntil: null,
  });
  const submitted = await submit({
    returnPath: null,
    recipients: [returnPath],
    origin: {
      interface: "bounce",
      protocol: "INTERNAL",
      ip: null,
      host: null,
      helo: null,
      user: null,
      tls: null,
    },
    source: once(dsn),
    bareNewlines: "normalise",
    maxBytes: Number.MAX_SAFE_INTEGER,
    smtputf8: true,
    notBefore: null,
    dsn: { id, zone: config.bounces.zone },
  });
  observer.bounceSent(submitted.message);
}

/** The same events give the same id, whoever reports them and however often. */
function idOfReport(group: readonly MailEvent[]): MessageId {
  const fact = `dsn ${group.map((event) => event.rowId).join(" ")}`;
  return messageIdOfFact((group[0] as MailEvent).at, createHash("sha256").update(fact).digest());
}

/** No report on a report, to nobody, or to a machine that answers by itself (RFC 3834 §2, RFC 5321 §6.1). */
function wantsReport(config: Config, message: Message, headers: HeaderList): boolean {
  if (message.returnPath === null || message.purpose === "dsn") return false;
  if (message.returnPath.toLowerCase().startsWith("mailer-daemon@")) return false;
  if (config.bounces.disableInterfaces.includes(message.origin.interface)) return false;
  const value = (name: string): string => (firstValue(headers, name) ?? "").trim().toLowerCase();
  if (/^auto-(?:generated|replied)\b/.test(value("auto-submitted"))) return false;
  if (
    value("x-auto-response-suppress")
      .split(/[\s,]+/)
      .includes("all")
  )
    return false;
  return !value("content-type").startsWith("multipart/report");
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
