/**
 * What the use cases tell, as metrics and log lines: one info line for each message taken or refused and for each settled attempt.
 * `event` is ZoneMTA's word for it, so that what an operator has built on the words of its log finds them here.
 */

import type { MailNotes, Observer } from "#shared/app/observer.ts";
import { domainOf } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { parseRowId } from "#shared/domain/ids.ts";
import type { Message } from "#shared/domain/message.ts";
import type { AttemptRecord, QueueRow, Settled } from "#shared/domain/queue-row.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Logger } from "#shared/runtime/log.ts";
import type { Metrics } from "#shared/runtime/metrics.ts";

/** Status label of `zonefleet_delivery_status` (ZoneMTA's words). */
const STATUS = { delivered: "delivered", deferred: "deferred", bounced: "rejected" } as const;

/** ZoneMTA's words for where an attempt leaves its row. */
const WORDS: Readonly<Record<Settled["state"], EventWord>> = {
  delivered: "ACCEPTED",
  deferred: "DEFERRED",
  bounced: "REJECTED",
  expired: "REJECTED",
  suppressed: "DROP",
  dropped: "DROP",
};

type EventWord =
  "QUEUED" | "NOQUEUE" | "DROP" | "DELETED" | "ACCEPTED" | "DEFERRED" | "REJECTED" | "QUEUE_BOUNCE";

export function observer({ log, metrics, clock }: { log: Logger; metrics: Metrics; clock: Clock }): Observer {
  return {
    accepted(message, rows, durationMs, notes = {}) {
      const dropped = rows.filter((row) => row.state === "dropped");
      for (const row of dropped) {
        metrics.messageDrop.inc();
        log.info({ ...droppedFields(row), detail: row.lastAttempt?.detail }, "recipient dropped");
      }
      if (dropped.length === rows.length) return; // a plugin took it, and nothing is queued
      metrics.messagePush.inc({ result: "success" });
      metrics.acceptSeconds.observe(durationMs / SECOND);
      const suppressed = rows.filter((row) => row.state === "suppressed");
      if (suppressed.length > 0) metrics.messageDrop.inc(suppressed.length);
      const taken = { suppressed: suppressed.length, durationMs, notes };
      log.info(queuedFields(message, rows, taken), "message queued");
      for (const row of suppressed) log.info(droppedFields(row), "recipient suppressed");
    },
    notAccepted(error, origin, mail) {
      metrics.messagePush.inc({ result: "fail" });
      const fields = {
        component: "submit",
        event: "NOQUEUE" satisfies EventWord,
        ...(mail && { messageId: mail.id, ...noted(mail.notes) }),
        ...(origin && { interface: origin.interface, ip: origin.ip, user: origin.user }),
      };
      if (error instanceof DomainError)
        log.info({ ...fields, code: error.code, detail: error.message }, "message refused");
      else log.error({ ...fields, err: error }, "message could not be stored");
    },
    settled(row, attempt, settled) {
      count(metrics, row, attempt, settled, clock.now());
      log.info(
        { event: WORDS[settled.state], ...fieldsOf(row, attempt, settled) },
        `delivery ${settled.state}`,
      );
    },
    settledLate(row, attempt) {
      log.warn(
        fieldsOf(row, attempt, null),
        "settled too late: the row was leased again, its recipient may get two",
      );
    },
    bounceSent(message, of) {
      metrics.bounceGeneration.inc();
      const event: EventWord = "QUEUE_BOUNCE";
      const fields = { component: "submit", event, messageId: message.id, ...(of && { of }) };
      log.info(fields, "bounce message queued");
    },
    deleted(rows) {
      const event: EventWord = "DELETED";
      for (const rowId of rows) {
        const { messageId = null } = parseRowId(rowId) ?? {};
        log.info({ component: "api", event, messageId, rowId }, "recipient dropped by an operator");
      }
    },
  };
}

interface Taken {
  readonly suppressed: number;
  readonly durationMs: number;
  readonly notes: MailNotes;
}

/** In a field of their own: their names are the plugins'. */
function noted(notes: MailNotes): { notes?: MailNotes } {
  return Object.keys(notes).length > 0 ? { notes } : {};
}

function queuedFields(message: Message, rows: readonly QueueRow[], { suppressed, durationMs, notes }: Taken) {
  const event: EventWord = "QUEUED";
  return {
    component: "submit",
    event,
    messageId: message.id,
    interface: message.origin.interface,
    user: message.origin.user,
    rows: rows.length,
    suppressed,
    bytes: message.body.bytes,
    durationMs,
    ...noted(notes),
  };
}

function droppedFields(row: QueueRow) {
  const event: EventWord = "DROP";
  return {
    component: "submit",
    event,
    zone: row.zone,
    messageId: row.messageId,
    rowId: row.id,
    recipientDomain: domainOf(row.recipient),
  };
}

function count(metrics: Metrics, row: QueueRow, attempt: AttemptRecord, settled: Settled, now: number): void {
  if (settled.state === "suppressed" || settled.state === "dropped") return metrics.messageDrop.inc();
  if (settled.state === "deferred" && settled.untried === true) return; // nothing was attempted
  metrics.deliveryStatus.inc({ status: STATUS[attempt.kind], zone: row.zone });
  metrics.transactionSeconds.observe(attempt.durationMs / SECOND);
  if (settled.state === "delivered") metrics.deliverySeconds.observe((now - row.createdAt) / SECOND);
}

function fieldsOf(row: QueueRow, attempt: AttemptRecord, settled: Settled | null) {
  return {
    component: "delivery",
    zone: row.zone,
    messageId: row.messageId,
    rowId: row.id,
    attempt: row.attempts + 1,
    recipientDomain: domainOf(row.recipient),
    mx: attempt.route.mx,
    peer: attempt.route.peer,
    egress: attempt.route.egress,
    outcome: attempt.kind,
    cause: attempt.cause,
    category: attempt.category,
    code: attempt.reply?.code ?? null,
    enhanced: attempt.status,
    detail: attempt.detail,
    durationMs: attempt.durationMs,
    leaseToken: row.leaseToken,
    ...(settled?.state === "deferred" && { dueAt: new Date(settled.dueAt).toISOString() }),
  };
}
