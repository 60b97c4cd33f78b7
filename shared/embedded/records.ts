/**
 * The shapes of stored records, checked when they are read.
 *
 * They are JSON. What a newer version added is neither refused nor lost: unknown fields stay in the record, and writers
 * spread the record they read. Free words of ours (causes, categories) are read as text for the same reason.
 */

import * as z from "zod";

import type { MailEvent } from "../domain/event.ts";
import type { Message } from "../domain/message.ts";
import { FINAL_STATES, OPEN_STATES } from "../domain/queue-row.ts";
import type { AttemptRecord, QueueRow } from "../domain/queue-row.ts";

/** A stored record that this version cannot read: a fault of ours, or of the disk. */
export class StoredRecordError extends Error {
  override readonly name = "StoredRecordError";
}

const text = z.string();
const textOrNull = z.nullable(text);
const count = z.int();
const countOrNull = z.nullable(count);

const AttemptShape = z.looseObject({
  at: count,
  durationMs: z.number(),
  kind: z.enum(["delivered", "deferred", "bounced"]),
  cause: textOrNull,
  reply: z.nullable(z.looseObject({ code: count, enhanced: textOrNull, text })),
  detail: text,
  status: text,
  category: textOrNull,
  route: z.looseObject({ mx: textOrNull, peer: textOrNull, egress: textOrNull }),
}) satisfies z.ZodType<Loose<AttemptRecord>>;

const RowShape = z.looseObject({
  id: text,
  messageId: text,
  seq: count,
  zone: text,
  recipient: text,
  domain: text,
  state: z.enum([...OPEN_STATES, ...FINAL_STATES]),
  createdAt: count,
  dueAt: count,
  attempts: count,
  firstDeferredAt: countOrNull,
  leaseToken: count,
  leasedBy: textOrNull,
  leasedUntil: countOrNull,
  lastAttempt: z.nullable(AttemptShape),
  finishedAt: countOrNull,
}) satisfies z.ZodType<Loose<QueueRow>>;

const MessageShape = z.looseObject({
  id: text,
  returnPath: textOrNull,
  acceptedAt: count,
  body: z.looseObject({ bytes: count, headerBytes: count, dkimBodyHash: textOrNull, eightBit: z.boolean() }),
  origin: z.looseObject({
    interface: text,
    protocol: text,
    ip: textOrNull,
    host: textOrNull,
    helo: textOrNull,
    user: textOrNull,
    tls: textOrNull,
  }),
  messageIdHeader: text,
  from: textOrNull,
  subject: textOrNull,
  recipientCount: count,
  smtputf8: z.boolean(),
  purpose: z.enum(["submitted", "dsn"]),
}) satisfies z.ZodType<Loose<Message>>;

const EventShape = z.looseObject({
  type: text,
  at: count,
  messageId: text,
  rowId: textOrNull,
  zone: textOrNull,
  returnPath: textOrNull,
  recipient: textOrNull,
  attempts: count,
  attempt: z.nullable(AttemptShape),
}) satisfies z.ZodType<Loose<MailEvent>>;

/** A record with its brands and closed sets of words read as plain text and numbers. */
type Loose<T> = T extends string
  ? string
  : T extends number
    ? number
    : T extends object
      ? { readonly [K in keyof T]: Loose<T[K]> }
      : T;

// Brands are given here: what is in the store was parsed before it was written. `key` is for the error.

export function readRow(stored: unknown, key: string): QueueRow {
  return read("row", RowShape, { stored, key }) as QueueRow;
}

export function readMessage(stored: unknown, key: string): Message {
  return read("message", MessageShape, { stored, key }) as Message;
}

export function readEvent(stored: unknown, key: string): MailEvent {
  return read("event", EventShape, { stored, key }) as MailEvent;
}

function read(what: string, shape: z.ZodType, { stored, key }: { stored: unknown; key: string }): unknown {
  const parsed = shape.safeParse(stored);
  if (parsed.success) return parsed.data;
  throw new StoredRecordError(`cannot read ${what} ${key}: ${z.prettifyError(parsed.error)}`);
}
