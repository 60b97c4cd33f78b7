/**
 * What is told by remote log: one entry for each event of mail, with ZoneMTA's words (`action`) and the names of its fields. A field
 * that is not known is left out. What ZoneMTA tells besides (MD5 of the content, the TLS of a delivery) is not kept here.
 */

import { DomainError } from "#shared/domain/errors.ts";
import type { MailNotes } from "#shared/app/observer.ts";
import type { MessageId, RowId } from "#shared/domain/ids.ts";
import { parseRowId } from "#shared/domain/ids.ts";
import type { Message, Origin } from "#shared/domain/message.ts";
import type { AttemptRecord, QueueRow, Settled } from "#shared/domain/queue-row.ts";
import { printReply } from "#shared/domain/smtp-reply.ts";

export interface RemoteEntry {
  readonly action: string;
  readonly id?: string;
  /** Of the recipient, as in a row id; left out: the event is of the whole message. */
  readonly seq?: string;
  readonly [field: string]: string | number | undefined;
}

/** ZoneMTA's lengths, so that an entry fits into a datagram. */
const MAX_RESPONSE = 312;
const MAX_SUBJECT = 128;
/** A message has up to a thousand recipients and more, and a datagram 64 KiB. */
const MAX_RECIPIENTS_TEXT = 32_768;

export function queued(message: Message, rows: readonly QueueRow[], notes: MailNotes = {}): RemoteEntry {
  const { body, origin } = message;
  return entry("QUEUED", message.id, null, {
    ...notes,
    "message-id": message.messageIdHeader,
    from: message.returnPath ?? "",
    to: recipientsOf(rows),
    src: origin.ip,
    subject: message.subject?.slice(0, MAX_SUBJECT),
    body: body.bytes - body.headerBytes,
    ...originOf(origin),
    headerFrom: message.from,
  });
}

/** Nothing was kept; by the id plugins have told of it. */
export function notQueued(error: unknown, origin: Origin | null, mail: RefusedMail | null): RemoteEntry {
  const text = error instanceof DomainError ? error.message : "could not be stored";
  return entry("NOQUEUE", mail?.id ?? null, null, {
    ...mail?.notes,
    src: origin?.ip,
    ...(origin && originOf(origin)),
    error: text,
  });
}

interface RefusedMail {
  readonly id: MessageId;
  readonly notes: MailNotes;
}

export function settled(
  row: QueueRow,
  attempt: AttemptRecord,
  to: Settled,
  message: Message | null,
): RemoteEntry {
  switch (to.state) {
    case "suppressed":
    case "dropped":
      return dropped(row, to.state === "suppressed" ? SUPPRESSED : attempt.detail);
    case "delivered":
      return tried("ACCEPTED", row, attempt, message, {});
    case "deferred":
      return tried("DEFERRED", row, attempt, message, {
        category: attempt.category,
        defcount: row.attempts + (to.untried === true ? 0 : 1),
        nextattempt: to.dueAt,
      });
    case "bounced":
    case "expired":
      return tried("REJECTED", row, attempt, message, { category: attempt.category });
  }
}

const SUPPRESSED = "Recipient was found from suppression list";

/** A recipient that nothing is sent to. */
export function dropped(row: QueueRow, reason: string = SUPPRESSED): RemoteEntry {
  return entry("DROP", row.messageId, row.seq, { reason, recipient: row.recipient });
}

/** A recipient that an operator took out of the queue. */
export function deleted(id: RowId): RemoteEntry {
  const row = parseRowId(id);
  return entry("DELETED", row?.messageId ?? id, row?.seq ?? null, { reason: "Deletion requested from API" });
}

/** A report to the sender, on recipients of the message `of`. */
export function bounceQueued(report: Message, of: string | null): RemoteEntry {
  return entry("QUEUE_BOUNCE", of ?? report.id, null, { queued: "yes", bounceId: report.id });
}

type Fields = Readonly<Record<string, string | number | null | undefined>>;

function tried(
  action: string,
  row: QueueRow,
  attempt: AttemptRecord,
  message: Message | null,
  more: Fields,
): RemoteEntry {
  const { mx, peer, egress } = attempt.route;
  const response = attempt.reply ? printReply(attempt.reply) : attempt.detail;
  return entry(action, row.messageId, row.seq, {
    ...more,
    zone: row.zone,
    from: message && (message.returnPath ?? ""),
    returnPath: message && (message.returnPath ?? ""),
    to: row.recipient,
    mx: mx ?? row.domain,
    host: peer,
    ip: egress,
    response: response.slice(0, MAX_RESPONSE),
    size: message?.body.bytes,
    timer: attempt.durationMs,
    start: attempt.at - attempt.durationMs,
    messageId: message?.messageIdHeader,
  });
}

function originOf({ interface: name, host, helo, protocol, user }: Origin): Fields {
  return { interface: name, originhost: host, transhost: helo, transtype: protocol, user };
}

function recipientsOf(rows: readonly QueueRow[]): string {
  let text = "";
  for (const { recipient } of rows) {
    const more = text === "" ? recipient : `${text},${recipient}`;
    if (more.length > MAX_RECIPIENTS_TEXT) break;
    text = more;
  }
  return text;
}

function entry(action: string, id: string | null, seq: number | null, fields: Fields): RemoteEntry {
  const all = { id, seq: seq === null ? null : seq.toString(16).padStart(3, "0"), action, ...fields };
  const known = Object.entries(all).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(known) as RemoteEntry;
}
