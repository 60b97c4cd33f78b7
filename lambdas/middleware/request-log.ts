/** One line for each request: debug when it was served, info when the caller was refused. Faults are told by errors.ts. */

import type { Request } from "@middy/core";

import type { Clock } from "#shared/domain/clock.ts";

import type { ApiEvent, ApiResult } from "../http.ts";
import type { Log } from "../log.ts";

export function requestLog({ log, clock }: { log: Log; clock: Clock }) {
  const startedAt = new WeakMap<object, number>();
  const told = (request: Request<ApiEvent, ApiResult>): void => {
    const { requestId, routeKey, http } = request.event.requestContext;
    const status = request.response?.statusCode ?? 500;
    const durationMs = clock.now() - (startedAt.get(request) ?? clock.now());
    const line = { component: "api", requestId, route: routeKey, status, durationMs, ip: http.sourceIp };
    if (status < 400) log.debug(line, "request served");
    else log.info(line, "request refused");
  };
  return {
    before: (request: Request<ApiEvent, ApiResult>): void => {
      startedAt.set(request, clock.now());
    },
    after: told,
    onError: told,
  };
}
