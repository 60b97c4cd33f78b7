/** What an operator can see: counts, lists, one message with its fate, its stored bytes, blocked addresses, zones, events. */

import type { NumberedEvent } from "../domain/event.ts";
import { DomainError } from "../domain/errors.ts";
import type { MessageId } from "../domain/ids.ts";
import { parseMessageId, parseRowId } from "../domain/ids.ts";
import type { Message } from "../domain/message.ts";
import { originFields } from "../domain/message.ts";
import type { AttemptRecord, QueueRow, RowState } from "../domain/queue-row.ts";
import { isFinal } from "../domain/queue-row.ts";
import { printReply } from "../domain/smtp-reply.ts";
import type { Zone, ZoneName } from "../domain/zone.ts";
import type { BodyLinks } from "../ports/body-links.ts";
import type { BodyStore } from "../ports/body-store.ts";
import type { EventLog } from "../ports/event-log.ts";
import type { BlockedEgress, LimitStore } from "../ports/limit-store.ts";
import type { QueueStore, ZoneCounts } from "../ports/queue-store.ts";
import { storedHeaders } from "./stored-headers.ts";
import { describeWay } from "./ways.ts";

export interface QueryDeps {
  readonly queue: QueueStore;
  readonly bodies: BodyStore;
  readonly limits: LimitStore;
  readonly events: EventLog;
  readonly zones: ReadonlyMap<ZoneName, Zone>;
}

/** `active` is queued or being sent now, `held` stopped by an operator. */
export type QueueType = "active" | "deferred" | "held";

const STATES: Readonly<Record<QueueType, readonly RowState[]>> = {
  active: ["queued", "leased"],
  deferred: ["deferred"],
  held: ["held"],
};

/** Name that stands for all zones in answers, and in a request too unless a zone is called so. */
const ALL_ZONES = "all";

export async function countRows({ queue, zones }: QueryDeps, zoneText: string | undefined) {
  const zone = readZone(zones, zoneText);
  const counts = (await queue.counts()).filter((count) => zone === null || count.zone === zone);
  const counter = (rowsOf: (count: ZoneCounts) => number) => {
    const entries = counts
      .map((count) => ({ key: count.zone, value: rowsOf(count) }))
      .filter(({ value }) => value > 0)
      .toSorted((a, b) => (a.key < b.key ? -1 : 1));
    return { entries, rows: entries.reduce((sum, { value }) => sum + value, 0) };
  };
  return {
    zone: zone ?? ALL_ZONES,
    active: counter(({ queued, leased }) => queued + leased),
    deferred: counter(({ deferred }) => deferred),
    held: counter(({ held }) => held),
  };
}

export interface QueuedQuery {
  readonly type: QueueType;
  readonly zone: string | undefined;
  readonly order: "asc" | "desc";
  readonly pageSize: number;
  readonly cursor: string | undefined;
  /** ZoneMTA's offset. */
  readonly start: string | undefined;
}

export async function listQueued({ queue, zones }: QueryDeps, query: QueuedQuery) {
  if (query.start !== undefined && query.start !== "0") {
    throw new DomainError(
      "invalid-request",
      "start: lists have no offset; pass the cursor of the page before",
      "start",
    );
  }
  const zone = readZone(zones, query.zone);
  const page = await queue.list({
    zone,
    states: STATES[query.type],
    order: query.order === "asc" ? "oldest-first" : "newest-first",
    limit: query.pageSize,
    cursor: query.cursor ?? null,
  });
  return { zone: zone ?? ALL_ZONES, type: query.type, list: page.rows.map(listEntry), cursor: page.cursor };
}

/** With `seq`, that recipient alone. Null: no such message or recipient, or its history has expired. */
export async function viewMessage(
  { queue, bodies, zones }: QueryDeps,
  idText: string,
  seqText: string | undefined,
) {
  const wanted = readRowPath(idText, seqText);
  const found = wanted && (await queue.get(wanted.id));
  if (!found) return null;
  const rows = found.rows.filter(({ seq }) => wanted.seq === null || seq === wanted.seq);
  if (rows.length === 0) return null;
  return {
    meta: { ...metaOf(found.message, found.rows), ...(await storedHeaders(bodies, found.message)) },
    messages: rows.map((row) => ({ ...rowView(row, found.message), ...noteOn(row, zones) })),
  };
}

/**
 * `elsewhere`: at that URL, for a short time · `too-large`: to be handed through here, and only the whole message is to be had elsewhere ·
 * `gone`: the message is known, its bytes are not kept any more.
 */
export type Fetched =
  | { kind: "found"; bytes: number; chunks: AsyncIterable<Buffer> }
  | { kind: "elsewhere"; url: string }
  | { kind: "too-large" }
  | { kind: "missing" }
  | { kind: "gone" };

export interface FetchRequest {
  readonly part: "message" | "content";
  readonly method: "GET" | "HEAD";
}

/** Where a server cannot hand through more than so much. */
export interface LargeBodies {
  readonly links: BodyLinks;
  readonly aboveBytes: number;
}

export async function fetchBody(
  { queue, bodies, large = null }: QueryDeps & { readonly large?: LargeBodies | null },
  idText: string,
  { part, method }: FetchRequest,
): Promise<Fetched> {
  const id = parseMessageId(idText);
  const found = id && (await queue.get(id));
  if (!found) return { kind: "missing" };
  const { bytes, headerBytes } = found.message.body;
  const from = part === "content" ? Math.min(headerBytes, bytes) : 0;
  if (large && bytes - from > large.aboveBytes) {
    if (part === "content") return { kind: "too-large" }; // a URL cannot be signed for a part of an object
    const link = await large.links.link(id, method);
    return link ? { kind: "elsewhere", url: link.url } : { kind: "gone" };
  }
  const chunks = await bodies.get(id, { from, to: bytes });
  return chunks ? { kind: "found", bytes: bytes - from, chunks } : { kind: "gone" };
}

export async function listBlocked({ limits }: Pick<QueryDeps, "limits">) {
  const blocked = await limits.blocked();
  return {
    list: blocked.map(({ address, site, response, createdAt, until }) => ({
      id: blockId({ address, site }),
      address,
      domain: site,
      response,
      created: iso(createdAt),
      until: iso(until),
    })),
  };
}

/** What a block is called in answers. */
export function blockId({ address, site }: Pick<BlockedEgress, "address" | "site">): string {
  return `${address} ${site}`;
}

export function listZones({ zones }: Pick<QueryDeps, "zones">, includeDisabled: boolean) {
  return [...zones.values()]
    .filter(({ disabled }) => includeDisabled || !disabled)
    .map(({ name, disabled }) => ({ name, disabled }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

export async function listEvents({ events }: QueryDeps, { after, limit }: { after: number; limit: number }) {
  const page = await events.read(after, limit);
  return { events: page.map(eventView), after: page.at(-1)?.number ?? after };
}

/** Message and recipient of a path; null: no message can have it. `seq` null: all recipients. */
export function readRowPath(
  idText: string,
  seqText: string | undefined,
): { id: MessageId; seq: number | null } | null {
  const id = parseMessageId(idText);
  if (id === null || seqText === undefined) return id && { id, seq: null };
  const row = parseRowId(`${id}.${seqText.padStart(3, "0")}`);
  return row && { id, seq: row.seq };
}

/** Null: all zones. A zone that is not configured any more may still have rows, so any name is taken. */
export function readZone(zones: ReadonlyMap<ZoneName, Zone>, text: string | undefined): ZoneName | null {
  const name = text?.trim().toLowerCase() as ZoneName | undefined;
  if (name === undefined || name === "") return null;
  return name === ALL_ZONES && !zones.has(name) ? null : name;
}

export function listEntry(row: QueueRow) {
  return {
    id: row.messageId,
    seq: seqText(row.seq),
    zone: row.zone,
    recipient: row.recipient,
    status: row.state.toUpperCase(),
    created: iso(row.createdAt),
    queued: iso(row.dueAt),
    deferred: row.attempts,
  };
}

function metaOf(message: Message, rows: readonly QueueRow[]) {
  const { origin, body } = message;
  return {
    id: message.id,
    from: message.returnPath ?? "",
    to: rows.map(({ recipient }) => recipient),
    ...originFields(origin),
    time: message.acceptedAt,
    tls: origin.tls,
    messageId: message.messageIdHeader,
    headerFrom: message.from,
    subject: message.subject,
    fbl: message.fbl,
    size: body.bytes,
    bodySize: body.bytes - body.headerBytes,
    dkim: body.dkimBodyHash === null ? null : { hashAlgo: "sha256", bodyHash: body.dkimBodyHash },
    smtputf8: message.smtputf8,
    purpose: message.purpose,
  };
}

function rowView(row: QueueRow, { ways }: Message) {
  const way = ways?.find(({ id }) => id === row.way);
  const { lastAttempt, firstDeferredAt } = row;
  return {
    id: row.messageId,
    seq: seqText(row.seq),
    zone: row.zone,
    recipient: row.recipient,
    status: row.state.toUpperCase(),
    created: row.createdAt,
    attempts: row.attempts,
    next: isFinal(row.state) ? null : row.dueAt,
    ...(row.leasedBy !== null && row.leasedUntil !== null
      ? { lock: { worker: row.leasedBy, until: row.leasedUntil } }
      : {}),
    ...(!isFinal(row.state) && firstDeferredAt !== null && lastAttempt !== null
      ? {
          deferred: {
            first: firstDeferredAt,
            last: lastAttempt.at,
            next: row.dueAt,
            count: row.attempts,
            response: responseOf(lastAttempt),
          },
        }
      : {}),
    ...(way ? { way: describeWay(way) } : {}),
    lastAttempt: lastAttempt && attemptView(lastAttempt),
    finished: row.finishedAt,
  };
}

/** Why nobody sends it, where no attempt can tell. */
function noteOn({ state, zone }: QueueRow, zones: QueryDeps["zones"]): { note?: string } {
  if (isFinal(state)) return {};
  const found = zones.get(zone);
  if (!found)
    return { note: `the zone "${zone}" is not in the configuration: its mail waits until it is again` };
  return found.disabled ? { note: `the zone "${zone}" is disabled: its mail waits` } : {};
}

/** Zones that mail waits in and that the configuration does not have, so that nobody sends it. */
export async function forgottenZones({
  queue,
  zones,
}: {
  readonly queue: Pick<QueueStore, "counts">;
  readonly zones: QueryDeps["zones"];
}): Promise<{ zone: ZoneName; recipients: number }[]> {
  return (await queue.counts())
    .filter(({ zone }) => !zones.has(zone))
    .map(({ zone, queued, leased, deferred, held }) => ({
      zone,
      recipients: queued + leased + deferred + held,
    }));
}

function attemptView(attempt: AttemptRecord) {
  return {
    time: attempt.at,
    durationMs: attempt.durationMs,
    kind: attempt.kind,
    cause: attempt.cause,
    response: responseOf(attempt),
    detail: attempt.detail,
    status: attempt.status,
    category: attempt.category,
    ...attempt.route,
  };
}

function eventView(event: NumberedEvent) {
  const row = event.rowId && parseRowId(event.rowId);
  return {
    number: event.number,
    type: event.type,
    time: event.at,
    id: event.messageId,
    seq: row ? seqText(row.seq) : null,
    zone: event.zone,
    from: event.returnPath ?? "",
    recipient: event.recipient,
    attempts: event.attempts,
    attempt: event.attempt && attemptView(event.attempt),
  };
}

/** What the peer said, or what happened instead. */
export function responseOf(attempt: AttemptRecord): string {
  return attempt.reply ? printReply(attempt.reply) : attempt.detail;
}

/** As in a row id. */
function seqText(seq: number): string {
  return seq.toString(16).padStart(3, "0");
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
