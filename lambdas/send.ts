/** `POST /send` and `POST /send-raw`. 200 means stored for good and to be tried, not delivered. */

import type { Client, Send } from "#shared/app/send.ts";
import type { Submitted } from "#shared/app/submit.ts";
import { routes } from "#shared/app/routes.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiEvent, ApiHandler, ApiResult } from "./http.ts";
import { bodyOf, jsonResult, readJson } from "./http.ts";

export interface SendHandlerDeps extends EndpointDeps {
  readonly send: Send;
  /** Bytes of a request's body. */
  readonly maxBytes: number;
}

export function sendHandlers(deps: SendHandlerDeps): Record<"send" | "sendRaw", ApiHandler> {
  const { send, maxBytes } = deps;
  return {
    send: endpoint(routes.send, deps, async ({ headers, event }) => {
      send.assertOpen();
      return queued(await send.fields(await readJson(event, maxBytes), clientOf(event, headers)));
    }),
    sendRaw: endpoint(routes.sendRaw, deps, async ({ query, headers, event }) => {
      const to = typeof query.to === "string" ? [query.to] : (query.to ?? null);
      const envelope = { from: query.from ?? null, to };
      return queued(await send.raw(bodyOf(event, maxBytes), envelope, clientOf(event, headers)));
    }),
  };
}

function clientOf(
  event: ApiEvent,
  headers: { "x-originating-ip"?: string | undefined; "x-authenticated-user"?: string | undefined },
): Client {
  return {
    sourceIp: event.requestContext.http.sourceIp || null,
    originatingIp: headers["x-originating-ip"] ?? null,
    user: headers["x-authenticated-user"] ?? null,
  };
}

function queued({ message, messageId, rows }: Submitted): ApiResult {
  return jsonResult(200, {
    id: messageId,
    from: message.returnPath ?? "",
    to: rows.map(({ recipient }) => recipient),
    response: `Message queued as ${messageId}`,
    recipients: rows.map(({ id, recipient, state }) => ({ id, recipient, state })),
  });
}
