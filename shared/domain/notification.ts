/** An event as a receiver is told of it by HTTP: the JSON of webhooks, the form of ZoneMTA's http-bounce, and the signature. */

import { createHmac } from "node:crypto";

import type { MailEvent } from "./event.ts";
import type { AttemptRecord } from "./queue-row.ts";
import { printReply } from "./smtp-reply.ts";
import type { EpochMs } from "./units.ts";
import { SECOND } from "./units.ts";

/** What a webhook gets of an event; null: it has none, or the event is of no attempt. */
export interface EventNotice {
  /** The same whenever the event is told again: receivers know doubles by it. */
  readonly id: string;
  readonly type: MailEvent["type"];
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly messageId: string;
  /** Of the recipient in the message, as the routes of the API take it. */
  readonly seq: string | null;
  readonly zone: string | null;
  readonly from: string | null;
  readonly to: string | null;
  readonly attempts: number;
  readonly action: Action;
  readonly category: string | null;
  /** Reply code. */
  readonly code: number | null;
  readonly status: string | null;
  /** What the peer said. */
  readonly response: string | null;
  /** What happened, in words for the operator. */
  readonly detail: string | null;
  readonly mx: string | null;
  readonly peer: string | null;
  readonly egress: string | null;
}

type Action = "deliver" | "defer" | "reject" | null;

export function noticeOf(event: MailEvent): EventNotice {
  const { type, at, messageId, zone, returnPath, recipient, attempts, attempt } = event;
  return {
    id: eventId(event),
    type,
    time: new Date(at).toISOString(),
    messageId,
    seq: seqOf(event),
    zone,
    from: returnPath,
    to: recipient,
    attempts,
    action: actionOf(attempt),
    category: categoryOf(attempt),
    code: attempt?.reply?.code ?? null,
    status: attempt?.status ?? null,
    response: attempt?.reply ? printReply(attempt.reply) : null,
    detail: attempt?.detail ?? null,
    mx: attempt?.route.mx ?? null,
    peer: attempt?.route.peer ?? null,
    egress: attempt?.route.egress ?? null,
  };
}

/** ZoneMTA's fields of a bounce, with `action`; sessions are not numbered here. `fbl`: X-Fbl of the message. */
export function bounceForm(event: MailEvent, fbl: string | null): string {
  const { at, messageId, returnPath, recipient, attempt } = event;
  return new URLSearchParams({
    id: messageId,
    sessionId: "",
    to: recipient ?? "",
    seq: seqOf(event) ?? "",
    returnPath: returnPath ?? "",
    category: categoryOf(attempt) ?? "other",
    time: String(at),
    response: attempt ? (attempt.reply ? printReply(attempt.reply) : attempt.detail) : "",
    fbl: fbl ?? "",
    action: actionOf(attempt) ?? "",
  }).toString();
}

/** Not the number of the log, which is the store's: the fact itself. */
function eventId({ type, at, messageId, rowId, attempts }: MailEvent): string {
  return `${rowId ?? messageId}-${type}-${attempts}-${at}`;
}

/** `001` of `<message id>.001`. */
function seqOf({ rowId, messageId }: MailEvent): string | null {
  return rowId === null ? null : rowId.slice(messageId.length + 1);
}

function actionOf(attempt: AttemptRecord | null): Action {
  if (!attempt) return null;
  const actions = { delivered: "deliver", deferred: "defer", bounced: "reject" } as const;
  return actions[attempt.kind];
}

/** Where there was no reply to read, why there is an end. */
function categoryOf(attempt: AttemptRecord | null): string | null {
  return attempt?.category ?? attempt?.cause ?? null;
}

/**
 * `t=<seconds>,v1=<hex>`: HMAC-SHA256 with the secret over `<seconds>.<body>`. The time is signed too, so that a receiver can
 * refuse what somebody has recorded and sends again later.
 */
export function signature(body: string, secret: string, now: EpochMs): string {
  const seconds = Math.floor(now / SECOND);
  return `t=${seconds},v1=${createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex")}`;
}
