/** The shapes of the routes for trying `core/http-auth` and `core/http-bounce` out, and of those that are there for ZoneMTA's clients only. */

import * as z from "zod";

import { isoTime } from "./route-schemas.ts";

// requests

/** As `core/http-auth` asks; whatever else the operator's URL has in its query is left alone. */
export const TestAuthQuery = z.object({
  transport: z.string().max(64).optional().describe("taken from `core/http-auth`, which says `SMTP`"),
});

/** The query of the URL that a reporter is given is its own; names that a report has are taken from it too. */
export const ReportBounceQuery = z.looseObject({});

export const StoreParams = z.object({ id: z.string().optional() });

/** What a report may have; longer texts are cut, since one that is refused would be sent again for a day. */
function textOf(maxLength: number) {
  return z
    .union([z.string(), z.number().transform(String)])
    .transform((text) => text.slice(0, maxLength))
    .optional();
}

/** ZoneMTA's fields, and ours beside; others are left out. */
export const ReportBounceBody = z.object({
  id: z.string().min(1).max(64).describe("message id"),
  sessionId: textOf(64),
  to: textOf(320),
  seq: textOf(8),
  returnPath: textOf(320),
  category: textOf(64),
  time: textOf(32).describe("milliseconds since 1970-01-01T00:00:00Z"),
  response: textOf(4_000),
  fbl: textOf(320),
  action: textOf(16),
});

// answers

export const TestAuthAnswer = z.object({ user: z.string(), time: isoTime });

export const ReportedAnswer = z.string().describe("the message id");

const text = z.string().optional();
export const BouncesAnswer = z.object({
  bounces: z.array(
    z.object({
      id: z.string(),
      sessionId: text,
      to: text,
      seq: text,
      returnPath: text,
      category: text,
      time: text,
      response: text,
      fbl: text,
      action: text,
      received: isoTime,
    }),
  ),
});
