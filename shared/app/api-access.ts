/**
 * Who may use the HTTP API. With keys: who has one of the right scope. Without any key it is open, as ZoneMTA is, but only to
 * programs of this machine: the server listens on loopback, and the request shows no sign of coming from elsewhere.
 */

import { parseIp } from "../domain/ip.ts";
import type { ApiConfig } from "../domain/config.ts";
import { DomainError } from "../domain/errors.ts";
import type { SecretStore } from "../ports/secret-store.ts";
import { basicCredentials } from "./basic-auth.ts";
import type { ApiKeyRing, KeyScope } from "./api-keys.ts";
import type { Scope } from "./routes.ts";

/** Header names in lower case. */
export type RequestHeaders = Readonly<Record<string, string | undefined>>;

/** `keyId` null: no key was needed. */
export type Access =
  | { kind: "granted"; keyId: string | null }
  | { kind: "unauthorized"; reason: string }
  | { kind: "forbidden"; reason: string };

export type Authorize = (headers: RequestHeaders, scope: Scope) => Promise<Access>;

/** A proxy on this machine makes strangers look like loopback, so a request that names one needs a key. */
const PROXY_HEADERS = [
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
  "via",
];

export function apiAccess({
  keys,
  listensOnLoopback,
}: {
  keys: ApiKeyRing;
  listensOnLoopback: boolean;
}): Authorize {
  return async (headers, scope) => {
    if (scope === "none" || scope === "login") return { kind: "granted", keyId: null };
    const given = headers["authorization"];
    if (given !== undefined) return withKey(keys, given, scope);
    if (!listensOnLoopback || (await keys.hasKeys()))
      return unauthorized("send an API key: Authorization: Bearer <key>");
    const sign = signOfElsewhere(headers);
    return sign === null
      ? { kind: "granted", keyId: null }
      : unauthorized(`${sign}, and without a key only programs of this machine are served`);
  };
}

async function withKey(keys: ApiKeyRing, header: string, scope: KeyScope): Promise<Access> {
  const token = tokenOf(header);
  if (token === null) return unauthorized("the Authorization header is not of the form Bearer <key>");
  const key = await keys.verify(token);
  if (key === null) return unauthorized("this API key is not known here");
  if (key.scopes.includes(scope) || key.scopes.includes("admin")) {
    return { kind: "granted", keyId: key.id };
  }
  return { kind: "forbidden", reason: `this API key may not do that: it lacks the scope ${scope}` };
}

/** A key may come as Basic auth too, its id as the user and its secret as the password: the only way of a URL with a user in it. */
function tokenOf(header: string): string | null {
  const basic = basicCredentials(header);
  return basic ? `${basic.user}.${basic.password}` : (/^Bearer +(\S+) *$/i.exec(header)?.[1] ?? null);
}

function unauthorized(reason: string): Access {
  return { kind: "unauthorized", reason };
}

/**
 * Null: nothing says that the request comes from elsewhere. A web page in a browser of this machine is elsewhere too: it shows in
 * Origin or Sec-Fetch-Site, or, when its name was made to point at loopback (DNS rebinding), in Host.
 */
function signOfElsewhere(headers: RequestHeaders): string | null {
  const proxy = PROXY_HEADERS.find((name) => headers[name] !== undefined);
  if (proxy !== undefined) return `the request came through a proxy (${proxy})`;
  const host = headers["host"];
  if (host !== undefined && !isLoopbackHost(hostOf(host))) return "the request was made to another host name";
  const origin = headers["origin"];
  if (origin !== undefined && !isLoopbackHost(hostOf(origin.replace(/^[a-z]+:\/\//i, ""))))
    return "the request came from a web page";
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none")
    return "the request came from a web page";
  return null;
}

/** `localhost:12080` → `localhost`, `[::1]:12080` → `::1`. */
function hostOf(authority: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(authority);
  return (match?.[1] ?? match?.[2] ?? "").toLowerCase();
}

export function isLoopbackHost(host: string): boolean {
  if (host === "localhost" || host.endsWith(".localhost")) return true; // RFC 6761 §6.3
  const ip = parseIp(host);
  return ip !== null && (ip === "::1" || ip.startsWith("127."));
}

/** Throws invalid-config when the API would be open to others than this machine. Call it before anything listens. */
export async function checkApiExposure(
  config: Pick<ApiConfig, "enabled" | "host">,
  secrets: SecretStore,
): Promise<void> {
  if (!config.enabled || isLoopbackHost(config.host)) return;
  if ((await secrets.list("api-key")).length > 0) return;
  throw new DomainError(
    "invalid-config",
    `api.host is ${config.host}, which others than this machine can reach, and there is no API key: ` +
      "make one with `npx zonefleet api-key add --scope admin`, or set api.host to 127.0.0.1",
    "api.host",
  );
}
