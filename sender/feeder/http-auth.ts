/**
 * Who may submit, by the word of the operator's own server (`core/http-auth`): GET with HTTP Basic auth and `transport=SMTP`.
 *
 * 1. 2xx is yes, any 4xx but 408 and 429 is no. Whatever else comes, or nothing, means that nobody knows: never yes.
 * 2. A yes is remembered for `cacheMs` as a keyed digest of the password; a no never is.
 */

import { createHmac, timingSafeEqual } from "node:crypto";

import { LRUCache } from "lru-cache";

import { MAX_CREDENTIAL_LENGTH } from "#shared/app/accounts.ts";
import type { CheckCredentials } from "#shared/app/credentials.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { HttpServiceConfig } from "#shared/domain/config.ts";
import { later } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { basicAuth, httpAsker } from "#shared/runtime/http-ask.ts";

const MAX_REMEMBERED = 10_000;
/** The server asks for patience, and says nothing of the password (RFC 9110 §15.5.9, RFC 6585 §4). */
const LATER: ReadonlySet<number> = new Set([408, 429]);

/** `key` is 32 random bytes that live as long as this process. Throws when the server gives no answer. */
export function httpCredentialCheck(
  { url, timeoutMs, cacheMs }: HttpServiceConfig,
  { clock, key }: { clock: Clock; key: Buffer },
): CheckCredentials {
  const ask = httpAsker({ timeoutMs, clock });
  const target = new URL(url);
  target.searchParams.set("transport", "SMTP");
  const remembered = new LRUCache<string, { digest: Buffer; until: EpochMs }>({ max: MAX_REMEMBERED });

  return async ({ user, password }) => {
    if (!canBeAsked(user, password)) return "wrong";
    const login = { user, senders: null };
    const digest = createHmac("sha256", key).update(password).digest();
    const known = remembered.get(user);
    if (known && clock.now() < known.until && timingSafeEqual(known.digest, digest)) return login;
    const headers = { authorization: basicAuth({ user, password }) };
    const { status } = await ask({ method: "GET", url: target.href, headers });
    if (status >= 200 && status <= 299) {
      if (cacheMs > 0) remembered.set(user, { digest, until: later(clock.now(), cacheMs) });
      return login;
    }
    if (status >= 400 && status <= 499 && !LATER.has(status)) return "wrong";
    throw new Error(`the authentication server answered ${status}`);
  };
}

/** Basic auth ends the name at its first colon, so one with a colon would be taken for another's (RFC 7617 §2). */
function canBeAsked(user: string, password: string): boolean {
  if (user === "" || password === "") return false;
  if (user.length > MAX_CREDENTIAL_LENGTH || password.length > MAX_CREDENTIAL_LENGTH) return false;
  return !user.includes(":") && !/\p{Cc}/u.test(user + password);
}
