/** A route as a middy handler: log, authorise, check parameters and content type, call the use case, answer. */

import withMiddleware from "@middy/core";
import httpHeaderNormalizer from "@middy/http-header-normalizer";
import type * as z from "zod";

import type { Authorize } from "#shared/app/api-access.ts";
import { parseInput } from "#shared/app/parse-input.ts";
import type { Route } from "#shared/app/routes.ts";
import type { Clock } from "#shared/domain/clock.ts";

import type { ApiEvent, ApiHandler, ApiResult } from "./http.ts";
import { checkContentType, queryOf, refuseEncoded } from "./http.ts";
import type { Log } from "./log.ts";
import { auth } from "./middleware/auth.ts";
import { HttpError } from "./http-error.ts";
import { errors } from "./middleware/errors.ts";
import { gzipAnswers } from "./middleware/gzip.ts";
import { requestLog } from "./middleware/request-log.ts";

export interface EndpointDeps {
  readonly authorize: Authorize;
  readonly clock: Clock;
  readonly log: Log;
}

/** A Lambda that ran into its time would be cut off without an answer: so long before, the request is answered. */
const ANSWER_BEFORE_END_MS = 500;

/** What a request says, checked; its body is read by the handler. */
export interface Input<P extends z.ZodType, Q extends z.ZodType, H extends z.ZodType> {
  readonly params: z.output<P>;
  readonly query: z.output<Q>;
  readonly headers: z.output<H>;
  readonly event: ApiEvent;
}

export function endpoint<P extends z.ZodType, Q extends z.ZodType, H extends z.ZodType>(
  route: Route<P, Q, H>,
  { authorize, clock, log }: EndpointDeps,
  handle: (input: Input<P, Q, H>) => Promise<ApiResult> | ApiResult,
): ApiHandler {
  const answer = async (event: ApiEvent): Promise<ApiResult> => {
    if (route.body) {
      checkContentType(event, route.body.contentTypes);
      refuseEncoded(event);
    }
    return handle({
      params: parseInput(route.params, event.pathParameters ?? {}),
      query: parseInput(route.query, queryOf(event)),
      headers: parseInput(route.headers, event.headers),
      event,
    });
  };
  const handler = withMiddleware<ApiEvent, ApiResult>(answer, {
    timeoutEarlyInMillis: ANSWER_BEFORE_END_MS,
    timeoutEarlyResponse: () => {
      throw tookTooLong();
    },
  })
    .use(requestLog({ log, clock }))
    .use(errors({ log, fault: route.failures.includes(503) ? "unavailable" : "internal" }))
    .use(gzipAnswers())
    .use(httpHeaderNormalizer())
    .use(auth({ authorize, scope: route.scope }));
  return (event, context) => handler(event, context);
}

/** The work goes on for a moment, or is cut off in the middle: nobody knows which. */
function tookTooLong(): HttpError {
  const text =
    "this took too long, and whether it was done is not known; sent again with the Idempotency-Key it came with, it is done once";
  return new HttpError(503, "timeout", text, { "retry-after": "5" });
}
