/** Which waiting rows an operator means: by sender, recipient, age or what the last attempt met. */

import type { Address, Domain } from "../domain/address.ts";
import { domainOf, parseAddress, parseDomain } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import type { Message } from "../domain/message.ts";
import type { QueueRow } from "../domain/queue-row.ts";
import { printReply } from "../domain/smtp-reply.ts";
import type { EpochMs } from "../domain/units.ts";
import { DAY, HOUR, later, MINUTE, SECOND } from "../domain/units.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import { quoted } from "./parse-input.ts";

/** As it is asked for; what is left out does not matter. The zone is not among it: the store reads one zone or all. */
export interface MatchFields {
  readonly sender?: string | undefined;
  readonly domain?: string | undefined;
  readonly recipient?: string | undefined;
  readonly olderThan?: string | undefined;
  readonly error?: string | undefined;
}

export interface MatchedRow {
  readonly row: QueueRow;
  /** Null: it cannot be read. */
  readonly message: Message | null;
}

/** Those of up to `MAX_MESSAGES` rows that are meant, in order, with their messages. */
export type Match = (rows: readonly QueueRow[]) => Promise<MatchedRow[]>;

type Sender = { kind: "null" } | { kind: "address"; address: Address } | { kind: "domain"; domain: Domain };

const UNITS_MS: Readonly<Record<string, number>> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY };

/** Ages are counted back from `now`. Throws a `DomainError` for what is no address, domain or age. */
export function rowMatch(fields: MatchFields, { queue, now }: { queue: QueueStore; now: EpochMs }): Match {
  const sender = fields.sender === undefined ? null : readSender(fields.sender);
  const fits = rowTest(fields, now);
  return async (rows) => {
    const fitting = rows.filter(fits);
    const messages = await messagesOf(queue, fitting);
    return fitting
      .map((row) => ({ row, message: messages.get(row.messageId) ?? null }))
      .filter(({ message }) => sender === null || (message !== null && isFrom(message, sender)));
  };
}

/** `30s`, `15m`, `6h`, `2d`. Throws a `DomainError`. */
function readAgeMs(text: string): number {
  const [, count, unit = ""] = /^(\d{1,6})([smhd])$/.exec(text.trim()) ?? [];
  const unitMs = UNITS_MS[unit];
  if (unitMs !== undefined) return Number(count) * unitMs;
  const problem = `olderThan: ${quoted(text)} is no age; write 30s, 15m, 6h or 2d`;
  throw new DomainError("invalid-request", problem, "olderThan");
}

function rowTest(fields: MatchFields, now: EpochMs): (row: QueueRow) => boolean {
  const domain = fields.domain === undefined ? null : readDomain(fields.domain, "domain");
  const recipient = fields.recipient === undefined ? null : readAddress(fields.recipient, "recipient");
  const newest = fields.olderThan === undefined ? null : later(now, -readAgeMs(fields.olderThan));
  const error = fields.error?.toLowerCase() ?? null;
  return (row) =>
    (domain === null || row.domain === domain) &&
    (recipient === null || isSameMailbox(row.recipient, recipient)) &&
    (newest === null || row.createdAt <= newest) &&
    (error === null || hasMet(row, error));
}

function readSender(text: string): Sender {
  if (text.trim() === "<>") return { kind: "null" };
  return text.includes("@")
    ? { kind: "address", address: readAddress(text, "sender") }
    : { kind: "domain", domain: readDomain(text, "sender") };
}

function readAddress(text: string, field: string): Address {
  const address = parseAddress(text.trim());
  if (address !== null) return address;
  throw new DomainError("invalid-address", `${field}: ${quoted(text)} is not a mail address`, field);
}

function readDomain(text: string, field: string): Domain {
  const domain = parseDomain(text.trim());
  if (domain !== null) return domain;
  throw new DomainError("invalid-address", `${field}: ${quoted(text)} is not a domain name`, field);
}

function isFrom({ returnPath }: Message, sender: Sender): boolean {
  switch (sender.kind) {
    case "null":
      return returnPath === null;
    case "address":
      return returnPath !== null && isSameMailbox(returnPath, sender.address);
    case "domain":
      return returnPath !== null && domainOf(returnPath) === sender.domain;
  }
}

/** People write an address in any case. */
function isSameMailbox(a: Address, b: Address): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** `error` is in small letters. Rows that were never tried have met nothing. */
function hasMet({ lastAttempt }: QueueRow, error: string): boolean {
  if (!lastAttempt) return false;
  const { reply, detail, category, cause } = lastAttempt;
  const texts = [reply && printReply(reply), detail, category, cause];
  return texts.some((text) => text?.toLowerCase().includes(error) === true);
}

async function messagesOf(
  queue: QueueStore,
  rows: readonly QueueRow[],
): Promise<ReadonlyMap<string, Message>> {
  const messages = await queue.messages([...new Set(rows.map(({ messageId }) => messageId))]);
  return new Map(messages.flatMap((message) => (message ? [[message.id, message] as const] : [])));
}
