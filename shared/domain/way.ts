/**
 * The way of one recipient's mail where it differs from that of its zone: the next hop, or what is done on it. Chosen at accept, by
 * the operator's directory or a plugin, and kept with the message: several recipients share one, and what is secret in it is sealed.
 */

import { createHash } from "node:crypto";

import type { Branded } from "./branded.ts";
import type { AuthMethod, CredentialPolicy } from "./zone.ts";

/** Names a way inside its message; mail of one way has the same name in most messages. */
export type WayId = Branded<string, "WayId">;

export interface Way {
  /** Hosts to go to, in the order to try; null: the relay of the zone, or the MX hosts of the recipient's domain. */
  readonly hosts: readonly string[] | null;
  /** Null: that of the zone; for `hosts` 25, or 465 when `secure`. */
  readonly port: number | null;
  /** Null: as the zone does. */
  readonly auth: { readonly user: string; readonly pass: string } | null;
  /** Null: the best that is offered. */
  readonly authMethod: AuthMethod | null;
  readonly credentials: CredentialPolicy;
  /** True: TLS from the first byte. */
  readonly secure: boolean;
  /** True: LMTP in place of SMTP. */
  readonly lmtp: boolean;
  /** URL that the mail is posted to in place of all this; null: none. May have secrets in it. */
  readonly http: string | null;
  /** True: the return path is not rewritten (SRS). */
  readonly skipSrs: boolean;
  /** True: no MTA-STS policy is asked for. Where `hosts` are named, none is anyway. */
  readonly skipSts: boolean;
}

/** As it is kept. What `sealed` holds is left out of the rest: the password, and the URL as it is called. */
export interface StoredWay extends Omit<Way, "auth"> {
  readonly id: WayId;
  /** Null: no login. */
  readonly user: string | null;
  /** Without user, password and query; null: not by HTTP. */
  readonly http: string | null;
  /** Null: there is no secret in it. */
  readonly sealed: string | null;
}

/** In one message: an item of DynamoDB takes 400 KiB. */
export const MAX_WAYS = 200;
/** Of one, as JSON and unsealed. */
export const MAX_WAY_BYTES = 1_024;
export const MAX_WAY_HOSTS = 4;

/** As its zone goes. */
export const PLAIN_WAY: Way = {
  hosts: null,
  port: null,
  auth: null,
  authMethod: null,
  credentials: "verified",
  secure: false,
  lmtp: false,
  http: null,
  skipSrs: false,
  skipSts: false,
};

/** Ten digits in hex, from all that is not secret. No domain has a "~" in it. */
const ID_BYTES = 5;

/** `others` are the names that are taken in the same message, by ways that differ in what is secret. */
export function wayId(way: Omit<StoredWay, "id" | "sealed">, others: ReadonlySet<string>): WayId {
  const digest = createHash("sha256").update(JSON.stringify(way)).digest();
  const name = `~${digest.subarray(0, ID_BYTES).toString("hex")}`;
  for (let copy = 1; ; copy++) {
    const id = copy === 1 ? name : `${name}.${copy}`;
    if (!others.has(id)) return id as WayId;
  }
}

/** A URL as it may be shown: without user, password, query and fragment. */
export function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
