/**
 * From the table's stream of changes to events of mail: a pure function of one changed item as it is after the change. A write
 * that tells of something says so in the first letter of its mark (`MARK`), which the next write takes away again. So the stream
 * needs new images only, and each fact is told by the write that made it, once.
 *
 * Events of one message come in the order of its writes as far as they are writes of one item; those of two rows may change
 * places. The same record gives the same events whenever it is read.
 */

import * as z from "zod";

import type { Address } from "../domain/address.ts";
import type { EventType, MailEvent } from "../domain/event.ts";
import { rowIdOf } from "../domain/ids.ts";
import { isFinal } from "../domain/queue-row.ts";
import type { FinalState, QueueRow } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import { MARK } from "./batch-statement.ts";
import type { Attributes } from "./items.ts";
import { unmarshal } from "./items.ts";
import { isMessageKey, KINDS } from "./keys.ts";
import { attemptOfAttribute, attributeOfAttempt, keyOf, messageOfItem, rowOfItem } from "./row-item.ts";
import type { Item } from "./row-item.ts";

/**
 * What the first letter of a mark says. A drop by a worker is of an attempt, one by an operator is not. Each reader of the stream
 * is given the letters that it has a use for and no others (stream-readers.ts).
 */
export const TELLS = {
  reception: "r",
  /** Of mail to one recipient, whose signal is left to the reader of the stream (stream-signals.ts). */
  "reception-to-signal": "R",
  /** Of mail with recipients who were suppressed from the start. */
  "reception-with-suppressed": "s",
  delivery: "D",
  deferral: "d",
  bounce: "B",
  expiry: "E",
  suppression: "S",
  drop: "X",
  "operator-drop": "x",
  hold: "h",
  release: "l",
} as const;

/** What a settle tells of. */
export const TELLS_OF_STATE: Readonly<Record<FinalState | "deferred", string>> = {
  delivered: TELLS.delivery,
  deferred: TELLS.deferral,
  bounced: TELLS.bounce,
  expired: TELLS.expiry,
  suppressed: TELLS.suppression,
  dropped: TELLS.drop,
};

const RECEPTIONS: ReadonlySet<string> = new Set([
  TELLS.reception,
  TELLS["reception-to-signal"],
  TELLS["reception-with-suppressed"],
]);

const EVENT_OF_LETTER = new Map<string, EventType>([
  [TELLS.delivery, "delivery"],
  [TELLS.deferral, "deferral"],
  [TELLS.bounce, "bounce"],
  [TELLS.expiry, "expiry"],
  [TELLS.suppression, "suppression"],
  [TELLS.drop, "drop"],
  [TELLS["operator-drop"], "drop"],
  [TELLS.hold, "hold"],
  [TELLS.release, "release"],
]);

/** The part of a record of the stream that is looked at; Lambda's `DynamoDBRecord` fits. */
export interface StreamRecord {
  readonly dynamodb?: { readonly NewImage?: Readonly<Record<string, object>> | undefined } | undefined;
}

/** What the change of an item tells; empty: nothing that happened to mail. Throws for an item that it cannot read. */
export function eventsOfRecord({ dynamodb }: StreamRecord): MailEvent[] {
  if (!dynamodb?.NewImage) return []; // the end of an item
  return eventsOfItem(unmarshal(dynamodb.NewImage as Attributes));
}

function eventsOfItem(item: Item): MailEvent[] {
  const mark = item[MARK];
  if (!keyOf(item).PK.startsWith(KINDS.message) || typeof mark !== "string") return [];
  const letter = mark.charAt(0);
  if (RECEPTIONS.has(letter)) return receptionEvents(item);
  const type = EVENT_OF_LETTER.get(letter);
  const row = type && rowOfItem(item);
  if (!type || !row) return [];
  const isOperators = letter === TELLS["operator-drop"] || type === "hold" || type === "release";
  const at = isOperators ? Number(item["ot"]) : (row.finishedAt ?? row.lastAttempt?.at ?? 0);
  return [
    {
      ...eventOfRow(type, row, returnPathOf(item)),
      at: at as EpochMs,
      attempt: isOperators ? null : row.lastAttempt,
    },
  ];
}

/**
 * The row that a new message asks the reader of the stream to signal; null: none. Throws for an item that it cannot read.
 *
 * Only this record says that a row may be taken and that nobody has signalled it. Rows of a message with many recipients are written
 * before their message is accepted; whoever accepts it, gives a row back or moves it by hand sends the signals himself.
 */
export function rowToSignal({ dynamodb }: StreamRecord): QueueRow | null {
  if (!dynamodb?.NewImage) return null;
  const item = unmarshal(dynamodb.NewImage as Attributes);
  const mark = item[MARK];
  if (typeof mark !== "string" || !mark.startsWith(TELLS["reception-to-signal"])) return null;
  return isMessageKey(keyOf(item)) ? rowOfItem(item) : null;
}

/** The message, and its recipients that were suppressed or dropped from the start. */
function receptionEvents(item: Item): MailEvent[] {
  const message = messageOfItem(item);
  const first = rowOfItem(item);
  if (!message || !first) return [];
  const { id: messageId, acceptedAt: at, returnPath } = message;
  const reception: MailEvent = {
    type: "reception",
    at,
    messageId,
    rowId: null,
    zone: item["mz"] === true ? null : first.zone, // of a message in many zones it is of none
    returnPath,
    recipient: null,
    attempts: 0,
    attempt: null,
  };
  const own = isFinal(first.state) ? [eventOfRow(typeOfEnd(first.state), first, returnPath)] : [];
  const others = SuppressedShape.parse(item["ns"] ?? []).map((told): MailEvent => ({
    type: typeOfEnd(told.s ?? "suppressed"),
    at,
    messageId,
    rowId: rowIdOf(messageId, told.q),
    zone: told.n as ZoneName,
    returnPath,
    recipient: told.r as Address,
    attempts: 0,
    attempt: attemptOfAttribute(told.la as Item | undefined),
  }));
  return [reception, ...own.map((event) => ({ ...event, at })), ...others];
}

const SuppressedShape = z.array(
  z.looseObject({
    q: z.int(),
    r: z.string(),
    n: z.string(),
    s: z.string().optional(),
    la: z.unknown().optional(),
  }),
);

/** What the record of a new message says of a recipient whose row was final from the start; `s` left out: he was suppressed. */
export function suppressedAttribute({ seq, recipient, zone, state, lastAttempt }: QueueRow): Item {
  return {
    q: seq,
    r: recipient,
    n: zone,
    ...(state === "suppressed" ? {} : { s: state }),
    ...(lastAttempt ? { la: attributeOfAttempt(lastAttempt) } : {}),
  };
}

function typeOfEnd(state: string): EventType {
  return state === "dropped" ? "drop" : "suppression";
}

function eventOfRow(type: EventType, row: QueueRow, returnPath: Address | null): MailEvent {
  return {
    type,
    at: row.createdAt,
    messageId: row.messageId,
    rowId: row.id,
    zone: row.zone,
    returnPath,
    recipient: row.recipient,
    attempts: row.attempts,
    attempt: row.lastAttempt,
  };
}

function returnPathOf(item: Item): Address | null {
  return typeof item["v"] === "string" ? (item["v"] as Address) : null;
}
