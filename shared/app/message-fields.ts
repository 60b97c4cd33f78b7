/**
 * Nodemailer's message fields as JSON: their shapes, and what is refused in them before anything is composed.
 *
 * 1. No field of a header carries a control character: refused with its path, never flattened.
 * 2. Nothing is read from a file or a URL; a `data:` URI is content and is taken.
 *
 * What the fields mean is in send-json.ts.
 */

import * as z from "zod";

import { DomainError } from "../domain/errors.ts";
import { printPath } from "./parse-input.ts";

const Mailbox = z.strictObject({ name: z.string().nullish(), address: z.string() });
const Group = z.strictObject({ name: z.string(), group: z.array(z.union([z.string(), Mailbox])) });
const ADDRESS_WANTED =
  'expected an address such as "Anna <anna@example.com>", { name, address }, or a list of them';
const AddressEntry = z.union([z.string(), Mailbox, Group], { error: ADDRESS_WANTED });
const AddressField = z.union([AddressEntry, z.array(z.union([AddressEntry, z.array(AddressEntry)]))], {
  error: ADDRESS_WANTED,
});
export type AddressFieldInput = z.output<typeof AddressField>;

/** A Node Buffer as JSON.stringify prints it. */
const BufferJson = z.strictObject({ type: z.literal("Buffer"), data: z.array(z.int().min(0).max(255)) });
/** Nodemailer would read it; here it is refused, with words of its own. */
const Elsewhere = z.strictObject({ path: z.unknown().optional(), href: z.unknown().optional() });
const Content = z.union([z.string(), BufferJson, Elsewhere], { error: "expected a string" });
export type ContentInput = z.output<typeof Content>;

const HEADER_WANTED = { error: "expected text, { prepared, value }, or a list of them" };
const HeaderText = z.union([z.string(), z.number(), z.boolean()], HEADER_WANTED);
const HeaderValue = z.union(
  [
    HeaderText,
    z.strictObject({
      prepared: z.boolean().optional(),
      foldLines: z.boolean().optional(),
      value: HeaderText,
    }),
  ],
  HEADER_WANTED,
);
const HeaderValues = z.union([HeaderValue, z.array(HeaderValue)], HEADER_WANTED);
const Headers = z.union(
  [
    z.array(z.strictObject({ key: z.string(), value: HeaderValues })),
    z.record(z.string(), HeaderValues.nullable()),
  ],
  { error: "expected { name: value } or a list of { key, value }" },
);
export type HeadersInput = z.output<typeof Headers>;

const Part = z.strictObject({
  content: Content.nullish(),
  raw: Content.nullish(),
  path: z.unknown().optional().describe("only a data: URI"),
  href: z.unknown().optional().describe("only a data: URI"),
  encoding: z.string().nullish().describe("of `content`: utf-8 (default), base64, hex …"),
  contentType: z.string().nullish(),
  contentTransferEncoding: z
    .union([z.string(), z.literal(false)], { error: "expected a string, or false" })
    .nullish(),
  contentDisposition: z.string().nullish(),
  filename: z.union([z.string(), z.literal(false)], { error: "expected a string, or false" }).nullish(),
  cid: z.string().nullish(),
  headers: Headers.nullish(),
  method: z.string().nullish().describe("of an icalEvent"),
  httpHeaders: z.unknown().optional(),
  tls: z.unknown().optional(),
});
export type PartInput = z.output<typeof Part>;
const Body = z.union([z.string(), BufferJson, Part], { error: "expected a string or { content }" });
export type BodyInput = z.output<typeof Body>;

const LIST_WANTED = { error: "expected a URL, { url, comment }, or a list of them" };
const ListEntry = z.union(
  [z.string(), z.strictObject({ url: z.string(), comment: z.string().nullish() })],
  LIST_WANTED,
);
const ListValue = z.union([ListEntry, z.array(z.union([ListEntry, z.array(ListEntry)]))], LIST_WANTED);

/** All fields of Nodemailer's message that JSON can carry, and `deferDelivery`. */
export const MailFields = z.strictObject({
  from: AddressField.nullish(),
  sender: AddressField.nullish(),
  to: AddressField.nullish(),
  cc: AddressField.nullish(),
  bcc: AddressField.nullish(),
  replyTo: AddressField.nullish(),
  subject: z.string().nullish(),
  text: Body.nullish(),
  html: Body.nullish(),
  watchHtml: Body.nullish(),
  amp: Body.nullish(),
  icalEvent: Body.nullish(),
  attachments: z.array(Part).nullish(),
  alternatives: z.array(Part).nullish(),
  headers: Headers.nullish(),
  list: z.record(z.string(), ListValue.nullable()).nullish(),
  messageId: z.string().nullish(),
  inReplyTo: z.string().nullish(),
  references: z
    .union([z.string(), z.array(z.string())], { error: "expected a Message-ID or a list of them" })
    .nullish(),
  date: z.union([z.string(), z.number()], { error: "expected a date" }).nullish(),
  priority: z.enum(["high", "normal", "low"]).nullish(),
  xMailer: z.union([z.string(), z.literal(false)], { error: "expected a string, or false" }).nullish(),
  encoding: z.enum(["quoted-printable", "base64", "7bit", "8bit"]).nullish(),
  textEncoding: z.enum(["Q", "B", "quoted-printable", "base64"]).nullish(),
  envelope: z
    .strictObject({
      from: z
        .union([AddressField, z.literal(false)])
        .nullish()
        .describe("return path; empty for `<>`"),
      to: AddressField.nullish(),
      cc: AddressField.nullish(),
      bcc: AddressField.nullish(),
    })
    .nullish()
    .describe("instead of the addresses of the headers"),
  raw: Body.nullish().describe("the whole message; the other header fields then only serve the envelope"),
  otp: z.strictObject({ code: z.string(), origin: z.string() }).nullish(),
  attachDataUrls: z.boolean().nullish().describe("data: images of the html become attachments"),
  boundaryPrefix: z.string().nullish(),
  baseBoundary: z.string().nullish(),
  newline: z.unknown().optional().describe("has no effect: lines end in CRLF"),
  disableFileAccess: z.unknown().optional().describe("has no effect: files are never read"),
  disableUrlAccess: z.unknown().optional().describe("has no effect: URLs are never read"),
  deferDelivery: z
    .union([z.int(), z.string(), z.literal(false)], {
      error: "expected milliseconds since 1970, or ISO 8601",
    })
    .nullish()
    .describe("not to be tried before: milliseconds since 1970, or ISO 8601"),
});
export type MailFieldsInput = z.output<typeof MailFields>;

/** Fields that become content, not header: they may hold any character. */
const CONTENT_FIELDS: ReadonlySet<string> = new Set(["text", "html", "watchHtml", "amp", "icalEvent", "raw"]);
const PART_LISTS: ReadonlySet<string> = new Set(["attachments", "alternatives"]);
/** `data` is the bytes of a Buffer. */
const CONTENT_OF_PART: ReadonlySet<string> = new Set(["content", "raw", "data"]);

/** Addresses nest two lists and a group deep; nothing of a mail needs more. */
const MAX_DEPTH = 8;

/** C0, DEL and C1 but the tab, which is white space in a header; and what Unicode counts as a line end. */
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u{2028}\u{2029}]/u;

/** Throws invalid-header for a control character in a name or value that goes into a header or the envelope. */
export function refuseControls(fields: unknown): void {
  walk(fields, []);
}

function walk(value: unknown, path: readonly (string | number)[]): void {
  if (isContent(path, value)) return;
  if (typeof value === "string") return refuseControlsIn(value, path);
  if (typeof value !== "object" || value === null) return;
  if (path.length >= MAX_DEPTH) {
    throw new DomainError("invalid-request", `${printPath(path)}: nested too deep`, printPath(path));
  }
  if (Array.isArray(value)) {
    for (const [i, entry] of value.entries()) walk(entry, [...path, i]);
    return;
  }
  for (const [key, entry] of Object.entries(value)) {
    refuseControlsIn(key, [...path, key]);
    walk(entry, [...path, key]);
  }
}

function refuseControlsIn(text: string, path: readonly (string | number)[]): void {
  const control = CONTROL.exec(text);
  if (!control && text.isWellFormed()) return;
  const where = printPath(path);
  const what = control
    ? `the character U+${control[0].charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`
    : "half of a surrogate pair";
  throw new DomainError(
    "invalid-header",
    `${where}: ${what} cannot be in a header or an address; remove it`,
    where,
  );
}

/** `text`, `raw.content`, `attachments[2].content`; but not the `filename` of any of them. */
function isContent(path: readonly (string | number)[], value: unknown): boolean {
  const field = String(path[0]);
  const last = String(path.at(-1));
  if (PART_LISTS.has(field)) return path.length === 3 && CONTENT_OF_PART.has(last);
  if (!CONTENT_FIELDS.has(field)) return false;
  return path.length === 1 ? typeof value === "string" : path.length === 2 && CONTENT_OF_PART.has(last);
}
