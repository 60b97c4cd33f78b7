/** Messages and rows for tests: everything has a plain value, a test says what matters to it. */

import { randomBytes } from "node:crypto";

import { domainOf, parseAddress } from "#shared/domain/address.ts";
import type { Address } from "#shared/domain/address.ts";
import { messageIds, rowIdOf } from "#shared/domain/ids.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import type { Message } from "#shared/domain/message.ts";
import type { AttemptRecord, QueueRow } from "#shared/domain/queue-row.ts";
import { NO_ROUTE } from "#shared/domain/outcome.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { StoredWay, WayId } from "#shared/domain/way.ts";

export const newMessageId = messageIds(() => Date.now() as EpochMs, randomBytes);

export const anna = "anna" as WorkerId;
export const ben = "ben" as WorkerId;
export const zoneA = "a" as ZoneName;
export const zoneB = "b" as ZoneName;

/** Throws on what is not an address, so that a typo in a test shows. */
export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function message(fields: Partial<Message> = {}): Message {
  return {
    id: newMessageId(),
    returnPath: address("sender@sender.example"),
    acceptedAt: 0 as EpochMs,
    body: { bytes: 5, headerBytes: 2, dkimBodyHash: null, eightBit: false },
    origin: {
      interface: "feeder",
      protocol: "ESMTP",
      ip: "127.0.0.1",
      host: null,
      helo: "client.example",
      user: null,
      tls: null,
    },
    messageIdHeader: "<id@sender.example>",
    from: address("sender@sender.example"),
    subject: "hello",
    fbl: null,
    dkimKeys: null,
    extra: null,
    ways: null,
    recipientCount: 1,
    smtputf8: false,
    purpose: "submitted",
    ...fields,
  };
}

/** Row `seq` of a message, queued and due at the message's time unless said otherwise. */
export function queueRow(of: Message, seq: number, fields: Partial<QueueRow> = {}): QueueRow {
  const recipient = fields.recipient ?? address(`rcpt${seq}@one.example`);
  return {
    id: rowIdOf(of.id, seq),
    messageId: of.id,
    seq,
    zone: zoneA,
    recipient,
    domain: domainOf(recipient),
    way: null,
    state: "queued",
    createdAt: of.acceptedAt,
    dueAt: of.acceptedAt,
    attempts: 0,
    firstDeferredAt: null,
    leaseToken: 0,
    leasedBy: null,
    leasedUntil: null,
    lastAttempt: null,
    finishedAt: null,
    ...fields,
  };
}

export function attempt(fields: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    at: 0 as EpochMs,
    durationMs: 1,
    kind: "delivered",
    cause: null,
    reply: { code: 250, enhanced: "2.0.0", text: "ok" },
    detail: "250 2.0.0 ok",
    status: "2.0.0",
    category: null,
    route: NO_ROUTE,
    ...fields,
  };
}

/** A way by a relay with a login, every field of it said. */
export const relayWay: StoredWay = {
  id: "~0123456789" as WayId,
  hosts: ["relay.example", "192.0.2.1"],
  port: 587,
  user: "anna",
  authMethod: "LOGIN",
  credentials: "verified",
  secure: true,
  lmtp: true,
  http: null,
  skipSrs: true,
  skipSts: true,
  sealed: "v1.c2VhbGVk",
};

/** A way by HTTP, with nothing else said. */
export const postWay: StoredWay = {
  id: "~9876543210" as WayId,
  hosts: null,
  port: null,
  user: null,
  authMethod: null,
  credentials: "encrypted",
  secure: false,
  lmtp: false,
  http: "https://in.example/mail",
  skipSrs: false,
  skipSts: false,
  sealed: null,
};
