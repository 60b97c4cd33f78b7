/** The addresses of a header as plugins read and replace them (`app.validateAddress`), and those of a whole header block. */

import type { Headers } from "mailsplit";
import addressparser from "nodemailer/lib/addressparser";

import { parseAddress } from "../domain/address.ts";
import { decodeWords } from "../domain/encoded-words.ts";
import type { ParsedEnvelope } from "./views.ts";

export interface NamedAddress {
  readonly name: string;
  readonly address: string;
}

export interface ValidatedAddresses {
  /** Those that are addresses, groups opened. */
  readonly addresses: readonly NamedAddress[];
  /** Put these in place of the header's. */
  set(addresses: string | NamedAddress | readonly (string | NamedAddress)[]): void;
}

export function validateAddress(headers: Headers, key: string): ValidatedAddresses {
  return {
    addresses: headers.getDecoded(key).flatMap(({ value }) => addressesIn(value)),
    set(given) {
      const list = (Array.isArray(given) ? given : [given]) as readonly (string | NamedAddress)[];
      headers.update(titled(key), list.flatMap(readOne).map(printAddress).join(", "));
    },
  };
}

export function parsedEnvelope(headers: Headers): ParsedEnvelope {
  const all = (key: string): string[] =>
    validateAddress(headers, key).addresses.map(({ address }) => address);
  return {
    from: all("from")[0] ?? null,
    to: all("to"),
    cc: all("cc"),
    bcc: all("bcc"),
    replyTo: all("reply-to")[0] ?? null,
    sender: all("sender")[0] ?? null,
  };
}

function readOne(given: string | NamedAddress): readonly NamedAddress[] {
  return typeof given === "string" ? addressesIn(given) : [given];
}

function addressesIn(text: string): NamedAddress[] {
  return addressparser(text, { flatten: true }).flatMap(({ name, address }) => {
    const parsed = parseAddress(address);
    return parsed === null ? [] : [{ name: decodeWords(name), address: parsed }];
  });
}

/** RFC 5322 §3.4: a name of other than ASCII is an encoded word, any other with specials a quoted string. */
function printAddress({ name, address }: NamedAddress): string {
  if (name === "") return address;
  if (/[^\x20-\x7e]/.test(name)) return `=?UTF-8?B?${Buffer.from(name).toString("base64")}?= <${address}>`;
  const plain = /^[\w !#$%&'*+/=?^`{|}~-]+$/.test(name);
  return `${plain ? name : `"${name.replaceAll(/(["\\])/g, "\\$1")}"`} <${address}>`;
}

/** `reply-to` as `Reply-To`. */
function titled(key: string): string {
  return key.toLowerCase().replaceAll(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}
