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
  /** By `ip:port`: what failed a short time ago, and is spared: all of TLS where it is not needed, or a usual ClientHello. */
  readonly broken: LRUCache<string, "tls" | "usual-hello">;
}

/** `small` offers few ciphers, groups and signatures, and fits into one packet. */
export type Hello = "usual" | "small";

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
  readonly hello: Hello;
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
  const session = request.hello === "usual" ? request.sessions?.get(key) : undefined;
  return new Promise((resolve) => {
    const socket = tlsConnect({
      socket: raw,
      ...nameOf(request.host),
      secureContext: contextOf(request),
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

/** Of TLS 1.2 and 1.3, and what servers of either kind can do; RFC 8446 §9.1. */
const SMALL_HELLO = {
  minVersion: "TLSv1.2",
  ciphers:
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:" +
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
  ecdhCurve: "X25519:P-256:P-384",
  sigalgs:
    "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:rsa_pkcs1_sha256:ecdsa_secp384r1_sha384:rsa_pss_rsae_sha384:rsa_pkcs1_sha384",
} as const;

const contexts = new Map<string, SecureContext>();

/** Made once: a context per connection would cost as much CPU as the handshake. */
function contextOf({ strength, hello }: Pick<HandshakeRequest, "strength" | "hello">): SecureContext {
  const key = hello === "small" ? hello : strength;
  const known = contexts.get(key);
  if (known) return known;
  const made = createSecureContext(
    hello === "small"
      ? SMALL_HELLO
      : strength === "any"
        ? { minVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" }
        : { minVersion: "TLSv1.2" },
  );
  contexts.set(key, made);
  return made;
}
