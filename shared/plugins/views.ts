/**
 * What plugins see of sessions, envelopes and deliveries: plain objects with ZoneMTA's field names. They are made for plugins alone;
 * what a plugin changes in the fields that are not read-only is carried back when its hook is done.
 */

import type { Headers } from "mailsplit";

/** An SMTP session, or a request by HTTP. One object for as long as it lasts, so a plugin may keep things of its own on it. */
export interface SessionView {
  readonly id: string;
  /** Name of the SMTP interface, or `api`. */
  readonly interface: string;
  readonly remoteAddress: string | null;
  readonly clientHostname: string | null;
  /** What the client called itself in EHLO; null: it has not. */
  readonly hostNameAppearsAs: string | null;
  readonly transmissionType: string;
  readonly user: string | null;
  readonly secure: boolean;
  /** Of the mail that is being handed in, from MAIL on: its queue id. */
  readonly envelopeId: string | null;
  readonly envelope: { readonly mailFrom: AddressArgs | null; readonly rcptTo: readonly AddressArgs[] };
  /** The zone to send this session's mail by. */
  sendingZone?: string | null;
  [own: string]: unknown;
}

export interface AuthView {
  /** Who is logged in when no hook says no. */
  username: string;
  readonly password: string | undefined;
  /** `PLAIN`, `LOGIN` or `XCLIENT`, which comes without a password. */
  readonly method: string;
}

/** An address of the envelope with the parameters of its command, their names in capitals. */
export interface AddressArgs {
  readonly address: string;
  readonly args: Readonly<Record<string, string | true>>;
}

/**
 * A mail on its way in. What a plugin sets beside the named fields, when JSON can hold it, stays with the mail and is seen by its
 * deliveries; all of it together may take `MAX_EXTRA_BYTES`.
 */
export interface EnvelopeView {
  readonly id: string;
  readonly interface: string;
  readonly sessionId: string | null;
  readonly transtype: string;
  readonly time: Date;
  readonly tls: string | null;
  /** Address of the client; this and the next three may be changed, as where a gateway speaks for others. Null: not known. */
  origin: string | null;
  originhost: string | null;
  /** What the client called itself in EHLO. */
  transhost: string | null;
  user: string | null;
  /** Empty: `<>`. */
  from: string;
  to: string[];
  /** The zone to send by; one that does not exist counts as none. */
  sendingZone?: string | null;
  /** Not to be tried before, in ms since 1970. */
  deferDelivery?: number | null;
  fbl?: string | null;
  /** Keys to sign the mail with besides those of the configuration. */
  dkim?: { keys?: readonly DkimKeyView[] };
  /** From `message:headers` on. Changes there and in `message:queue` change the message. */
  headers?: Headers;
  /** From `message:headers` on. */
  parsedEnvelope?: ParsedEnvelope;
  /** From `message:queue` on. */
  messageId?: string;
  date?: Date | null;
  [own: string]: unknown;
}

export interface ParsedEnvelope {
  readonly from: string | null;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly replyTo: string | null;
  readonly sender: string | null;
}

export interface DkimKeyView {
  readonly domainName: string;
  readonly keySelector: string;
  /** PEM. */
  readonly privateKey: string;
  /** Header fields to sign in place of the usual ones: a list, or with colons between them. */
  readonly headerFieldNames?: string | readonly string[] | null;
  /** Beside those. */
  readonly additionalHeaderFieldNames?: string | readonly string[] | null;
  /** Left out: as the configuration says. */
  readonly addSignatureTimestamp?: boolean | null;
  /** Seconds that the signature holds; 0: for good. */
  readonly signatureExpireIn?: number | null;
}

/** What is logged of a mail; a plugin may add to it. */
export interface MessageInfo {
  /** The fields as `key=value`. */
  format(): string;
  keys(): Record<string, unknown>;
  [field: string]: unknown;
}

export interface RoutingView {
  recipient: string;
  deliveryZone: string;
  /** A relay for this recipient alone; left out: the way of his zone. */
  mxData?: MxData | null;
}

export interface MxData {
  readonly mx?: readonly { readonly exchange: string; readonly priority?: number }[];
  readonly mxPort?: number;
  readonly mxAuth?: { readonly user: string; readonly pass: string };
  readonly mxSecure?: boolean;
  readonly skipSRS?: boolean;
  readonly skipSTS?: boolean;
}

/** An egress address, and the name in EHLO that goes with it. */
export interface EgressView {
  readonly address: string;
  readonly name: string;
}

/** One recipient of one mail on its way out. What came with its envelope is on it too, such as `spam`. */
export interface DeliveryView {
  readonly id: string;
  readonly seq: string;
  readonly interface: string;
  readonly origin: string | null;
  readonly originhost: string | null;
  readonly transhost: string | null;
  readonly transtype: string;
  readonly user: string | null;
  readonly sessionId: string | null;
  readonly sendingZone: string;
  readonly recipient: string;
  readonly domain: string;
  readonly messageId: string;
  readonly time: Date;
  readonly queued: Date;
  readonly bodySize: number;
  readonly _deferred: { readonly first: Date; readonly count: number } | null;
  envelope: { from: string; to: string };
  /** At `sender:headers`: what is changed is sent and signed so, and stays as it is in the store. */
  headers?: Headers;
  dkim: { keys: DkimKeyView[] };
  /** Egress address to send from; it must be one of the zone's pool. From the first connection on: the one that is used. */
  zoneAddress?: EgressView;
  /** True: post the mail to `targetUrl`. */
  http?: boolean;
  targetUrl?: string;
  useLMTP?: boolean;
  mx?: MxData["mx"];
  mxPort?: number;
  mxAuth?: MxData["mxAuth"];
  mxSecure?: boolean;
  skipSRS?: boolean;
  skipSTS?: boolean;
  /** Egress addresses not to use. */
  disabledAddresses?: string[];
  /** Waits between attempts in ms, in place of the zone's. */
  deferTimes?: number[];
  /** True: the recipient is not written to, and that is recorded. */
  isSuppressed?: boolean;
  [own: string]: unknown;
}

/** A recipient who was not reached, or has to wait. */
export interface BounceView {
  readonly id: string;
  readonly seq: string;
  readonly to: string;
  /** Return path; empty: `<>`. */
  readonly from: string;
  readonly returnPath: string;
  readonly zone: string | null;
  readonly interface: string;
  readonly category: string | null;
  readonly response: string;
  readonly time: Date;
  readonly fbl: string | null;
  readonly [own: string]: unknown;
}

export interface DelayView {
  readonly first: Date;
  readonly prev: Date | null;
  readonly last: Date;
}

export interface ReleaseView {
  readonly id: string;
  readonly seq: string;
  readonly domain: string;
  readonly to: string;
  readonly status: { readonly delivered: boolean };
  /** Egress address; null: the mail did not get that far. */
  readonly address: string | null;
}

/** Hand in a mail of the plugin's own. */
export interface MailDrop {
  /** Resolves with its id when it is stored for good. */
  add(envelope: NewMail, source: string | Buffer): Promise<string>;
}

export interface NewMail {
  /** Empty: `<>`. */
  readonly from: string;
  readonly to: readonly string[] | string;
  readonly sendingZone?: string;
}

/** Why a delivery came to no good end. A plugin may set `action` and `category` in place of what our rules say. */
export interface ResponseError extends Error {
  responseCode?: number;
  response?: string;
  action?: "defer" | "reject";
  category?: string;
}

/** One line of the log of mail, with ZoneMTA's words. */
export interface LogEntry {
  readonly id: string;
  readonly action: string;
  [field: string]: unknown;
}
