/** `/test-auth`, `/report-bounce` and `/bounces`, for trying `core/http-auth` and `core/http-bounce` out; and `/store`, which is refused. */

import { randomBytes } from "node:crypto";

import { credentialCheck } from "#shared/app/credentials.ts";
import { listReportedBounces, reportBounce } from "#shared/app/reported-bounces.ts";
import { routes } from "#shared/app/routes.ts";
import { testLogin } from "#shared/app/test-login.ts";
import { KIB } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiEvent, ApiHandler, ApiResult } from "./http.ts";
import { jsonResult, readFields } from "./http.ts";
import { HttpError } from "./http-error.ts";

/** One report. */
const MAX_BODY_BYTES = 64 * KIB;
/** Fewer than a feeder computes: the two share a process, and the store its threads. */
const LOGINS_AT_ONCE = 1;
/** Seconds. */
const RETRY_AFTER = "5";

type TryoutRoute = "testAuth" | "reportBounce" | "bounces" | "store";

export function tryoutHandlers(
  deps: EndpointDeps,
  { secrets, limits, bounceSink }: Pick<Backend, "secrets" | "limits" | "bounceSink">,
): Record<TryoutRoute, ApiHandler> {
  const { clock } = deps;
  const check = credentialCheck({ secrets, clock, key: randomBytes(32), atOnce: LOGINS_AT_ONCE });
  return {
    testAuth: endpoint(routes.testAuth, deps, async ({ event }) => {
      const login = await testLogin({ check, limits, clock }, event.headers["authorization"]);
      const time = new Date(clock.now()).toISOString();
      switch (login.kind) {
        case "right":
          return jsonResult(200, { user: login.user, time });
        case "busy":
          throw new HttpError(429, "busy", "too many logins are being checked; try again in a few seconds", {
            "retry-after": RETRY_AFTER,
          });
        case "wrong":
          tellOfFailure(deps, event, login.user);
          return loginRequired(time);
        case "missing":
          return loginRequired(time);
      }
    }),
    reportBounce: endpoint(routes.reportBounce, deps, async ({ event }) => {
      const report = await readFields(event, { maxBytes: MAX_BODY_BYTES, default: "form" });
      return jsonResult(202, await reportBounce(bounceSink, report, clock.now()));
    }),
    bounces: endpoint(routes.bounces, deps, async () =>
      jsonResult(200, await listReportedBounces(bounceSink)),
    ),
    store: endpoint(routes.store, deps, () => {
      const text =
        "a body without a message is not stored: it would be delivered to nobody, or take the place of a message's own; " +
        "hand the mail in whole: POST /send-raw, with ?from= and ?to= for another envelope than that of its headers";
      throw new HttpError(501, "not-implemented", text);
    }),
  };
}

function tellOfFailure({ log }: EndpointDeps, { requestContext }: ApiEvent, user: string): void {
  const { requestId, http } = requestContext;
  log.info({ component: "api", requestId, ip: http.sourceIp, user }, "authentication failed");
}

/** ZoneMTA's words. */
function loginRequired(time: string): ApiResult {
  const result = jsonResult(401, { time, error: "Authentication required", code: "unauthorized" });
  const challenge = 'Basic realm="zonefleet", charset="UTF-8"';
  return { ...result, headers: { ...result.headers, "www-authenticate": challenge } };
}
