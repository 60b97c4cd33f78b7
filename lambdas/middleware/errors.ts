/**
 * Whatever was thrown becomes an answer: `{ error, code, path? }`. The caller's mistakes say what to change; our faults say
 * nothing but what it means for the caller, and are told whole in the log.
 */

import type { Request } from "@middy/core";

import type { DomainErrorCode } from "#shared/domain/errors.ts";
import { DomainError, RefusedError } from "#shared/domain/errors.ts";

import { HttpError } from "../http-error.ts";
import type { ApiEvent, ApiResult } from "../http.ts";
import type { Log } from "../log.ts";

const STATUS: Readonly<Record<DomainErrorCode, number>> = {
  "invalid-address": 400,
  "invalid-body": 400,
  "invalid-config": 500,
  "invalid-header": 400,
  "invalid-request": 400,
  "bare-newline": 400,
  "needs-smtputf8": 400,
  "incomplete-message": 400,
  "delivery-loop": 422,
  "header-too-long": 400,
  "message-too-large": 413,
  "no-recipients": 400,
  "too-many-recipients": 422,
  "file-access": 400,
  "not-found": 404,
  unauthorized: 401,
  forbidden: 403,
  "too-large": 413,
  conflict: 409,
  refused: 422,
};

/** What a fault means for the caller: `unavailable` when trying again is safe and may help. */
export type FaultAnswer = "unavailable" | "internal";

/** How long a client should wait after 503, in seconds. */
const RETRY_AFTER = "5";

export function errorResult(error: unknown, fault: FaultAnswer): ApiResult {
  if (error instanceof RefusedError && error.reply.code < 500) {
    return answer(503, { error: error.message, code: error.code }, { "retry-after": RETRY_AFTER });
  }
  if (error instanceof DomainError && STATUS[error.code] < 500) {
    const path = error.path === null ? {} : { path: error.path };
    return answer(STATUS[error.code], { error: error.message, code: error.code, ...path });
  }
  if (error instanceof HttpError) {
    return answer(error.status, { error: error.message, code: error.code }, error.headers);
  }
  if (fault === "internal") {
    return answer(500, { error: "something went wrong on our side; the log says what", code: "internal" });
  }
  const text = "the mail could not be stored just now, and nothing was stored; try again";
  return answer(503, { error: text, code: "unavailable" }, { "retry-after": RETRY_AFTER });
}

/** True: the caller can do nothing about it. */
export function isFault(error: unknown): boolean {
  if (error instanceof HttpError) return isFaultStatus(error.status);
  return !(error instanceof DomainError) || STATUS[error.code] >= 500;
}

/** False for 501 too: what we do not offer was asked for in vain. */
export function isFaultStatus(status: number): boolean {
  return status >= 500 && status !== 501;
}

export function errors({ log, fault }: { log: Log; fault: FaultAnswer }) {
  return {
    onError: (request: Request<ApiEvent, ApiResult>): void => {
      const { error, event } = request;
      if (isFault(error)) {
        const { requestId, routeKey } = event.requestContext;
        log.error({ component: "api", requestId, route: routeKey, err: error }, "request failed");
      }
      request.response = errorResult(error, fault);
    },
  };
}

function answer(
  statusCode: number,
  body: { error: string; code: string; path?: string },
  headers: Readonly<Record<string, string>> = {},
): ApiResult {
  return {
    statusCode,
    headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store", ...headers },
    body: JSON.stringify(body),
  };
}
