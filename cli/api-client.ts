/** The HTTP API as commands use it: where it is, with which key, and what went wrong in words. */

import { SECOND } from "#shared/domain/units.ts";

import type { Terminal } from "./command.ts";
import { UsageError } from "./command.ts";

/** Options of every command that asks the API, for `parseArgs`. */
export const API_OPTIONS = { url: { type: "string" }, key: { type: "string" } } as const;

const DEFAULT_URL = "http://127.0.0.1:12080";
/** A call of a bulk operation ends within some seconds, and a Lambda answers within half a minute. */
const TIMEOUT_MS = 60 * SECOND;

const REDIRECT = 307;

/** Beside those by which the API is found: an option that an action does not know is a mistake, as it would have meant something. */
export function refuseOtherOptions(action: string, values: object, own: readonly string[]): void {
  const other = Object.keys(values).find((name) => !own.includes(name) && !(name in API_OPTIONS));
  if (other !== undefined) throw new UsageError(`--${other} does not go with ${action}`);
}

/** The API refused, or did not answer: told as it is, with exit code 1. */
export class ApiError extends Error {
  override readonly name = "ApiError";
}

export interface ApiRequest {
  /** What is undefined is left out. */
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly text?: { readonly type: string; readonly body: string };
}

export interface ApiClient {
  /** Throws an `ApiError` unless the status is 2xx. */
  ask(method: string, path: string, request?: ApiRequest): Promise<Response>;
  /** The answer's JSON, which is taken to be what the route promises. */
  json<T>(method: string, path: string, request?: ApiRequest): Promise<T>;
}

export function apiClient(
  { env }: Pick<Terminal, "env">,
  given: { url?: string | undefined; key?: string | undefined },
): ApiClient {
  const base = baseUrl(given.url ?? env("ZONEFLEET_URL") ?? DEFAULT_URL);
  const key = given.key ?? env("ZONEFLEET_API_KEY");
  const ask: ApiClient["ask"] = async (method, path, request = {}) => {
    const url = urlOf(base, path, request.query);
    const answer = await send(url, {
      method,
      ...bodyOf(request, key === undefined ? {} : { authorization: `Bearer ${key}` }),
    });
    const response = method === "GET" && answer.status === REDIRECT ? await elsewhere(url, answer) : answer;
    if (!response.ok) throw new ApiError(await problemOf(response));
    return response;
  };
  return {
    ask,
    json: async <T>(method: string, path: string, request?: ApiRequest) =>
      (await (await ask(method, path, request)).json()) as T,
  };
}

/** What is too large for the API is at a URL that needs no key, and must not get ours. */
async function elsewhere(url: URL, answer: Response): Promise<Response> {
  await answer.body?.cancel();
  const target = URL.parse(answer.headers.get("location") ?? "", url.href);
  if (target && /^https?:$/.test(target.protocol)) return send(target, { method: "GET" });
  throw new ApiError("it answered with a redirect to nowhere");
}

function baseUrl(text: string): URL {
  const url = URL.parse(text.endsWith("/") ? text : `${text}/`);
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw new UsageError(`${JSON.stringify(text)} is not the URL of an API, such as ${DEFAULT_URL}`);
}

/** `path` begins with a slash, and its parts are escaped. */
function urlOf(base: URL, path: string, query: ApiRequest["query"] = {}): URL {
  const url = new URL(path.slice(1), base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

function bodyOf({ json, text }: ApiRequest, headers: Record<string, string>): RequestInit {
  if (text) return { headers: { ...headers, "content-type": text.type }, body: text.body };
  if (json === undefined) return { headers };
  return { headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(json) };
}

async function send(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ApiError(`no answer from ${url.origin}: ${why}; is ZoneFleet running there?`, { cause: error });
  }
}

async function problemOf(response: Response): Promise<string> {
  const text = await response.text();
  const said = errorIn(text) ?? `it answered ${response.status}`;
  return response.status === 401 ? `${said} (--key, or ZONEFLEET_API_KEY)` : said;
}

function errorIn(text: string): string | null {
  try {
    const body: unknown = JSON.parse(text);
    const isProblem = typeof body === "object" && body !== null && "error" in body;
    return isProblem && typeof body.error === "string" ? body.error : null;
  } catch {
    return null;
  }
}
