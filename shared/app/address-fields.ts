/** Address fields of a submission: strings, objects, groups and lists of them, read into mailboxes. What is none is refused. */

import addressparser from "nodemailer/lib/addressparser";

import type { Address } from "../domain/address.ts";
import { parseAddress } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import type { AddressFieldInput } from "./message-fields.ts";
import { quoted } from "./parse-input.ts";

export interface Mailbox {
  /** Display name; empty: none. */
  readonly name: string;
  readonly address: Address;
}

/** As the header is to show it. */
export type AddressItem = Mailbox | { readonly name: string; readonly group: readonly Mailbox[] };

/** Throws invalid-address with the path of the entry that is no address; `path` is the field's. */
export function readAddressField(input: AddressFieldInput | null | undefined, path: string): AddressItem[] {
  if (input === null || input === undefined) return [];
  if (typeof input === "string") return readAddressText(input, path);
  if (Array.isArray(input)) return input.flatMap((entry, i) => readAddressField(entry, `${path}[${i}]`));
  if ("group" in input) {
    const group = input.group.flatMap((entry, i) => readAddressField(entry, `${path}.group[${i}]`));
    return [{ name: input.name, group: mailboxesOf(group) }];
  }
  return [mailboxOf({ name: input.name ?? "", address: input.address }, path)];
}

/** Read an address list such as `Anna <anna@example.com>, ben@example.com` (RFC 5322 §3.4). */
export function readAddressText(text: string, path: string): AddressItem[] {
  return addressparser(text).map((entry) =>
    entry.group === undefined
      ? mailboxOf(entry, path)
      : { name: entry.name, group: flatMailboxes(entry.group).map((mailbox) => mailboxOf(mailbox, path)) },
  );
}

/** Groups opened. */
export function mailboxesOf(items: readonly AddressItem[]): Mailbox[] {
  return items.flatMap((item) => ("group" in item ? item.group : [item]));
}

/** One address and nothing else. */
export function readOneAddress(text: string, path: string): Address {
  const [mailbox, ...more] = mailboxesOf(readAddressText(text, path));
  if (mailbox && more.length === 0) return mailbox.address;
  throw notAnAddress(text, path);
}

type ParsedEntry = ReturnType<typeof addressparser>[number];

function flatMailboxes(entries: readonly ParsedEntry[]): { name: string; address: string }[] {
  return entries.flatMap((entry) => (entry.group === undefined ? [entry] : flatMailboxes(entry.group)));
}

function mailboxOf(entry: { name: string; address: string }, path: string): Mailbox {
  const address = parseAddress(entry.address);
  if (address === null) throw notAnAddress(entry.address === "" ? entry.name : entry.address, path);
  return { name: entry.name, address };
}

function notAnAddress(text: string, path: string): DomainError {
  return new DomainError("invalid-address", `${path}: ${quoted(text)} is not a mail address`, path);
}
