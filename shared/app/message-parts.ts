/** The content of a message given as fields: text, html, attachments … checked and made ready for Nodemailer's composer. */

import type { MailComposerAttachment } from "nodemailer/lib/mail-composer";

import { DomainError } from "../domain/errors.ts";
import type { BodyInput, ContentInput, HeadersInput, PartInput } from "./message-fields.ts";
import { printPath, quoted } from "./parse-input.ts";

/** A part for the composer: its content is in memory, it names no file and no URL. */
export type Part = Omit<MailComposerAttachment, "content" | "raw"> & {
  content?: string | Buffer;
  raw?: string | Buffer;
  method?: string;
};

// RFC 2045 §5.1 token, with a slash between two for a media type, and parameters behind, which the composer quotes again
const MEDIA_TYPE = /^[!#$%&'*+.^_`{|}~0-9a-z-]+\/[!#$%&'*+.^_`{|}~0-9a-z-]+\s*(?:;.*)?$/i;
const TOKEN = /^[!#$%&'*+.^_`{|}~0-9a-z-]+$/i;
const HEADER_NAME = /^[!-9;-~]{1,76}$/; // RFC 5322 §2.2, and with its colon under the 78 of §2.1.1
const TRANSFER_ENCODINGS = ["7bit", "8bit", "binary", "base64", "quoted-printable"];
const DATA_URI = /^data:([^,]{0,1024}),(.*)$/s;

/** Null: the field is absent or empty. */
export function readBody(input: BodyInput | null | undefined, path: string): Part | null {
  if (input === null || input === undefined || input === "") return null;
  if (isContent(input)) return { content: contentOf(input, null, path) };
  return readPart(input, path);
}

export function readPart(input: PartInput, path: string): Part {
  const part: Part = {};
  readContent(input, path, part);
  const { contentType, contentTransferEncoding, contentDisposition, filename, cid, headers, method } = input;
  if (contentType)
    part.contentType = matching(
      MEDIA_TYPE,
      contentType,
      `${path}.contentType`,
      "a media type such as image/png",
    );
  if (contentTransferEncoding !== null && contentTransferEncoding !== undefined) {
    part.contentTransferEncoding = transferEncoding(
      contentTransferEncoding,
      `${path}.contentTransferEncoding`,
    );
  }
  if (contentDisposition) {
    part.contentDisposition = matching(
      TOKEN,
      contentDisposition,
      `${path}.contentDisposition`,
      "attachment or inline",
    );
  }
  if (filename !== null && filename !== undefined) part.filename = filename;
  if (cid) part.cid = matching(/^[^\s<>]+$/, cid.replaceAll(/^<|>$/g, ""), `${path}.cid`, "a Content-ID");
  if (headers) part.headers = readHeaders(headers, `${path}.headers`);
  if (method) part.method = matching(TOKEN, method, `${path}.method`, "an iCalendar method such as REQUEST");
  return part;
}

/** The bytes of a whole message given as `raw`. */
export function readRaw(input: BodyInput, path: string): Buffer {
  const part = readBody(input, path) ?? {};
  const bytes = part.content ?? part.raw ?? "";
  return typeof bytes === "string" ? Buffer.from(bytes) : bytes;
}

/** Header names and values for the composer, which encodes and folds them. */
export function readHeaders(input: HeadersInput, path: string): { key: string; value: never }[] {
  const pairs = Array.isArray(input)
    ? input.map(({ key, value }, i) => ({ key, value, path: `${path}[${i}]` }))
    : Object.entries(input).map(([key, value]) => ({ key, value, path: printPath([key], path) }));
  return pairs.flatMap(({ key, value, path }) => {
    if (!HEADER_NAME.test(key))
      throw new DomainError("invalid-header", `${path}: ${quoted(key)} is not a header name`, path);
    if (value === null) return [];
    return (Array.isArray(value) ? value : [value]).map((one) => ({
      key,
      value: headerValueOf(one) as never,
    }));
  });
}

function headerValueOf(
  value: string | number | boolean | { value: string | number | boolean; prepared?: boolean | undefined },
) {
  if (typeof value !== "object") return String(value);
  return { prepared: value.prepared === true, foldLines: true, value: String(value.value) };
}

function readContent(input: PartInput, path: string, part: Part): void {
  for (const key of ["path", "href"] as const) {
    const source = input[key];
    if (source === undefined || source === null || source === false || source === "") continue;
    return readDataUri(source, `${path}.${key}`, part);
  }
  if (input.raw !== null && input.raw !== undefined) {
    part.raw = contentOf(input.raw, null, `${path}.raw`);
    return;
  }
  if (input.content === null || input.content === undefined) {
    throw new DomainError("invalid-request", `${path}: has no content`, path);
  }
  part.content = contentOf(input.content, input.encoding ?? null, `${path}.content`);
}

/** A string in UTF-8 stays one, so that the composer can choose its transfer encoding; anything else becomes bytes. */
function contentOf(content: ContentInput, encoding: string | null, path: string): string | Buffer {
  if (typeof content !== "string") {
    if ("data" in content) return Buffer.from(content.data);
    throw content.path === undefined && content.href === undefined
      ? new DomainError("invalid-request", `${path}: expected a string`, path)
      : elsewhere(path);
  }
  const name = (encoding ?? "utf8").toLowerCase().replaceAll(/[-_\s]/g, "");
  if (["utf8", "ascii", "usascii"].includes(name)) return content;
  if (!Buffer.isEncoding(name)) {
    throw new DomainError(
      "invalid-request",
      `${path}: the encoding ${quoted(encoding ?? "")} is not known; use utf-8, base64 or hex`,
      path,
    );
  }
  // Buffer.from would stop at the first character it does not know, and the rest of the attachment would be gone
  const wrong = { base64: /[^A-Za-z0-9+/=_\s-]/, base64url: /[^A-Za-z0-9+/=_\s-]/, hex: /[^0-9a-f]/i }[
    name as string
  ];
  if (wrong?.test(content) === true || (name === "hex" && content.length % 2 === 1)) {
    throw new DomainError("invalid-body", `${path}: is not ${name}`, path);
  }
  return Buffer.from(content, name);
}

function readDataUri(source: unknown, path: string, part: Part): void {
  const match = typeof source === "string" ? DATA_URI.exec(source) : null;
  if (!match) {
    throw elsewhere(path);
  }
  const [type = "", ...options] = (match[1] as string).split(";");
  if (type !== "")
    part.contentType = matching(MEDIA_TYPE, type, path, "a data: URI with a media type such as image/png");
  part.content =
    options.at(-1)?.trim().toLowerCase() === "base64"
      ? contentOf(match[2] as string, "base64", path)
      : percentDecoded(match[2] as string, path);
}

function elsewhere(path: string): DomainError {
  return new DomainError(
    "file-access",
    `${path}: files and URLs are not read here; send the bytes in content`,
    path,
  );
}

function percentDecoded(text: string, path: string): Buffer {
  try {
    return Buffer.from(decodeURIComponent(text));
  } catch {
    throw new DomainError(
      "invalid-body",
      `${path}: the data: URI is not percent-encoded UTF-8; use ;base64`,
      path,
    );
  }
}

function transferEncoding(value: string | false, path: string): string | false {
  if (value === false || TRANSFER_ENCODINGS.includes(value.toLowerCase())) return value;
  throw new DomainError("invalid-header", `${path}: use one of ${TRANSFER_ENCODINGS.join(", ")}`, path);
}

function matching(pattern: RegExp, text: string, path: string, expected: string): string {
  if (pattern.test(text)) return text;
  throw new DomainError("invalid-header", `${path}: ${quoted(text)} is not ${expected}`, path);
}

function isContent(input: BodyInput): input is Extract<BodyInput, string | { data: unknown }> {
  return typeof input === "string" || "data" in input;
}
