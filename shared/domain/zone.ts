/**
 * A zone: a named class of outbound mail with its own queue, concurrency and pool; and the routing of a recipient to one.
 * These are the checked forms; the shape people write is in shared/runtime/config.ts.
 */

import type { Branded } from "./branded.ts";
import type { EgressAddress } from "./pool.ts";
import type { Rate } from "./throttle.ts";

/** Lower case. */
export type ZoneName = Branded<string, "ZoneName">;

export interface Zone {
  readonly name: ZoneName;
  /** True: mail is accepted for it and kept, and nothing is sent. */
  readonly disabled: boolean;
  /** Connections at once, all processes and destinations together. */
  readonly connections: number;
  /** Recipients tried in a period, all processes and destinations together; null: as many as can be. */
  readonly throttling: Rate | null;
  /** Egress addresses; never empty: with none configured it is the wildcard address. */
  readonly pool: readonly EgressAddress[];
  /** What chooses the egress address: `message` keeps all recipients of a message on one, `from` all mail of a return path. */
  readonly poolHash: "message" | "from";
  /** Next hop for all mail of the zone instead of the recipient's MX; null: MX. */
  readonly relay: Relay | null;
  /** Where all mail of the zone is posted by HTTP, in place of SMTP; null: SMTP. */
  readonly http: HttpTarget | null;
  /** Port of MX hosts. */
  readonly port: number;
  readonly ignoreTls: boolean;
  readonly requireTls: boolean;
  readonly ignoreIpv6: boolean;
  readonly preferIpv6: boolean;
  readonly blockLocalAddresses: boolean;
  readonly connectionCache: ConnectionCache;
  /** Waits between attempts; the zone's own or `queue.deferTimes`. */
  readonly deferTimesMs: readonly number[];
  readonly routes: ZoneRoutes;
}

export interface HttpTarget {
  /** May have a user and a password in it. */
  readonly url: string;
  readonly userAgent: string;
}

export interface Relay {
  readonly host: string;
  readonly port: number;
  /** Credentials for AUTH; null: none. */
  readonly auth: { readonly user: string; readonly pass: string } | null;
  /** True: TLS from the first byte (port 465). */
  readonly secure: boolean;
  /** Null: the best that it offers. */
  readonly authMethod: AuthMethod | null;
  readonly credentials: CredentialPolicy;
  /** True: LMTP (RFC 2033) in place of SMTP, with a reply for each recipient. */
  readonly lmtp: boolean;
}

export type AuthMethod = "PLAIN" | "LOGIN";

/**
 * Where credentials may be sent, besides a loopback address.
 * - `verified` over TLS with a valid certificate in the relay's name (RFC 4954 §4, RFC 8314 §3) · `encrypted` over any TLS · `anywhere`
 */
export type CredentialPolicy = "verified" | "encrypted" | "anywhere";

/** A relay that is only spoken to, without AUTH and TLS from the first byte. */
export function plainRelay(host: string, port: number): Relay {
  return { host, port, auth: null, secure: false, authMethod: null, credentials: "verified", lmtp: false };
}

export interface ConnectionCache {
  /** How long an idle connection is kept. */
  readonly ttlMs: number;
  /** Transactions a connection carries at most. */
  readonly reuseCount: number;
}

/** What leads a recipient to the zone. Domains are lower-case A-labels; values are trimmed and in lower case. */
export interface ZoneRoutes {
  readonly senderDomains: readonly string[];
  readonly recipientDomains: readonly string[];
  readonly originAddresses: readonly string[];
  /** Header name in lower case to the values that lead here. */
  readonly routingHeaders: Readonly<Record<string, readonly string[]>>;
}
