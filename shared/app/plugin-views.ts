/** Between a submission and the envelope that plugins see of it: made from it, and read back when they have changed it. */

import { isIP } from "node:net";

import type { Address } from "../domain/address.ts";
import { parseAddress } from "../domain/address.ts";
import type { DkimKeySource } from "../domain/config.ts";
import { dkimSourceOf, parseDkimKey } from "../domain/dkim.ts";
import type { MessageId } from "../domain/ids.ts";
import { originFields } from "../domain/message.ts";
import type { EpochMs } from "../domain/units.ts";
import { KIB } from "../domain/units.ts";
import { PluginError } from "../plugins/verdict.ts";
import type { DkimKeyView, EnvelopeView, MessageInfo, SessionView } from "../plugins/views.ts";
import type { SenderSettings } from "../ports/sender-directory.ts";
import type { MailNotes } from "./observer.ts";
import type { Submission } from "./submission.ts";

/** Of what plugins keep with a message, as JSON: it is read and paid for with each look at the message. */
export const MAX_EXTRA_BYTES = 16 * KIB;

/** Fields of an envelope with a meaning of their own; all others are the plugins'. */
const OURS: ReadonlySet<string> = new Set([
  "id",
  "interface",
  "sessionId",
  "transtype",
  "time",
  "origin",
  "originhost",
  "transhost",
  "user",
  "tls",
  "from",
  "to",
  "sendingZone",
  "deferDelivery",
  "fbl",
  "dkim",
  "headers",
  "parsedEnvelope",
  "messageId",
  "date",
]);

export function envelopeView(
  { returnPath, recipients, origin, settings, notBefore }: Submission,
  { id, now, session }: { id: MessageId; now: EpochMs; session: SessionView },
): EnvelopeView {
  return {
    id,
    ...originFields(origin),
    sessionId: session.id,
    time: new Date(now),
    tls: origin.tls,
    from: returnPath ?? "",
    to: [...recipients],
    sendingZone: session.sendingZone ?? settings?.zone ?? null,
    deferDelivery: settings?.notBefore ?? notBefore,
    fbl: settings?.fbl ?? null,
    dkim: { keys: (settings?.dkimKeys ?? []).map(keyView) },
  };
}

function keyView({ domain, selector, privateKey, terms = {} }: DkimKeySource): DkimKeyView {
  const { headerFields, additionalHeaderFields, timestamp, expireInSeconds } = terms;
  return {
    domainName: domain,
    keySelector: selector,
    privateKey,
    ...(headerFields && { headerFieldNames: headerFields }),
    ...(additionalHeaderFields && { additionalHeaderFieldNames: additionalHeaderFields }),
    ...(timestamp !== undefined && { addSignatureTimestamp: timestamp }),
    ...(expireInSeconds !== undefined && { signatureExpireIn: expireInSeconds ?? 0 }),
  };
}

/** Throws a `PluginError` when nothing could be signed with it: the mail would wait for it in vain. */
function keyFrom(view: DkimKeyView): DkimKeySource {
  try {
    const source = dkimSourceOf(view);
    parseDkimKey(source);
    return source;
  } catch (error) {
    throw new PluginError("envelope", `dkim.keys: ${error instanceof Error ? error.message : ""}`, error);
  }
}

export interface ReadBack {
  readonly changes: Pick<Submission, "returnPath" | "recipients" | "origin" | "notBefore" | "settings">;
  /** Null: nothing. */
  readonly extra: Readonly<Record<string, unknown>> | null;
}

/** Throws a `PluginError` for what cannot be. */
export function submissionFrom(envelope: EnvelopeView, given: Submission): ReadBack {
  const { from, to } = envelope;
  const notBefore = timeOf(envelope.deferDelivery ?? null);
  const settings: SenderSettings = {
    way: given.settings?.way ?? null,
    zone: textOf("sendingZone", envelope.sendingZone ?? null),
    notBefore,
    fbl: textOf("fbl", envelope.fbl ?? null),
    dkimKeys: (envelope.dkim?.keys ?? []).map(keyFrom),
  };
  return {
    changes: {
      returnPath: from === "" ? null : addressOf("from", from),
      recipients: [to].flat().map((recipient) => addressOf("to", recipient)),
      origin: {
        ...given.origin,
        ip: envelope.origin === given.origin.ip ? given.origin.ip : ipIn(envelope.origin),
        host: textOf("originhost", envelope.originhost),
        helo: textOf("transhost", envelope.transhost),
        user: textOf("user", envelope.user),
      },
      notBefore,
      settings,
    },
    extra: extraOf(envelope),
  };
}

function addressOf(field: string, text: unknown): Address {
  const address = typeof text === "string" ? parseAddress(text) : null;
  if (address === null) throw wrong(field, "an address", text);
  return address;
}

function ipIn(value: unknown): string | null {
  const text = textOf("origin", value);
  if (text !== null && isIP(text) === 0) throw wrong("origin", "an IP address", value);
  return text;
}

function textOf(field: string, value: unknown): string | null {
  if (value === null || value === undefined || value === false) return null;
  if (typeof value === "string" && !/[\r\n]/.test(value)) return value || null;
  throw wrong(field, "a text", value);
}

/** A date, or ms since 1970; 0 and a time that is over mean at once. */
function timeOf(value: unknown): EpochMs | null {
  if (value === null) return null;
  const at = Number(value);
  if (!Number.isFinite(at)) throw wrong("deferDelivery", "a time in ms", value);
  return at > 0 ? (Math.trunc(at) as EpochMs) : null;
}

function extraOf(envelope: EnvelopeView): ReadBack["extra"] {
  const own = Object.entries(envelope).filter(([name]) => !OURS.has(name));
  if (own.length === 0) return null;
  let json: string;
  try {
    json = JSON.stringify(Object.fromEntries(own));
  } catch (error) {
    throw new PluginError("envelope", `what was put on it is not data: ${String(error)}`, error);
  }
  if (Buffer.byteLength(json) > MAX_EXTRA_BYTES)
    throw new PluginError("envelope", `more than ${MAX_EXTRA_BYTES} bytes were put on it`);
  const extra = JSON.parse(json) as Record<string, unknown>;
  return Object.keys(extra).length > 0 ? extra : null;
}

function wrong(field: string, expected: string, found: unknown): PluginError {
  return new PluginError(
    "envelope",
    `${field} was set to ${JSON.stringify(found)}, which is not ${expected}`,
  );
}

/** For the log. */
export function messageInfo(envelope: EnvelopeView): MessageInfo {
  const info: MessageInfo = {
    "message-id": "<>",
    from: envelope.from || "<>",
    to: envelope.to.join(",") || "<>",
    src: envelope.origin,
    keys() {
      return Object.fromEntries(
        Object.entries(info).filter(([, value]) => typeof value !== "function" && value !== undefined),
      );
    },
    format() {
      return Object.entries(info.keys())
        .map(([key, value]) => `${key}=${printed(value)}`)
        .join(" ");
    },
  };
  return info;
}

/** Fields of it that are ours. */
const INFO_FIELDS: ReadonlySet<string> = new Set([
  "message-id",
  "from",
  "to",
  "src",
  "subject",
  "body",
  "keys",
  "format",
]);
/** They go into a line of the log, and into a datagram. */
const MAX_NOTES = 20;
const MAX_NOTE_CHARS = 1_000;

/** What plugins have put on it, as far as it is texts, numbers and truths. Never throws: the mail may be accepted already. */
export function notesIn(info: MessageInfo): MailNotes {
  const own = Object.entries(info).flatMap(([name, value]): [string, string | number][] => {
    if (INFO_FIELDS.has(name)) return [];
    if (typeof value === "number") return [[name, value]];
    const isText = typeof value === "string" || typeof value === "boolean";
    return isText ? [[name, String(value).slice(0, MAX_NOTE_CHARS)]] : [];
  });
  return Object.fromEntries(own.slice(0, MAX_NOTES));
}

function printed(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /\s/.test(text) && !text.startsWith('"') ? JSON.stringify(text) : text;
}
