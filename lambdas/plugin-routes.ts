/** `/plugin/<key>/…`: the routes that plugins have added. For callers who may do all, since nobody but the plugin knows what they do. */

import * as z from "zod";

import type { Route } from "#shared/app/routes.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { MIB, SECOND } from "#shared/domain/units.ts";
import { callHandler } from "#shared/plugins/call.ts";
import type { PluginRequest, PluginResponse, PluginRoute } from "#shared/plugins/routes.ts";
import { matchPluginRoute } from "#shared/plugins/routes.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiEvent, ApiHandler, ApiResult } from "./http.ts";
import { bodyOf, jsonResult, queryOf } from "./http.ts";
import { HttpError } from "./http-error.ts";

/** Of a request. */
const MAX_BODY_BYTES = MIB;
const TIMEOUT_MS = 30 * SECOND;

const anything = z.looseObject({});
const ROUTE: Route = {
  method: "POST",
  path: "/plugin/",
  scope: "admin",
  useCase: "plugin",
  summary: "What a plugin serves",
  params: anything,
  query: anything,
  headers: anything,
  body: null,
  answer: { contentType: "application/json", schema: null },
  failures: [404],
};

export function pluginRoutes(deps: EndpointDeps, routes: readonly PluginRoute[]): ApiHandler {
  return endpoint(ROUTE, deps, async ({ event }) => {
    const { method } = event.requestContext.http;
    const match = matchPluginRoute(routes, method, event.rawPath);
    if (match.kind === "missing") throw new HttpError(404, "not-found", "no plugin serves this path");
    if (match.kind === "method") {
      const allow = match.allow.join(", ");
      throw new HttpError(405, "method-not-allowed", `this path is for ${allow} only`, { allow });
    }
    return answerOf(match.route, await requestOf(event, match.params), deps);
  });
}

async function answerOf(
  { plugin, handler }: PluginRoute,
  request: PluginRequest,
  { clock }: EndpointDeps,
): Promise<ApiResult> {
  const response = new Response();
  const options = { clock, plugin: plugin.key, what: `its route ${request.path}`, timeoutMs: TIMEOUT_MS };
  let returned: unknown;
  // A handler that names `next` may answer without calling it.
  const answered = async (...args: unknown[]): Promise<void> => {
    const next = args.at(-1) as (error?: unknown) => void;
    response.onSent = () => next();
    returned = await handler(request, response.face, next);
    if (handler.length < HANDLER_WITH_NEXT) next();
  };
  await callHandler((face: unknown, next: unknown) => answered(face, next), [response.face], options);
  if (response.result) return response.result;
  if (returned === undefined) return jsonResult(204, undefined);
  return jsonResult(200, returned);
}

/** request, response, next */
const HANDLER_WITH_NEXT = 3;

class Response {
  result: ApiResult | null = null;
  onSent: () => void = () => undefined;
  readonly face: PluginResponse;
  readonly #headers: Record<string, string> = {};
  readonly #pieces: Buffer[] = [];

  constructor() {
    const setHeader = (name: string, value: string | number): PluginResponse => {
      this.#headers[name.toLowerCase()] = String(value);
      return this.face;
    };
    const status = (code: number): PluginResponse => {
      this.face.statusCode = code;
      return this.face;
    };
    this.face = {
      statusCode: 200,
      status,
      setHeader,
      header: setHeader,
      writeHead: (code, headers = {}) => {
        for (const [name, value] of Object.entries(headers)) setHeader(name, value);
        return status(code);
      },
      write: (piece) => this.#pieces.push(Buffer.from(piece)) > 0,
      end: (last = "") => {
        this.#pieces.push(Buffer.from(last));
        this.#send([Buffer.concat(this.#pieces).toString("utf8")], true);
      },
      json: (...given: [unknown] | [number, unknown]) => this.#send(given, false),
      send: (...given: [unknown] | [number, unknown]) => this.#send(given, true),
    };
  }

  #send(given: [unknown] | [number, unknown], plain: boolean): void {
    if (this.result) return;
    const [status, value] = given.length === 2 ? given : [this.face.statusCode, given[0]];
    const isText = plain && typeof value === "string";
    const json = jsonResult(status, value);
    this.result = isText
      ? {
          ...json,
          headers: { ...json.headers, "content-type": "text/plain; charset=utf-8", ...this.#headers },
          body: value,
        }
      : { ...json, headers: { ...json.headers, ...this.#headers } };
    this.onSent();
  }
}

async function requestOf(event: ApiEvent, pathParams: Record<string, string>): Promise<PluginRequest> {
  const query = queryOf(event);
  const body = await readBody(event);
  const fields = typeof body === "object" && body !== null && !Array.isArray(body) ? body : {};
  return {
    method: event.requestContext.http.method,
    url: event.rawQueryString === "" ? event.rawPath : `${event.rawPath}?${event.rawQueryString}`,
    path: event.rawPath,
    params: { ...fields, ...query, ...pathParams },
    query,
    headers: event.headers,
    header: (name, otherwise) => event.headers[name.toLowerCase()] ?? otherwise,
    body,
  };
}

async function readBody(event: ApiEvent): Promise<unknown> {
  const chunks = await Array.fromAsync(bodyOf(event, MAX_BODY_BYTES));
  if (chunks.length === 0) return undefined;
  const text = Buffer.concat(chunks).toString("utf8");
  const type = event.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type === "application/x-www-form-urlencoded") return Object.fromEntries(new URLSearchParams(text));
  if (type !== "application/json") return text;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new DomainError("invalid-body", `the body is not JSON: ${(error as Error).message}`);
  }
}
