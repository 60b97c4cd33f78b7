/** TLS of an SMTP interface: what the listener is set up with, and how a session's cipher is written down. */

import { TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import type { TlsOptions } from "node:tls";

import type { SmtpInterface } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";

/** RFC 8996, RFC 9325: nothing older. */
const MIN_VERSION = "TLSv1.2";

/**
 * Empty when the interface has no TLS. smtp-server would put in a certificate whose key is public, so that TLS without one of
 * our own is refused here.
 */
export function tlsOptions({ name, tls, secure, starttls }: SmtpInterface): TlsOptions {
  if (!secure && !starttls) return {};
  if (!tls) {
    throw new DomainError(
      "invalid-config",
      `SMTP interface ${name} is to speak TLS: give it a key and a certificate`,
      `smtpInterfaces.${name}.key`,
    );
  }
  return {
    key: tls.key,
    cert: tls.cert,
    ...(tls.ca === null ? {} : { ca: tls.ca }),
    minVersion: MIN_VERSION,
  };
}

/** `TLSv1.3 TLS_AES_256_GCM_SHA384`; null: the socket is in clear. */
export function cipherOf(socket: Socket): string | null {
  if (!(socket instanceof TLSSocket)) return null;
  const cipher = socket.getCipher() as { name: string } | undefined; // undefined once the socket is gone
  return cipher ? `${socket.getProtocol() ?? "TLS"} ${cipher.name}` : null;
}
