/**
 * Nodemailer's message fields → one submission: envelope, time, and the message composed as it will be stored.
 *
 * Everything is checked before anything is composed, and everything that is wrong is the caller's mistake with its path
 * (message-fields.ts has the shapes). Composing streams: what is held is the fields, not the message.
 */

import MailComposer from "nodemailer/lib/mail-composer";
import type { MailComposerOptions } from "nodemailer/lib/mail-composer";

import type { Address } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import { refuseLongLines } from "../domain/line-length.ts";
import { parseMailDate } from "../domain/mail-date.ts";
import type { EpochMs } from "../domain/units.ts";
import { later } from "../domain/units.ts";
import type { AddressItem, Mailbox } from "./address-fields.ts";
import { mailboxesOf, readAddressField } from "./address-fields.ts";
import { listHeaders } from "./list-headers.ts";
import type { AddressFieldInput, MailFieldsInput } from "./message-fields.ts";
import { MailFields, refuseControls } from "./message-fields.ts";
import type { Part } from "./message-parts.ts";
import { readBody, readHeaders, readPart, readRaw } from "./message-parts.ts";
import { parseInput, quoted } from "./parse-input.ts";

/** What is left to say of a mail once its fields are read. Null in an envelope: the headers of `source` have to tell. */
export interface Composed {
  readonly envelope: { readonly from: ReturnPath | null; readonly to: readonly Address[] | null };
  readonly notBefore: EpochMs | null;
  readonly source: AsyncIterable<Buffer>;
}

/** `address` null: `<>`. */
export interface ReturnPath {
  readonly address: Address | null;
}

export interface ComposeLimits {
  readonly now: EpochMs;
  readonly maxDelayMs: number;
}

/** A time before this is a delay that somebody took for a time. */
const FIRST_TIME = Date.UTC(2001, 0);
/** What clients say who always send the field, and the defaults of forms. */
const NO_DELAY: ReadonlySet<string | number | false> = new Set([0, "0", "", false]);

/** Throws a DomainError with the path of the field that is wrong. */
export function composeFields(input: unknown, limits: ComposeLimits): Composed {
  refuseControls(input);
  const fields = liftAddressHeaders(parseInput(MailFields, input));
  const addresses = readAddresses(fields);
  return {
    envelope: envelopeOf(fields, addresses),
    notBefore: readTime(fields.deferDelivery, limits),
    source: fields.raw ? once(readRaw(fields.raw, "raw")) : compose(fields, addresses),
  };
}

const ADDRESS_FIELDS = ["from", "sender", "to", "cc", "bcc", "replyTo"] as const;
type AddressFieldName = (typeof ADDRESS_FIELDS)[number];
type Addresses = Readonly<Record<AddressFieldName, readonly AddressItem[]>>;

function readAddresses(fields: MailFieldsInput): Addresses {
  return Object.fromEntries(
    ADDRESS_FIELDS.map((name) => [name, readAddressField(fields[name], name)]),
  ) as unknown as Addresses;
}

/**
 * An address header among `headers` counts as the field of that name, as with Nodemailer, where the field wins. Were it left
 * there, a Bcc would be taken out of the message and its recipient never told.
 */
function liftAddressHeaders(fields: MailFieldsInput): MailFieldsInput {
  if (!fields.headers) return fields;
  const lifted = { ...fields };
  const stays = (key: string, value: unknown): boolean => {
    const plain = key.trim().toLowerCase().replaceAll("-", "");
    const name = ADDRESS_FIELDS.find((field) => field.toLowerCase() === plain);
    if (name !== undefined && value !== null) lifted[name] ??= headerTexts(value);
    return name === undefined;
  };
  lifted.headers = Array.isArray(fields.headers)
    ? fields.headers.filter(({ key, value }) => stays(key, value))
    : Object.fromEntries(Object.entries(fields.headers).filter(([key, value]) => stays(key, value)));
  return lifted;
}

function headerTexts(value: unknown): AddressFieldInput {
  const texts = (Array.isArray(value) ? value : [value]) as unknown[];
  return texts.map((one) =>
    String(typeof one === "object" && one !== null && "value" in one ? one.value : one),
  );
}

/** The envelope as given, else the addresses of the headers. Bcc is a recipient like any other. */
function envelopeOf(fields: MailFieldsInput, addresses: Addresses): Composed["envelope"] {
  const given = fields.envelope;
  const to = (["to", "cc", "bcc"] as const).flatMap((name) =>
    readAddressField(given?.[name], `envelope.${name}`),
  );
  const recipients = to.length > 0 ? to : [...addresses.to, ...addresses.cc, ...addresses.bcc];
  return {
    from: returnPathOf(given?.from, addresses),
    to: recipients.length > 0 || !fields.raw ? mailboxesOf(recipients).map(({ address }) => address) : null,
  };
}

function returnPathOf(
  given: AddressFieldInput | false | null | undefined,
  addresses: Addresses,
): ReturnPath | null {
  if (given === false || given === null || given === "" || given === "<>") return { address: null };
  const source =
    given === undefined ? [...addresses.from, ...addresses.sender] : readAddressField(given, "envelope.from");
  const first = mailboxesOf(source)[0];
  if (first) return { address: first.address };
  return given === undefined ? null : { address: null };
}

/** Null: at once. A time gone by is at once too. */
function readTime(
  value: MailFieldsInput["deferDelivery"],
  { now, maxDelayMs }: ComposeLimits,
): EpochMs | null {
  if (value === null || value === undefined || NO_DELAY.has(value)) return null;
  const path = "deferDelivery";
  const text = String(value);
  const at = /^-?\d+$/.test(text) ? Number(text) : parseMailDate(text);
  if (at === null || at < FIRST_TIME) {
    const wanted = "is not a time; give milliseconds since 1970 or ISO 8601 such as 2026-12-24T18:00:00Z";
    throw new DomainError("invalid-request", `${path}: ${quoted(text)} ${wanted}`, path);
  }
  if (at > later(now, maxDelayMs)) {
    const latest = new Date(later(now, maxDelayMs)).toISOString();
    throw new DomainError("invalid-request", `${path}: is too far ahead; the latest time is ${latest}`, path);
  }
  return at > now ? (at as EpochMs) : null;
}

function compose(fields: MailFieldsInput, addresses: Addresses): AsyncIterable<Buffer> {
  if (addresses.from.length === 0 && addresses.sender.length === 0) {
    throw new DomainError("invalid-request", "from: is missing; name the author of the mail", "from");
  }
  const options = composerOptions(fields, addresses);
  try {
    return refuseLongLines(stream(new MailComposer(options).compile()));
  } catch (error) {
    if (isCode(error, "EOTP"))
      throw new DomainError("invalid-request", `otp: ${(error as Error).message}`, "otp");
    throw error;
  }
}

function composerOptions(fields: MailFieldsInput, addresses: Addresses): MailComposerOptions {
  const html = readBody(fields.html, "html");
  const images: Part[] = fields.attachDataUrls === true && html ? extractImages(html) : [];
  const attachments = (fields.attachments ?? []).map((part, i) => readPart(part, `attachments[${i}]`));
  return {
    ...Object.fromEntries(
      ADDRESS_FIELDS.map((name) => [
        name,
        addresses[name].length > 0 ? addresses[name].flatMap(composable) : undefined,
      ]),
    ),
    subject: fields.subject ?? undefined,
    text: readBody(fields.text, "text") ?? undefined,
    html: html ?? undefined,
    watchHtml: readBody(fields.watchHtml, "watchHtml") ?? undefined,
    amp: readBody(fields.amp, "amp") ?? undefined,
    icalEvent: readBody(fields.icalEvent, "icalEvent") ?? undefined,
    attachments: [...attachments, ...images],
    alternatives: (fields.alternatives ?? []).map((part, i) => readPart(part, `alternatives[${i}]`)),
    headers: headersOf(fields),
    messageId: msgId(fields.messageId, "messageId"),
    inReplyTo: fields.inReplyTo ?? undefined,
    references: fields.references ?? undefined,
    date: dateOf(fields.date),
    encoding: fields.encoding ?? undefined,
    textEncoding: fields.textEncoding ?? undefined,
    boundaryPrefix: boundary(fields.boundaryPrefix, "boundaryPrefix"),
    baseBoundary: boundary(fields.baseBoundary, "baseBoundary"),
    otp: fields.otp ?? undefined,
    newline: "windows",
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/**
 * The composer takes mailboxes as they are and groups as text only: one that is an object would vanish from the header. A group without
 * a name is none (RFC 5322 §3.4).
 */
function composable(item: AddressItem): readonly (Mailbox | string)[] {
  if (!("group" in item)) return [item];
  if (item.name.trim() === "") return item.group;
  const members = item.group.map(({ name, address }) =>
    name === "" ? address : `${quotedName(name)} <${address}>`,
  );
  return [`${quotedName(item.name)}:${members.join(", ")};`];
}

/** RFC 5322 §3.2.4 */
function quotedName(name: string): string {
  return `"${name.replaceAll(/["\\]/g, "\\$&")}"`;
}

const PRIORITIES = {
  high: [
    { key: "X-Priority", value: "1 (Highest)" },
    { key: "X-MSMail-Priority", value: "High" },
    { key: "Importance", value: "High" },
  ],
  low: [
    { key: "X-Priority", value: "5 (Lowest)" },
    { key: "X-MSMail-Priority", value: "Low" },
    { key: "Importance", value: "Low" },
  ],
  normal: [],
} as const;

/** The composer leaves `list`, `priority` and `xMailer` to Nodemailer's mailer, which is not here. */
function headersOf(fields: MailFieldsInput): MailComposerOptions["headers"] {
  const custom = fields.headers ? readHeaders(fields.headers, "headers") : [];
  const contentType = custom.find(({ key }) => key.toLowerCase() === "content-type");
  if (contentType) {
    const text = "headers: Content-Type is made from the content; use html, attachments or raw instead";
    throw new DomainError("invalid-header", text, "headers");
  }
  const own: { key: string; value: string }[] = [...PRIORITIES[fields.priority ?? "normal"]];
  if (fields.xMailer) own.push({ key: "X-Mailer", value: fields.xMailer });
  return [
    ...custom,
    ...own,
    ...(fields.list ? listHeaders(fields.list) : []),
  ] as MailComposerOptions["headers"];
}

function msgId(value: string | null | undefined, path: string): string | undefined {
  if (!value) return undefined;
  if (/^<?[^\s<>@]+@[^\s<>@]+>?$/.test(value.trim())) return value.trim();
  throw new DomainError(
    "invalid-header",
    `${path}: ${quoted(value)} is not a Message-ID such as <id@example.com>`,
    path,
  );
}

function dateOf(value: string | number | null | undefined): Date | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  const at = typeof value === "number" ? value : parseMailDate(value);
  const date = new Date(at ?? Number.NaN);
  if (!Number.isNaN(date.getTime()) && date.getUTCFullYear() >= 1970 && date.getUTCFullYear() <= 9999)
    return date;
  const text = "is not a date; give ISO 8601 such as 2026-11-20T22:53:58Z, or the form of mail headers";
  throw new DomainError("invalid-request", `date: ${quoted(String(value))} ${text}`, "date");
}

/** RFC 2046 §5.1.1: 70 characters in all, of which the composer adds some. */
function boundary(value: string | null | undefined, path: string): string | undefined {
  if (!value) return undefined;
  if (/^[0-9A-Za-z'()+_,./:=?-]{1,24}$/.test(value)) return value;
  throw new DomainError("invalid-header", `${path}: use at most 24 letters, digits and '()+_,-./:=?`, path);
}

// As Nodemailer finds them; all repetitions are bounded, so that no html costs more than its length.
const DATA_IMAGE = /(<img\b[^<>]{0,1024} src\s{0,20}=[\s"']{0,20})(data:[^;"'<>\s]{1,255};[^"'>\s]+)/gi;

/** Data: images of the html become attachments that it refers to by Content-ID. */
function extractImages(html: Part): Part[] {
  const images: Part[] = [];
  if (html.content === undefined) return images;
  const text = typeof html.content === "string" ? html.content : html.content.toString("utf8");
  html.content = text.replaceAll(DATA_IMAGE, (_all, before: string, uri: string) => {
    const cid = `image-${images.length + 1}@attached.invalid`;
    const [, extension = "bin"] = /^data:image\/([a-z0-9]+)/i.exec(uri) ?? [];
    images.push(readPart({ path: uri, cid, filename: `image-${images.length + 1}.${extension}` }, "html"));
    return `${before}cid:${cid}`;
  });
  return images;
}

/** The stream is opened when it is read, so that a submission that fails before leaves nothing open. */
async function* stream(message: ReturnType<MailComposer["compile"]>): AsyncIterable<Buffer> {
  try {
    yield* message.createReadStream() as AsyncIterable<Buffer>;
  } catch (error) {
    if (!isCode(error, "EFILEACCESS") && !isCode(error, "EURLACCESS")) throw error;
    throw new DomainError("file-access", "files and URLs are not read here; send the bytes in content"); // the second line of defence
  }
}

async function* once(bytes: Buffer): AsyncIterable<Buffer> {
  yield bytes;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
