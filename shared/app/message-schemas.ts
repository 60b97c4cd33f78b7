/** What `GET /message` answers, and the parts of it that other answers have too. */

import * as z from "zod";

export const epochMs = z.int().describe("milliseconds since 1970-01-01T00:00:00Z");
export const messageId = z.string().max(64).describe("message id, as /send answers it");

export const Attempt = z.object({
  time: epochMs,
  durationMs: z.number(),
  kind: z.enum(["delivered", "deferred", "bounced"]),
  cause: z.string().nullable(),
  response: z.string().describe("the reply of the peer, or what happened instead"),
  detail: z.string().describe("what came of it and why, in words for the operator"),
  status: z.string().describe("enhanced status code (RFC 3463)"),
  category: z.string().nullable(),
  mx: z.string().nullable(),
  peer: z.string().nullable(),
  egress: z.string().nullable(),
});

const RowView = z.object({
  id: messageId,
  seq: z.string(),
  zone: z.string(),
  recipient: z.string(),
  status: z.string().describe("state in capitals"),
  created: epochMs,
  attempts: z.int(),
  next: epochMs.nullable().describe("when it may be tried next; null: never again"),
  lock: z.object({ worker: z.string(), until: epochMs }).optional().describe("who is sending it now"),
  deferred: z
    .object({ first: epochMs, last: epochMs, next: epochMs, count: z.int(), response: z.string() })
    .optional(),
  way: z.string().optional().describe("how the mail goes, where that is not as its zone's does"),
  lastAttempt: Attempt.nullable(),
  finished: epochMs.nullable(),
  note: z.string().optional().describe("why nobody sends it, where its zone is disabled or gone"),
});

const mailboxOrFalse = z.union([z.string(), z.literal(false)]);
export const MessageAnswer = z.object({
  meta: z.object({
    id: messageId,
    from: z.string(),
    to: z.array(z.string()),
    interface: z.string(),
    origin: z.string().nullable(),
    originhost: z.string().nullable(),
    transhost: z.string().nullable(),
    transtype: z.string(),
    user: z.string().nullable(),
    time: epochMs,
    tls: z.string().nullable(),
    messageId: z.string(),
    headerFrom: z.string().nullable(),
    subject: z.string().nullable(),
    fbl: z.string().nullable().describe("value of X-Fbl"),
    size: z.int().describe("bytes of headers and body"),
    bodySize: z.int(),
    dkim: z.object({ hashAlgo: z.string(), bodyHash: z.string() }).nullable(),
    smtputf8: z.boolean(),
    purpose: z.enum(["submitted", "dsn"]),
    headers: z
      .array(z.object({ key: z.string().describe("name in lower case"), line: z.string() }))
      .nullable()
      .describe(
        "as stored, and so the next two; null: the content is not kept any more, or cannot be read now",
      ),
    parsedEnvelope: z
      .object({
        from: mailboxOrFalse,
        to: z.array(z.string()),
        cc: z.array(z.string()),
        bcc: z.array(z.string()),
        replyTo: mailboxOrFalse,
        sender: mailboxOrFalse,
      })
      .nullable(),
    date: z.string().nullable(),
  }),
  messages: z.array(RowView),
});
