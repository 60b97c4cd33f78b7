/**
 * The shapes of the HTTP API: what a request may say and what an answer looks like. They check requests at run time and are the
 * schemas of the OpenAPI document. ZoneMTA's names and shapes where it had them; what we add is beside, never instead.
 */

import * as z from "zod";

import { FINAL_STATES, OPEN_STATES } from "../domain/queue-row.ts";
import { Attempt, epochMs, messageId } from "./message-schemas.ts";
import { anyCase, numberIn } from "./query-fields.ts";

/** Rows or entries in one page. */
export const MAX_PAGE = 1_000;
const MAX_CURSOR = 2_048;

export const isoTime = z.iso.datetime().describe("ISO 8601, UTC");
export const cursor = z
  .string()
  .min(1)
  .max(MAX_CURSOR)
  .describe("`cursor` of the page before; leave it out for the first page");
export const nextCursor = z.string().nullable().describe("for the next page; null: this was the last one");

export const pageSize = numberIn(1, MAX_PAGE).default(MAX_PAGE).describe(`1 to ${MAX_PAGE}`);

export const NoFields = z.strictObject({});
export const AnyHeaders = z.object({});

// requests

/** Headers of what sends mail. */
export const SendHeaders = z.object({
  "x-authenticated-user": z
    .string()
    .max(256)
    .optional()
    .describe("who the client acts for; kept with the message"),
  "x-originating-ip": z
    .string()
    .max(64)
    .optional()
    .describe("IP address the mail came from; kept with the message"),
  "idempotency-key": z
    .string()
    .regex(/^[\x20-\x7e]{1,255}$/, "expected 1 to 255 printable ASCII characters")
    .optional()
    .describe(
      "a name of your choice for this request. The same request with the same key, within 24 hours, sends no second mail: " +
        "it is answered as the first one was, with `idempotent-replayed: true`. Another request with that key is refused (422), " +
        "and one that comes while the first is still worked on may be (409: try again)",
    ),
});

export const SendRawQuery = z.strictObject({
  from: z
    .string()
    .optional()
    .describe("return path instead of the one in the From (or Sender) header; empty for `<>`"),
  to: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe("recipient instead of those in To, Cc and Bcc; may be repeated"),
  upload: z
    .string()
    .max(64)
    .optional()
    .describe("id of an upload (`POST /uploads`) that is sent instead of the request's body; once only"),
});

const zone = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$/, "expected the name of a zone")
  .optional()
  .describe("zone; left out: all zones");

export const ZoneParams = z.strictObject({ zone });

/** ZoneMTA's lists give 1000 for whatever is more. */
const cappedPageSize = numberIn(1, Number.MAX_SAFE_INTEGER)
  .transform((size) => Math.min(size, MAX_PAGE))
  .default(MAX_PAGE)
  .describe(`1 to ${MAX_PAGE}; more is taken as ${MAX_PAGE}`);

export const QueuedParams = z.strictObject({
  type: anyCase(["active", "queued", "deferred", "held"])
    .transform((type) => (type === "queued" ? "active" : type))
    .describe("active, or queued: queued or being sent now"),
  zone,
});

export const QueuedQuery = z.strictObject({
  cursor: cursor.optional(),
  pageSize: cappedPageSize,
  order: anyCase(["asc", "desc"]).default("desc").describe("oldest (asc) or newest (desc) first"),
  sort: anyCase(["id", "created", "queued"])
    .optional()
    .describe("taken for old clients; lists are in order of time"),
  start: z.string().optional().describe("taken for old clients when it is 0; page with `cursor`"),
});

export const MessageParams = z.strictObject({
  id: messageId,
  seq: z
    .string()
    .max(8)
    .optional()
    .describe("one recipient, in hex as in `seq` of the answers; left out: all"),
});

export const FetchParams = z.strictObject({ id: messageId });
export const FetchQuery = z.strictObject({
  body: anyCase(["yes", "true", "1", "no", "false", "0"])
    .default("no")
    .describe("yes: only what follows the headers"),
});

export const PageQuery = z.strictObject({ cursor: cursor.optional(), pageSize });

/** Which waiting rows are meant: those that all the conditions are true of. */
const matchFields = {
  zone,
  sender: z.string().min(1).max(320).optional().describe("return path: an address, a domain, or `<>`"),
  domain: z.string().min(1).max(255).optional().describe("domain of the recipient"),
  recipient: z.string().min(1).max(320).optional().describe("address of the recipient"),
  olderThan: z
    .string()
    .max(20)
    .optional()
    .describe("accepted so long ago or longer: `30s`, `15m`, `6h`, `2d`"),
  error: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe("part of the last reply, of what came of it, of its category or its cause, in any case"),
};

export const QueueQuery = z.strictObject({
  ...matchFields,
  state: z.enum(OPEN_STATES).optional().describe("left out: all that are not final"),
  order: z.enum(["asc", "desc"]).default("asc").describe("oldest (asc) or newest (desc) first"),
  cursor: cursor.optional(),
  pageSize: numberIn(1, MAX_PAGE).default(100).describe(`1 to ${MAX_PAGE}; a page may have fewer`),
});

export const OperationParams = z.strictObject({
  operation: z
    .enum(["retry", "hold", "release", "drop"])
    .describe(
      "retry: due at once · hold: stopped until released · release · drop: never sent, nobody is told",
    ),
});

export const BulkBody = z.strictObject({
  ...matchFields,
  all: z.literal(true).optional().describe("all waiting recipients are meant; instead of conditions"),
  dryRun: z.boolean().default(false).describe("true: count what matches, and change nothing"),
  cursor: cursor.optional(),
});

export const SendNowQuery = z.strictObject({
  action: z.enum(["retry", "hold", "release"]).default("retry").describe("retry: due at once"),
});

export const UnblockQuery = z.strictObject({
  address: z
    .string()
    .max(255)
    .optional()
    .describe("egress address, of an Elastic IP its name; left out: any"),
  domain: z.string().max(1_024).optional().describe("site, as `domain` in the list; left out: any"),
});

export const EndSlowingQuery = z.strictObject({
  zone: z.string().max(64).optional().describe("sending zone; left out: any"),
  domain: z.string().max(1_024).optional().describe("site, as `domain` in the list; left out: any"),
});

export const ZonesQuery = z.strictObject({
  includeDisabled: anyCase(["true", "yes", "1", "false", "no", "0"]).default("no"),
});

export const EventsQuery = z.strictObject({
  after: numberIn(0, Number.MAX_SAFE_INTEGER)
    .default(0)
    .describe("number of the last event seen; 0: from the oldest kept"),
  limit: numberIn(1, MAX_PAGE).default(100),
});

// answers

const RowState = z.enum([...OPEN_STATES, ...FINAL_STATES]);

export const ErrorAnswer = z.object({
  error: z.string().describe("what is wrong and what to change"),
  code: z.string().describe("stable code"),
  path: z.string().optional().describe("where in the request, such as `to[3]`"),
});

export const SendAnswer = z.object({
  id: messageId,
  from: z.string().describe("return path; empty for `<>`"),
  to: z.array(z.string()).describe("recipients, Bcc too"),
  response: z.string(),
  recipients: z.array(z.object({ id: z.string(), recipient: z.string(), state: RowState })),
});

export const UploadAnswer = z.object({
  id: messageId.describe("for `POST /send-raw?upload=<id>`; the message gets this id"),
  url: z.string().describe("takes the mail (RFC 5322) as the body of one PUT, with no key"),
  method: z.literal("PUT"),
  expires: isoTime.describe("when the URL takes nothing more"),
  maxSize: z.int().describe("bytes of the largest mail that is sent"),
});

const Counter = z.object({
  entries: z.array(z.object({ key: z.string().describe("zone"), value: z.int() })),
  rows: z.int(),
});
export const CounterAnswer = z.object({
  zone: z.string(),
  active: Counter,
  deferred: Counter,
  held: Counter,
});

const Queued = z.object({
  id: messageId,
  seq: z.string(),
  zone: z.string(),
  recipient: z.string(),
  status: z.string(),
  created: isoTime,
  queued: isoTime.describe("when it may be tried next"),
  deferred: z.int().describe("attempts so far"),
});
export const QueuedAnswer = z.object({
  zone: z.string(),
  type: z.string(),
  list: z.array(Queued),
  cursor: nextCursor,
});

export const QueueAnswer = z.object({
  list: z.array(
    Queued.extend({
      from: z.string().nullable().describe("return path; empty for `<>`"),
      response: z.string().nullable().describe("what the last attempt met; null: never tried"),
    }),
  ),
  cursor: nextCursor.describe("for the next page, which there may be even when this one is empty"),
});

export const BulkAnswer = z.object({
  operation: z.string(),
  dryRun: z.boolean(),
  examined: z.int().describe("recipients looked at in this call"),
  matched: z.int().describe("of those, waiting and meant"),
  busy: z.int().describe("meant, and being sent just now: they are left alone"),
  changed: z.int().describe("of the matched; others changed in between"),
  cursor: nextCursor.describe("for the next call; null: all have been looked at"),
});

export const ChangedAnswer = z.object({
  success: z.literal(true),
  changed: z.int(),
  rows: z.array(z.string()).describe("row ids that were changed"),
});

export const BlacklistAnswer = z.object({
  list: z.array(
    z.object({
      id: z.string(),
      address: z.string().describe("egress address"),
      domain: z.string().describe("site that refuses it"),
      response: z.string(),
      created: isoTime,
      until: isoTime,
    }),
  ),
});

export const UnblockedAnswer = z.object({
  success: z.literal(true),
  deleted: z.array(z.string()).describe("ids as in the list"),
});

export const SlowedAnswer = z.object({
  list: z.array(
    z.object({
      id: z.string(),
      zone: z.string(),
      domain: z.string().describe("site that asked for less mail"),
      step: z.number().describe("1 or more: how often it asked, less one for each five minutes since"),
      rate: z.number().describe("mails a minute, over all processes"),
      response: z.string(),
      complained: isoTime,
      until: isoTime,
    }),
  ),
});

export const SkipDomainsAnswer = z.object({
  skipDomains: z
    .union([z.literal(false), z.array(z.string())])
    .describe("domains that no mail is taken for now; `*`: all of them; false: none"),
});

export const ZonesAnswer = z.array(z.object({ name: z.string(), disabled: z.boolean() }));
export const HealthAnswer = z.object({ status: z.enum(["ok", "failing"]) });

export const EventsAnswer = z.object({
  events: z.array(
    z.object({
      number: z.int(),
      type: z.string(),
      time: epochMs,
      id: messageId,
      seq: z.string().nullable(),
      zone: z.string().nullable(),
      from: z.string(),
      recipient: z.string().nullable(),
      attempts: z.int(),
      attempt: Attempt.nullable(),
    }),
  ),
  after: z.int().describe("`after` for the next page"),
});
