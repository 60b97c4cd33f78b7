/** TLS of an SMTP interface: what the listener is set up with, and how a session's cipher is written down. */

import { createSecureContext, TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import type { SecureContext, SecureContextOptions, TlsOptions } from "node:tls";

import { parseDomain } from "#shared/domain/address.ts";
import type { Certificate, SmtpInterface } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";

type SniCallback = NonNullable<TlsOptions["SNICallback"]>;

/** RFC 8996, RFC 9325: nothing older. */
const MIN_VERSION = "TLSv1.2";

/**
 * Empty when the interface has no TLS. smtp-server would put in a certificate whose key is public, so that TLS without one of
 * our own is refused here.
 */
export function tlsOptions(
  { name, tls, certificates, secure, starttls }: SmtpInterface,
  plugins: Plugins | null,
): TlsOptions {
  if (!secure && !starttls) return {};
  if (!tls) {
    throw new DomainError(
      "invalid-config",
      `SMTP interface ${name} is to speak TLS: give it a key and a certificate`,
      `smtpInterfaces.${name}.key`,
    );
  }
  return {
    ...contextOptions(tls),
    ...((certificates.size > 0 || plugins?.has("smtp:sni") === true) && {
      SNICallback: askingPlugins(contextByName(certificates), plugins),
    }),
  };
}

function contextOptions({ key, cert, ca }: Certificate): SecureContextOptions {
  return { key, cert, ...(ca === null ? {} : { ca }), minVersion: MIN_VERSION };
}

/** By the server's name, else by its domain with a star (RFC 6125 §6.4.3: of one label). No answer: the interface's own. */
function contextByName(certificates: ReadonlyMap<string, Certificate>): SniCallback {
  const contexts = new Map<string, SecureContext>();
  for (const [name, certificate] of certificates)
    contexts.set(name, createSecureContext(contextOptions(certificate)));
  return (asked, callback) => {
    const name: string = parseDomain(asked) ?? "";
    callback(null, contexts.get(name) ?? contexts.get(`*${name.slice(name.indexOf("."))}`));
  };
}

/** A plugin may have a certificate for the name; when it has none, or fails, it is as if it had not been asked. */
function askingPlugins(otherwise: SniCallback, plugins: Plugins | null): SniCallback {
  if (plugins?.has("smtp:sni") !== true) return otherwise;
  const ask = async (...[asked, callback]: Parameters<SniCallback>): Promise<void> => {
    const data: { secureContext: SecureContext | null } = { secureContext: null };
    await plugins.tell("smtp:sni", asked, data);
    if (data.secureContext) callback(null, data.secureContext);
    else otherwise(asked, callback);
  };
  return (...call) => void ask(...call);
}

/** `TLSv1.3 TLS_AES_256_GCM_SHA384`; null: the socket is in clear. */
export function cipherOf(socket: Socket): string | null {
  if (!(socket instanceof TLSSocket)) return null;
  const cipher = socket.getCipher() as { name: string } | undefined; // undefined once the socket is gone
  return cipher ? `${socket.getProtocol() ?? "TLS"} ${cipher.name}` : null;
}
