/** Counts and times each request of the API, and writes what was counted in it when it ends. */

import type { Request } from "@middy/core";

import type { Clock } from "#shared/domain/clock.ts";

import type { ApiEvent, ApiResult } from "../http.ts";
import type { Telemetry } from "../telemetry.ts";
import { isFaultStatus } from "./errors.ts";

export function requestTelemetry({ telemetry, clock }: { telemetry: Telemetry; clock: Clock }) {
  const startedAt = new WeakMap<object, number>();
  const ended = (request: Request<ApiEvent, ApiResult>): void => {
    const status = request.response?.statusCode ?? 500;
    telemetry.count("Requests");
    if (isFaultStatus(status)) telemetry.count("Faults");
    else if (status >= 400) telemetry.count("Refused");
    telemetry.time("RequestTime", clock.now() - (startedAt.get(request) ?? clock.now()));
    telemetry.publish();
  };
  return {
    before: (request: Request<ApiEvent, ApiResult>): void => {
      startedAt.set(request, clock.now());
      telemetry.begin(request.context.awsRequestId);
    },
    after: ended,
    onError: ended,
  };
}
