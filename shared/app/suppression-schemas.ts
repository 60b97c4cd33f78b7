/** The shapes of the HTTP API for the suppression list, as route-schemas.ts has the others. */

import * as z from "zod";

import { cursor, isoTime, nextCursor, pageSize } from "./route-schemas.ts";

// requests

const subjectFields = {
  address: z.string().max(320).nullish(),
  domain: z.string().max(255).nullish(),
  scope: z.enum(["global", "sender", "user"]).optional().describe("follows from `sender` and `user`"),
  sender: z.string().max(255).nullish().describe("for mail whose return path has this domain only"),
  user: z.string().max(256).nullish().describe("for mail of this authenticated user only"),
};
export type SubjectFields = z.output<z.ZodObject<typeof subjectFields>>;

export const SuppressBody = z.strictObject({
  ...subjectFields,
  reason: z.string().max(500).nullish(),
  expires: z.iso.datetime({ offset: true }).nullish().describe("when the entry ends by itself, ISO 8601"),
});
export const UnsuppressBody = z.strictObject({
  id: z.string().min(1).max(200).optional().describe("or what the entry is of"),
  ...subjectFields,
});

export const ExportQuery = z.strictObject({
  format: z.enum(["ndjson", "csv"]).default("ndjson"),
  cursor: cursor.optional(),
  pageSize,
});

const yesOrNo = z.enum(["true", "yes", "1", "false", "no", "0"]).default("no");
export const ImportQuery = z.strictObject({
  dryRun: yesOrNo.describe("yes: look at what is there, and add nothing"),
});

// answers

const Suppressed = z.object({
  id: z.string(),
  created: isoTime,
  address: z.string().optional(),
  domain: z.string().optional(),
  scope: z.enum(["global", "sender", "user"]).describe("whose mail it stops"),
  sender: z.string().optional(),
  user: z.string().optional(),
  reason: z.string().nullable(),
  expires: isoTime.nullable().describe("null: it stays"),
});
export const ImportAnswer = z.object({
  dryRun: z.boolean(),
  entries: z.int().describe("in the request"),
  added: z.int().describe("new ones; with `dryRun` those that would be"),
  present: z.int().describe("there already"),
  invalid: z.array(
    z.object({ entry: z.int().describe("ordinal in the request, from 1"), error: z.string() }),
  ),
});
export const SuppressionListAnswer = z.object({ suppressed: z.array(Suppressed), cursor: nextCursor });
export const SuppressedAnswer = z.object({ suppressed: Suppressed });
export const UnsuppressedAnswer = z.object({ deleted: z.string() });
