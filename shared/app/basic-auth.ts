/** Reads HTTP Basic auth (RFC 7617). */

import type { Credentials } from "./credentials.ts";

/** Null: not of the form `Basic <user>:<password>` in base64 and UTF-8, or one of the two is empty. */
export function basicCredentials(authorization: string): Credentials | null {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization)?.[1];
  const text = encoded === undefined ? null : readUtf8(Buffer.from(encoded, "base64"));
  const [user = "", ...rest] = text?.split(":") ?? [];
  const password = rest.join(":"); // the name ends at its first colon
  return user === "" || password === "" ? null : { user, password };
}

/** Null: it is none. */
function readUtf8(bytes: Buffer): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
