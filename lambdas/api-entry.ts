/**
 * An API Lambda: the routes it serves behind one handler. It finds the route as the local server does, by method and path, so that
 * a trailing slash, HEAD, and paths that are not there are answered alike in both places; API Gateway's own idea of the route is
 * not looked at. Answers are whole, for a Lambda gives no other.
 */

import withMiddleware from "@middy/core";
import type { Context } from "aws-lambda";

import { matchRoute } from "#shared/app/match-route.ts";
import type { RouteName } from "#shared/app/routes.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { PLUGIN_PATH } from "#shared/plugins/routes.ts";

import type { ApiEvent, ApiHandler, ApiResult } from "./http.ts";
import { wholeResult } from "./http.ts";
import { HttpError } from "./http-error.ts";
import { errorResult, isFault } from "./middleware/errors.ts";
import { requestTelemetry } from "./middleware/telemetry.ts";
import type { Telemetry } from "./telemetry.ts";

export interface EntryDeps {
  /** Of all paths under `/plugin/`; left out: there is nothing. */
  readonly pluginRoutes?: ApiHandler | null;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

/** A route that is in the table and not in `handlers` is another Lambda's: API Gateway sends it there. */
export function apiEntry(
  handlers: Partial<Record<RouteName, ApiHandler>>,
  { telemetry, clock, pluginRoutes = null }: EntryDeps,
): ApiHandler {
  const handler = withMiddleware<ApiEvent, ApiResult>(
    (event: ApiEvent, context: Context) => answer({ handlers, pluginRoutes }, telemetry, event, context),
    { timeoutEarlyInMillis: 0 }, // the endpoint inside looks at the time
  ).use(requestTelemetry({ telemetry, clock }));
  return (event, context) => handler(event, context);
}

interface Served {
  readonly handlers: Partial<Record<RouteName, ApiHandler>>;
  readonly pluginRoutes: ApiHandler | null;
}

async function answer(
  served: Served,
  { log }: Telemetry,
  event: ApiEvent,
  context: Context,
): Promise<ApiResult> {
  const { http, requestId } = event.requestContext;
  const result = await routed(served, event, context).catch((error: unknown) => {
    if (isFault(error)) log.error({ component: "api", requestId, err: error }, "request failed");
    return errorResult(error, "internal");
  });
  const headers = { ...result.headers, "x-request-id": requestId };
  return { ...result, headers, ...(http.method === "HEAD" ? { body: "", isBase64Encoded: false } : {}) };
}

async function routed(
  { handlers, pluginRoutes }: Served,
  event: ApiEvent,
  context: Context,
): Promise<ApiResult> {
  const path = pathOf(event);
  if (pluginRoutes !== null && path.startsWith(PLUGIN_PATH))
    return wholeResult(await pluginRoutes({ ...event, rawPath: path }, context));
  const { name, params } = findRoute(event.requestContext.http.method, path);
  const handler = handlers[name];
  if (!handler) throw nothingThere();
  return wholeResult(await handler({ ...event, pathParameters: params }, context));
}

/**
 * The path as the route table has it: without the stage, which API Gateway puts before it unless it is the default one, and without
 * the part under which the API is mapped to a domain (`/mail/send`). How long that is shows in the key of the route, `ANY /send`.
 */
function pathOf({ rawPath, routeKey, requestContext }: ApiEvent): string {
  const prefix = `/${requestContext.stage}`;
  const hasPrefix = requestContext.stage !== "$default" && `${rawPath}/`.startsWith(`${prefix}/`);
  const path = hasPrefix ? rawPath.slice(prefix.length) || "/" : rawPath;
  const [, first] = /^\S+ \/([^/{]+)/.exec(routeKey) ?? [];
  const at = first === undefined ? 0 : `${path}/`.indexOf(`/${first}/`);
  return at > 0 ? path.slice(at) : path;
}

function findRoute(method: string, path: string): { name: RouteName; params: Record<string, string> } {
  const match = matchRoute(method, path);
  switch (match.kind) {
    case "found":
      return match;
    case "method": {
      const allow = match.allow.join(", ");
      throw new HttpError(405, "method-not-allowed", `this path is for ${allow} only`, { allow });
    }
    case "missing":
      throw nothingThere();
    case "malformed":
      throw new HttpError(400, "invalid-request", "the path has a percent-escape that is none");
  }
}

function nothingThere(): HttpError {
  return new HttpError(
    404,
    "not-found",
    "there is nothing at this path; GET /openapi.json lists what there is",
  );
}
