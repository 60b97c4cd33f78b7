/**
 * Messages and rows as attributes of items, and back. Names are short, for a write unit is 1 KiB of the whole item: a message
 * with its first row and its last attempt is meant to stay below it.
 *
 *   row      r recipient   n zone   st state   c createdAt   u dueAt   a attempts   f firstDeferredAt   t lease token
 *            lb leased by  lu leased until (0: not)   la last attempt   fi finishedAt   v return path of its message
 *            y way   fd when the sweep last fed it   ot when an operator last moved it
 *   message  v return path   at acceptedAt   b body   o origin   i Message-ID   m From   h subject   fb X-Fbl   dk DKIM keys   ys ways
 *            x what plugins keep   rc recipients   x8 smtputf8
 *            p purpose   r2 where its body is   mz rows in more than one zone   ns recipients suppressed from the start
 *   both     z s w d keys of indexes   ttl   k mark of the last write   g: given up, and never a message
 *
 * The state of a leased row is `q` with a lease upon it, so that leasing leaves the index alone. What a newer version adds to an
 * item stays there: writes name the attributes they change.
 */

import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import type { Address } from "../domain/address.ts";
import { domainOf } from "../domain/address.ts";
import type { MessageId, WorkerId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import type { AttemptRecord, QueueRow, RowState } from "../domain/queue-row.ts";
import { printReply } from "../domain/smtp-reply.ts";
import type { EpochMs } from "../domain/units.ts";
import type { StoredWay } from "../domain/way.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { Values } from "./batch-statement.ts";
import type { Value } from "./items.ts";
import {
  duePartition,
  dueSort,
  isMessageKey,
  KINDS,
  rowIdOfKey,
  shardOf,
  zonePartition,
  zoneSort,
} from "./keys.ts";
import type { IndexedState, ItemKey } from "./keys.ts";

export type Item = Record<string, Value>;

/** An item that this version cannot read: a fault of ours. */
export class StoredItemError extends Error {
  override readonly name = "StoredItemError";
}

type StoredState = "q" | "d" | "h" | "D" | "B" | "E" | "S" | "X";

export const LETTER_OF_STATE: Readonly<Record<Exclude<RowState, "leased">, StoredState>> = {
  queued: "q",
  deferred: "d",
  held: "h",
  delivered: "D",
  bounced: "B",
  expired: "E",
  suppressed: "S",
  dropped: "X",
};
const STATE_OF_LETTER = new Map<string, RowState>(
  Object.entries(LETTER_OF_STATE).map(([state, letter]) => [letter, state as RowState]),
);

/** `lu` of a row that nobody has leased. */
const NOT_LEASED = 0;
export const NO_LEASE = { lu: NOT_LEASED, lb: "" } as const;

const text = z.string();
const textOrNull = z.nullable(text);
const count = z.int();

const AttemptShape = z.looseObject({
  at: count,
  ms: z.number(),
  k: z.enum(["delivered", "deferred", "bounced"]),
  c: text.optional(),
  r: z.looseObject({ c: count, e: text.optional(), t: text }).optional(),
  d: text.optional(),
  s: text,
  g: text.optional(),
  mx: text.optional(),
  pe: text.optional(),
  eg: text.optional(),
  l: z.literal(true).optional(),
});

const flag = z.boolean().default(false);

/** Under the names of the domain: hardly any mail has one. */
const WayShape = z.looseObject({
  id: text,
  hosts: z.array(text).nullable().default(null),
  port: count.nullable().default(null),
  user: textOrNull.default(null),
  authMethod: textOrNull.default(null),
  credentials: text,
  secure: flag,
  lmtp: flag,
  http: textOrNull.default(null),
  skipSrs: flag,
  skipSts: flag,
  sealed: textOrNull.default(null),
});

const RowShape = z.looseObject({
  r: text,
  n: text,
  st: text,
  c: count,
  u: count,
  a: count,
  f: count.optional(),
  t: count,
  lb: text,
  lu: count,
  la: AttemptShape.optional(),
  fi: count.optional(),
  y: text.optional(),
});

const MessageShape = z.looseObject({
  v: textOrNull,
  at: count,
  b: z.looseObject({ n: count, h: count, k: text.optional(), e: z.boolean() }),
  o: z.looseObject({
    i: text,
    p: text,
    a: text.optional(),
    h: text.optional(),
    e: text.optional(),
    u: text.optional(),
    t: text.optional(),
  }),
  i: text,
  m: textOrNull,
  h: textOrNull,
  fb: text.optional(),
  dk: z.array(text).optional(),
  x: text.optional(),
  ys: z.array(WayShape).optional(),
  rc: count,
  x8: z.boolean(),
  p: z.enum(["submitted", "dsn"]),
});

// Brands and closed sets of words are given here: what is in the table was checked before it was written.

/** Null: the item is not a message, or stands for one that was given up. */
export function messageOfItem(item: Item): Message | null {
  const key = keyOf(item);
  if (!isMessageKey(key) || item["g"] === true) return null;
  const { b, o, ...stored } = parsed("message", MessageShape, item);
  return {
    id: key.PK.slice(KINDS.message.length) as MessageId,
    returnPath: stored.v as Address | null,
    acceptedAt: stored.at as EpochMs,
    body: { bytes: b.n, headerBytes: b.h, dkimBodyHash: b.k ?? null, eightBit: b.e },
    origin: {
      interface: o.i,
      protocol: o.p as Message["origin"]["protocol"],
      ip: o.a ?? null,
      host: o.h ?? null,
      helo: o.e ?? null,
      user: o.u ?? null,
      tls: o.t ?? null,
    },
    messageIdHeader: stored.i,
    from: stored.m as Address | null,
    subject: stored.h,
    fbl: stored.fb ?? null,
    dkimKeys: stored.dk ?? null,
    extra: stored.x === undefined ? null : (JSON.parse(stored.x) as Message["extra"]),
    ways: (stored.ys ?? null) as Message["ways"],
    recipientCount: stored.rc,
    smtputf8: stored.x8,
    purpose: stored.p,
  };
}

/** Null: the item holds no row. */
export function rowOfItem(item: Item): QueueRow | null {
  const id = rowIdOfKey(keyOf(item));
  if (id === null || item["g"] === true) return null;
  const stored = parsed("row", RowShape, item);
  const state = STATE_OF_LETTER.get(stored.st);
  if (!state)
    throw new StoredItemError(`row ${id} is in a state ${stored.st} that this version does not know`);
  const leased = stored.lu !== NOT_LEASED;
  const [messageId = "", seq = ""] = id.split(".");
  const recipient = stored.r as Address;
  return {
    id,
    messageId: messageId as MessageId,
    seq: Number.parseInt(seq, 16),
    zone: stored.n as ZoneName,
    recipient,
    domain: domainOf(recipient),
    way: (stored.y ?? null) as QueueRow["way"],
    state: leased ? "leased" : state,
    createdAt: stored.c as EpochMs,
    dueAt: stored.u as EpochMs,
    attempts: stored.a,
    firstDeferredAt: (stored.f ?? null) as EpochMs | null,
    leaseToken: stored.t,
    leasedBy: leased ? (stored.lb as WorkerId) : null,
    leasedUntil: leased ? (stored.lu as EpochMs) : null,
    lastAttempt: stored.la ? attemptOf(stored.la) : null,
    finishedAt: (stored.fi ?? null) as EpochMs | null,
  };
}

/** Where the body of a message is, in the words of the body store; null: the item does not say. */
export function bodyRefOfItem(item: Item): string | null {
  return typeof item["r2"] === "string" ? item["r2"] : null;
}

export function attributesOfMessage(message: Message, bodyRef: string | null): Values {
  const { body, origin } = message;
  return {
    v: message.returnPath,
    at: message.acceptedAt,
    b: withoutNulls({ n: body.bytes, h: body.headerBytes, k: body.dkimBodyHash, e: body.eightBit }),
    o: withoutNulls({
      i: origin.interface,
      p: origin.protocol,
      a: origin.ip,
      h: origin.host,
      e: origin.helo,
      u: origin.user,
      t: origin.tls,
    }),
    i: message.messageIdHeader,
    m: message.from,
    h: message.subject,
    ...(message.fbl === null ? {} : { fb: message.fbl }),
    ...(message.dkimKeys === null ? {} : { dk: [...message.dkimKeys] }),
    ...(message.extra === null ? {} : { x: JSON.stringify(message.extra) }),
    ...(message.ways === null ? {} : { ys: message.ways.map(attributeOfWay) }),
    rc: message.recipientCount,
    x8: message.smtputf8,
    p: message.purpose,
    ...(bodyRef === null ? {} : { r2: bodyRef }),
  };
}

/** A new row without its keys of indexes. The return path is for the events of rows that do not lie with their message. */
export function attributesOfRow(row: QueueRow, returnPath: Message["returnPath"]): Values {
  return withoutNulls({
    v: row.seq === 1 ? null : returnPath,
    r: row.recipient,
    n: row.zone,
    st: LETTER_OF_STATE[row.state as Exclude<RowState, "leased">],
    c: row.createdAt,
    u: row.dueAt,
    a: row.attempts,
    f: row.firstDeferredAt,
    t: row.leaseToken,
    ...NO_LEASE,
    la: row.lastAttempt && attributeOfAttempt(row.lastAttempt),
    fi: row.finishedAt,
    y: row.way,
  });
}

function attributeOfWay(way: StoredWay): Value {
  const { hosts, ...rest } = way;
  const said = Object.entries(rest).filter(([, value]) => value !== null && value !== false);
  return { ...Object.fromEntries(said), ...(hosts && { hosts: [...hosts] }) };
}

/** What a settle writes of its attempt. The words for the operator are left out where the reply has them. */
export function attributeOfAttempt(attempt: AttemptRecord): Value {
  const { reply, route } = attempt;
  return withoutNulls({
    at: attempt.at,
    ms: attempt.durationMs,
    k: attempt.kind,
    c: attempt.cause,
    r: reply && withoutNulls({ c: reply.code, e: reply.enhanced, t: reply.text }),
    d: reply && attempt.detail === printReply(reply) ? null : attempt.detail,
    s: attempt.status,
    g: attempt.category,
    mx: route.mx,
    pe: route.peer,
    eg: route.egress,
    l: attempt.late ?? null,
  });
}

/** Null: not what a settle writes of its attempt. */
export function attemptOfAttribute(value: Value | undefined): AttemptRecord | null {
  const read = AttemptShape.safeParse(value);
  return read.success ? attemptOf(read.data) : null;
}

function attemptOf(stored: z.infer<typeof AttemptShape>): AttemptRecord {
  const { r } = stored;
  const reply = r ? { code: r.c, enhanced: r.e ?? null, text: r.t } : null;
  return {
    at: stored.at as EpochMs,
    durationMs: stored.ms,
    kind: stored.k,
    cause: (stored.c ?? null) as AttemptRecord["cause"],
    reply,
    detail: stored.d ?? (reply ? printReply(reply) : ""),
    status: stored.s,
    category: (stored.g ?? null) as AttemptRecord["category"],
    route: { mx: stored.mx ?? null, peer: stored.pe ?? null, egress: stored.eg ?? null },
    ...(stored.l && { late: true }),
  };
}

/** The row is an open one, and in `byZone`. */
export function inZoneIndex(row: Pick<QueueRow, "id" | "messageId" | "zone">, state: IndexedState): Values {
  return { z: zonePartition(row.zone, shardOf(row.messageId)), s: zoneSort(state, row.id) };
}

/** The row waits for its time, and is in both indexes. */
export function inDueIndex(
  row: Pick<QueueRow, "id" | "messageId" | "zone">,
  dueAt: EpochMs,
  how: "signalled" | "silent",
): Values {
  return {
    ...inZoneIndex(row, "d"),
    w: duePartition(row.zone, shardOf(row.messageId)),
    d: dueSort(dueAt, how, row.id),
  };
}

/**
 * What must not have changed since the row was read for a write to it to hold. `leaseToken` tells of every lease, the end of
 * the lease of its being renewed, given back or taken away, and state and time of all else.
 */
export function asSeen(row: QueueRow): Values {
  return {
    t: row.leaseToken,
    lu: row.leasedUntil ?? NOT_LEASED,
    st: row.state === "leased" ? "q" : LETTER_OF_STATE[row.state],
    u: row.dueAt,
  };
}

export function keyOf(item: Item): ItemKey {
  const { PK, SK } = item;
  if (typeof PK !== "string" || typeof SK !== "string") throw new StoredItemError("an item has no key");
  return { PK, SK };
}

/** Of an attribute that holds a text, as the keys of an index do. */
export function textOf(attribute: AttributeValue | undefined): string {
  if (attribute?.S === undefined) throw new StoredItemError("an entry of an index has no sort key");
  return attribute.S;
}

function withoutNulls(values: Values): Record<string, Value> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
}

function parsed<S extends z.ZodType>(what: string, shape: S, item: Item): z.infer<S> {
  const result = shape.safeParse(item);
  if (result.success) return result.data;
  const { PK, SK } = keyOf(item);
  throw new StoredItemError(`cannot read ${what} ${PK} ${SK}: ${z.prettifyError(result.error)}`);
}
