/** Nodemailer's `list` field as the List-* headers of RFC 2369, RFC 2919 and RFC 8058. Anything that is not a URL or an id is refused. */

import { encodeWord } from "nodemailer/lib/mime-funcs";

import { DomainError } from "../domain/errors.ts";
import type { MailFieldsInput } from "./message-fields.ts";
import { printPath, quoted } from "./parse-input.ts";

type ListInput = NonNullable<MailFieldsInput["list"]>;
type ListValue = NonNullable<ListInput[string]>;
interface ListEntry {
  readonly url: string;
  readonly comment: string | null;
  readonly path: string;
}

/** A header whose value goes out as it is. */
export interface PreparedHeader {
  readonly key: string;
  readonly value: { readonly prepared: true; readonly foldLines: true; readonly value: string };
}

const NAME = /^[a-z][a-z-]{0,40}$/;
const LIST_ID = /^[!-;=?-~]+$/;
const URL_TEXT = /^[!-;=?-~]+$/; // printable ASCII without blanks and angle brackets

/** One header for each key, several URLs joined in it (RFC 2369 §3: no more than one of each). */
export function listHeaders(list: ListInput): PreparedHeader[] {
  return Object.entries(list).flatMap(([name, value]) => {
    if (value === null) return [];
    const path = printPath(["list", name]);
    const key = name.trim().replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (!NAME.test(key))
      throw new DomainError(
        "invalid-header",
        `${path}: ${quoted(name)} is not the end of a List- header`,
        path,
      );
    const text = entriesOf(value, path)
      .map((entry) => printEntry(key, entry))
      .join(", ");
    return text === ""
      ? []
      : [{ key: `list-${key}`, value: { prepared: true, foldLines: true, value: text } }];
  });
}

function entriesOf(value: ListValue, path: string): ListEntry[] {
  if (Array.isArray(value)) return value.flatMap((entry, i) => entriesOf(entry, `${path}[${i}]`));
  if (typeof value === "string")
    return value.trim() === "" ? [] : [{ url: value.trim(), comment: null, path }];
  return [{ url: value.url.trim(), comment: value.comment ?? null, path }];
}

function printEntry(key: string, { url, comment, path }: ListEntry): string {
  if (key === "unsubscribe-post") return oneClick(url, path);
  if (key === "id") return printId(url, comment, path);
  if (key === "post" && url.toUpperCase() === "NO") return "NO"; // RFC 2369 §3.4: nobody may post
  return `<${listUrl(url, path)}>${comment ? ` (${printComment(comment)})` : ""}`;
}

/** RFC 8058 §3.1: there is only one value. */
function oneClick(value: string, path: string): string {
  if (value === "List-Unsubscribe=One-Click") return value;
  throw new DomainError(
    "invalid-header",
    `${path}: the only value is List-Unsubscribe=One-Click (RFC 8058)`,
    path,
  );
}

/** RFC 2919 §3: a name that looks like a domain, with a phrase before it. */
function printId(id: string, comment: string | null, path: string): string {
  const bare = id.replaceAll(/^<|>$/g, "").replace(/^[a-z]+:\/{0,2}/i, "");
  if (!LIST_ID.test(bare))
    throw new DomainError("invalid-header", `${path}: ${quoted(id)} is not a list id`, path);
  if (!comment) return `<${bare}>`;
  const phrase = isAscii(comment)
    ? `"${comment.replaceAll(/["\\]/g, String.raw`\$&`)}"`
    : encodeWord(comment, "Q", 52);
  return `${phrase} <${bare}>`;
}

/** A bare address is a mailto URL, anything else without a scheme an http URL, as Nodemailer has it. */
function listUrl(text: string, path: string): string {
  const bare = text.replaceAll(/^<|>$/g, "");
  if (!URL_TEXT.test(bare)) {
    throw new DomainError(
      "invalid-header",
      `${path}: ${quoted(text)} is not a URL; percent-encode what is not ASCII`,
      path,
    );
  }
  if (/^(?:https?|mailto|ftp):/i.test(bare)) return bare;
  return /^[^@]+@[^@]+$/.test(bare) ? `mailto:${bare}` : `http://${bare}`;
}

function printComment(comment: string): string {
  return isAscii(comment) ? comment.replaceAll(/[()\\]/g, String.raw`\$&`) : encodeWord(comment, "Q", 52);
}

function isAscii(text: string): boolean {
  return /^[\t\x20-\x7e]*$/.test(text);
}
