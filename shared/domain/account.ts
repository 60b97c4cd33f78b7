/**
 * What is stored of an SMTP account: the hash of its password, and the senders it is limited to. One line of text: the hash alone,
 * or the hash, ` from=` and the senders with commas between them.
 */

import type { Address } from "./address.ts";
import { domainOf, parseAddress, parseDomain } from "./address.ts";
import type { HeaderList } from "./headers.ts";
import { addressesOf } from "./headers.ts";
import type { PasswordHash } from "./password.ts";
import { parsePasswordHash } from "./password.ts";
import { KIB } from "./units.ts";

export interface Account {
  readonly passwordHash: PasswordHash;
  /** Domains and addresses that its mail may come from (RFC 6409 §6.1); null: any. */
  readonly senders: readonly string[] | null;
}

const LIMITED = " from=";
/** A From longer than this is not read. */
const MAX_FROM_CHARS = 8 * KIB;

export function printAccount({ passwordHash, senders }: Account): string {
  return senders === null ? passwordHash : `${passwordHash}${LIMITED}${senders.join(",")}`;
}

/** Null: not what `printAccount` makes. */
export function parseAccount(text: string): Account | null {
  const [hash = "", senders = null, ...more] = text.split(LIMITED);
  const passwordHash = parsePasswordHash(hash);
  if (passwordHash === null || senders === "" || more.length > 0) return null;
  return { passwordHash, senders: senders?.split(",") ?? null };
}

/** A domain or an address in the form in which it is stored. Null: it is neither, or could not be told from a list. */
export function parseSender(text: string): string | null {
  const sender = text.includes("@") ? parseAddress(text)?.toLowerCase() : parseDomain(text);
  return sender === undefined || sender === null || /[\s,]/.test(sender) ? null : sender;
}

/**
 * True: mail of the account may have this return path. `<>` always may, for reports and receipts. A domain does not stand for those
 * below it.
 */
export function maySendAs(senders: Account["senders"], returnPath: Address | null): boolean {
  if (senders === null || returnPath === null) return true;
  return senders.includes(domainOf(returnPath)) || senders.includes(returnPath.toLowerCase());
}

/**
 * True: mail of the account may have these headers. The reader sees From and not the return path, and by From the mail is signed:
 * all in it are to be the account's, one at least. Mail without a From names nobody.
 */
export function mayWriteAs(senders: Account["senders"], headers: HeaderList): boolean {
  const from = headers.filter(({ key }) => key === "from");
  if (senders === null || from.length === 0) return true;
  if (from.some(({ line }) => line.length > MAX_FROM_CHARS)) return false;
  const isOwn = (author: Address | null): boolean => author !== null && maySendAs(senders, author);
  const authors = addressesOf(from, ["from"]);
  return authors.length > 0 && authors.every(isOwn) && from.flatMap(shownIn).map(parseAddress).every(isOwn);
}

/** Whatever looks like an address outside quotes and comments: of a From that breaks the grammar, each reader sees another author. */
function shownIn({ line }: HeaderList[number]): string[] {
  const bare = line.replaceAll(/"(?:[^"\\]|\\.)*"/g, "q").replaceAll(/\((?:[^()\\]|\\.)*\)/g, " ");
  return bare.split(/[\s<>,;:()"]+/).filter((word) => word.indexOf("@") > 0);
}
