/** The shapes of `/dkim`: what a request may say and what an answer looks like. */

import * as z from "zod";

import { cursor, isoTime, nextCursor, pageSize } from "./route-schemas.ts";

/** The first is the usual one; the others are what clients send a file with. */
export const PEM_TYPES = ["application/x-pem-file", "text/plain", "application/octet-stream"];

// requests

const domain = z.string().min(1).max(255).describe("domain in the From header, or one above it");
const selector = z.string().min(1).max(190).describe("its record is at `<selector>._domainkey.<domain>`");

export const DkimDomainParams = z.strictObject({
  domain: domain.optional().describe("domain; left out: all"),
});
export const DkimKeyParams = z.strictObject({ domain, selector });
export const DkimQuery = z.strictObject({ cursor: cursor.optional(), pageSize });
export const PutDkimQuery = z.strictObject({
  algorithm: z
    .enum(["rsa", "ed25519"])
    .optional()
    .describe("of the key that is made; rsa (2048 bits) unless said, as not every receiver knows ed25519"),
});
export type DkimAlgorithm = NonNullable<z.output<typeof PutDkimQuery>["algorithm"]>;

// answers

const DkimKeyView = z.object({
  domain: z.string(),
  selector: z.string(),
  algorithm: z.enum(["rsa-sha256", "ed25519-sha256"]),
  created: isoTime,
  dns: z.object({ name: z.string(), type: z.literal("TXT"), value: z.string() }).describe("to be published"),
  warning: z.string().nullable().describe("what should be changed about the key; null: nothing"),
});
export type DkimKeyView = z.output<typeof DkimKeyView>;
export const DkimKeyAnswer = z.object({ key: DkimKeyView });
export const DkimKeysAnswer = z.object({ keys: z.array(DkimKeyView), cursor: nextCursor });
export const DkimRemovedAnswer = z.object({ deleted: z.string() });
