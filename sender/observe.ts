/** What the use cases tell, as metrics and log lines: one info line for each settled attempt (CONVENTIONS' field names). */

import type { Observer } from "#shared/app/observer.ts";
import { domainOf } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { AttemptRecord, QueueRow, Settled } from "#shared/domain/queue-row.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Logger } from "#shared/runtime/log.ts";
import type { Metrics } from "#shared/runtime/metrics.ts";

/** Status label of `zonefleet_delivery_status` (ZoneMTA's words). */
const STATUS = { delivered: "delivered", deferred: "deferred", bounced: "rejected" } as const;

export function observer({ log, metrics, clock }: { log: Logger; metrics: Metrics; clock: Clock }): Observer {
  return {
    accepted(message, rows, durationMs) {
      metrics.messagePush.inc({ result: "success" });
      metrics.acceptSeconds.observe(durationMs / SECOND);
      const suppressed = rows.filter((row) => row.state === "suppressed").length;
      if (suppressed > 0) metrics.messageDrop.inc(suppressed);
      log.debug(
        {
          component: "submit",
          messageId: message.id,
          rows: rows.length,
          suppressed,
          bytes: message.body.bytes,
          durationMs,
        },
        "message queued",
      );
    },
    notAccepted(error) {
      metrics.messagePush.inc({ result: "fail" });
      if (!(error instanceof DomainError))
        log.error({ component: "submit", err: error }, "message could not be stored");
    },
    settled(row, attempt, settled) {
      count(metrics, row, attempt, settled, clock.now());
      log.info(fieldsOf(row, attempt, settled), `delivery ${settled.state}`);
    },
    settledLate(row, attempt) {
      log.warn(
        fieldsOf(row, attempt, null),
        "settled too late: the row was leased again, its recipient may get two",
      );
    },
    bounceSent(message) {
      metrics.bounceGeneration.inc();
      log.info({ messageId: message.id }, "bounce message queued");
    },
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
