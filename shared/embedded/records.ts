/**
 * Messages, rows and events as they are stored, and checked when they are read.
 *
 * They are JSON in a short form, as most of what a store holds is history: what is null is left out, and so is what the key or
 * another part of the record says already. What a newer version added is neither refused nor lost: unknown fields stay in the
 * record, and writers spread the record they read. Free words of ours (causes, categories) are read as text for the same reason.
 */

import * as z from "zod";

import { domainOf } from "../domain/address.ts";
import type { Address } from "../domain/address.ts";
import type { MailEvent } from "../domain/event.ts";
import { parseRowId } from "../domain/ids.ts";
import type { MessageId, RowId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import { FINAL_STATES, OPEN_STATES } from "../domain/queue-row.ts";
import type { AttemptRecord, QueueRow } from "../domain/queue-row.ts";
import type { StoredWay } from "../domain/way.ts";
import { printReply } from "../domain/smtp-reply.ts";
import { NotJson } from "./database.ts";

/** A stored record that this version cannot read: a fault of ours, or of the disk. */
export class StoredRecordError extends Error {
  override readonly name = "StoredRecordError";
}

/**
 * What is written of an event: its own facts. What is left out is read from its row and message (queue-tables.ts), which do not
 * change any more in that: whose it is, and of a final row what it came to.
 */
export type StoredEvent = Pick<MailEvent, "type" | "at"> &
  ({ readonly messageId: MessageId } | { readonly rowId: RowId }) &
  Partial<MailEvent>;

const text = z.string();
const count = z.int();
const textOrNull = z.nullable(text).default(null);
const countOrNull = z.nullable(count).default(null);

const ReplyShape = z.looseObject({ code: count, enhanced: textOrNull, text });

const AttemptShape = z
  .looseObject({
    at: count,
    durationMs: z.number(),
    kind: z.enum(["delivered", "deferred", "bounced"]),
    cause: textOrNull,
    reply: z.nullable(ReplyShape).default(null),
    detail: text.optional(),
    status: text,
    category: textOrNull,
    route: z.looseObject({ mx: textOrNull, peer: textOrNull, egress: textOrNull }),
  })
  .transform(({ detail, ...attempt }) => ({
    ...attempt,
    detail: detail ?? (attempt.reply ? printReply(attempt.reply) : ""),
  })) satisfies z.ZodType<Loose<AttemptRecord>>;

/** `false` and null are left out. */
const flag = z.boolean().default(false);

const WayShape = z.looseObject({
  id: text,
  hosts: z.nullable(z.array(text)).default(null),
  port: countOrNull,
  user: textOrNull,
  authMethod: textOrNull,
  credentials: text,
  secure: flag,
  lmtp: flag,
  http: textOrNull,
  skipSrs: flag,
  skipSts: flag,
  sealed: textOrNull,
}) satisfies z.ZodType<Loose<StoredWay>>;

const RowShape = z.looseObject({
  id: text,
  messageId: text,
  seq: count,
  zone: text,
  recipient: text,
  domain: text,
  way: textOrNull,
  state: z.enum([...OPEN_STATES, ...FINAL_STATES]),
  createdAt: count,
  dueAt: count,
  attempts: count,
  firstDeferredAt: countOrNull,
  leaseToken: count,
  leasedBy: textOrNull,
  leasedUntil: countOrNull,
  lastAttempt: z.nullable(AttemptShape).default(null),
  finishedAt: countOrNull,
}) satisfies z.ZodType<Loose<QueueRow>>;

/** As JSON in a string, so that what plugins keep comes back to the last null. */
const ExtraShape = z
  .nullable(text)
  .default(null)
  .transform((json) => (json === null ? null : (JSON.parse(json) as Record<string, unknown>)));

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
  fbl: textOrNull,
  dkimKeys: z.nullable(z.array(text)).default(null),
  ways: z.nullable(z.array(WayShape)).default(null),
  extra: ExtraShape,
  recipientCount: count,
  smtputf8: z.boolean(),
  purpose: z.enum(["submitted", "dsn"]),
}) satisfies z.ZodType<Loose<Message>>;

const EventShape = z.looseObject({
  type: text,
  at: count,
  messageId: text.optional(),
  rowId: z.nullable(text).optional(),
  zone: z.nullable(text).optional(),
  returnPath: z.nullable(text).optional(),
  recipient: z.nullable(text).optional(),
  attempts: count.optional(),
  attempt: z.nullable(AttemptShape).optional(),
});

/** A record with its brands and closed sets of words read as plain text and numbers. */
type Loose<T> = T extends string
  ? string
  : T extends number
    ? number
    : T extends object
      ? { readonly [K in keyof T]: Loose<T[K]> }
      : T;

/** What the key says, or the recipient. */
const KNOWN_OF_ROW: ReadonlySet<string> = new Set(["id", "messageId", "seq", "domain"]);
const KNOWN_OF_MESSAGE: ReadonlySet<string> = new Set(["id"]);

export function shortRow(row: QueueRow): object {
  return short({ ...row, lastAttempt: row.lastAttempt && shortAttempt(row.lastAttempt) }, KNOWN_OF_ROW);
}

export function shortMessage(message: Message): object {
  const { ways, extra } = message;
  const kept = { ...message, ways: ways && ways.map(shortWay), extra: extra && JSON.stringify(extra) };
  return short(kept, KNOWN_OF_MESSAGE);
}

function shortWay(way: StoredWay): object {
  return short(Object.fromEntries(Object.entries(way).filter(([, value]) => value !== false)));
}

/** Its own nulls say that the row is not to be asked. */
export function shortEvent(event: StoredEvent): object {
  return event.attempt ? { ...event, attempt: short(shortAttempt(event.attempt)) } : event;
}

// Brands are given here: what is in the store was parsed before it was written. `key` is what it is stored under.

export function readRow(stored: unknown, key: string): QueueRow {
  const id = parseRowId(key);
  const recipient: unknown = isRecord(stored) ? stored["recipient"] : null;
  const domain = typeof recipient === "string" ? domainOf(recipient as Address) : null;
  return read("row", RowShape, { stored, key, known: { ...id, domain } }) as QueueRow;
}

export function readMessage(stored: unknown, key: string): Message {
  return read("message", MessageShape, { stored, key, known: { id: key } }) as Message;
}

export function readEvent(stored: unknown, key: number): StoredEvent {
  const event = read("event", EventShape, { stored, key, known: {} }) as StoredEvent;
  if ("messageId" in event || "rowId" in event) return event;
  throw new StoredRecordError(`cannot read event ${key}: it does not say what it is of`);
}

function read(
  what: string,
  shape: z.ZodType,
  { stored, key, known }: { stored: unknown; key: string | number; known: object },
): unknown {
  if (!isRecord(stored)) throw new StoredRecordError(`cannot read ${what} ${key}: it is no JSON object`);
  const parsed = shape.safeParse({ ...stored, ...known });
  if (parsed.success) return parsed.data;
  throw new StoredRecordError(`cannot read ${what} ${key}: ${z.prettifyError(parsed.error)}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof NotJson);
}

/** The detail of most attempts is what the peer said. */
function shortAttempt({ detail, ...attempt }: AttemptRecord): object {
  const isReply = attempt.reply !== null && detail === printReply(attempt.reply);
  return isReply ? attempt : { ...attempt, detail };
}

function short(record: object, known: ReadonlySet<string> | null = null): object {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(record) as [string, unknown][]) {
    if (value === null || known?.has(name) === true) continue;
    kept[name] = isRecord(value) ? short(value) : value;
  }
  return kept;
}
