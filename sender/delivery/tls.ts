/**
 * TLS towards peers: the handshake on a connected socket, and what is remembered of hosts between connections (sessions to
 * resume, hosts whose TLS is broken). Policy, that is whether TLS is tried or needed, is connect.ts's.
 */

import type { Socket } from "node:net";
import { isIP } from "node:net";
import { connect as tlsConnect, createSecureContext } from "node:tls";
import type { SecureContext, TLSSocket } from "node:tls";

import { LRUCache } from "lru-cache";

import { HOUR, MINUTE } from "#shared/domain/units.ts";

import type { Failure } from "./outcome-of-error.ts";
import type { Secured } from "./smtp-client.ts";
import type { Timeouts, Timers } from "./timeouts.ts";

/** What one process remembers of the TLS of its peers. Losing it costs a handshake. */
export interface TlsMemory {
  /** By `keyOf`: a session to resume (RFC 8446 §2.2, RFC 5077). */
  readonly sessions: LRUCache<string, Buffer>;
  /** By `ip:port`: a handshake failed a short time ago, and opportunistic delivery spares itself the next one. */
  readonly broken: LRUCache<string, true>;
}

/** A session takes 1-4 KiB. */
const MAX_SESSIONS = 1_000;
const MAX_BROKEN = 10_000;

export function tlsMemory(): TlsMemory {
  return {
    sessions: new LRUCache({ max: MAX_SESSIONS, ttl: 2 * HOUR }),
    broken: new LRUCache({ max: MAX_BROKEN, ttl: 15 * MINUTE }),
  };
}

export interface HandshakeRequest {
  readonly host: string;
  readonly ip: string;
  readonly port: number;
  /**
   * - `any` whatever the peer can do is better than clear text: TLS 1.0, short keys (RFC 7435)
   * - `modern` TLS 1.2 or later
   */
  readonly strength: "any" | "modern";
  /** Null: neither resume nor keep a session. A resumed one is not checked against the host's name again. */
  readonly sessions: TlsMemory["sessions"] | null;
  readonly timeouts: Timeouts;
  readonly timers: Timers;
}

/**
 * Shake hands. The certificate is looked at and not insisted on: `Secured.verified` says what it is worth, and who needs it
 * verified looks there.
 */
export function handshake(
  raw: Socket,
  request: HandshakeRequest,
): Promise<{ socket: TLSSocket; secured: Secured } | Failure> {
  const key = `${request.strength} ${request.host} ${request.ip}:${request.port}`;
  const session = request.sessions?.get(key);
  return new Promise((resolve) => {
    const socket = tlsConnect({
      socket: raw,
      ...nameOf(request.host),
      secureContext: contextOf(request.strength),
      rejectUnauthorized: false,
      ...(session ? { session } : {}),
    });
    const fail = (detail: string): void => {
      request.timers.clear(timer);
      request.sessions?.delete(key);
      socket.destroy();
      resolve({ kind: "tls", detail: `TLS handshake failed: ${detail}`, reply: null });
    };
    const onClose = (): void => fail("the connection was closed");
    const onError = (error: NodeJS.ErrnoException): void => fail(error.code ?? error.message);
    const timer = request.timers.set(request.timeouts.tls, () => fail("it took too long"));
    if (request.sessions) socket.on("session", (ticket: Buffer) => request.sessions?.set(key, ticket));
    socket.on("error", onError).on("close", onClose);
    socket.once("secureConnect", () => {
      request.timers.clear(timer);
      socket.on("error", () => undefined); // the session asks `destroyed` for what comes in between
      socket.off("close", onClose).off("error", onError);
      resolve({ socket, secured: securedBy(socket) });
    });
  });
}

/** Server name indication is for names only (RFC 6066 §3); an IP address is still what the certificate is compared with. */
function nameOf(host: string): { servername: string } | { host: string } {
  return isIP(host) === 0 && !host.startsWith("[") ? { servername: host } : { host };
}

function securedBy(socket: TLSSocket): Secured {
  const problem = socket.authorized ? null : String(socket.authorizationError);
  return {
    protocol: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().name,
    verified: socket.authorized,
    problem,
    resumed: socket.isSessionReused(),
  };
}

const contexts = new Map<HandshakeRequest["strength"], SecureContext>();

/** Made once: a context per connection would cost as much CPU as the handshake. */
function contextOf(strength: HandshakeRequest["strength"]): SecureContext {
  const known = contexts.get(strength);
  if (known) return known;
  const made =
    strength === "any"
      ? createSecureContext({ minVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" })
      : createSecureContext({ minVersion: "TLSv1.2" });
  contexts.set(strength, made);
  return made;
}
