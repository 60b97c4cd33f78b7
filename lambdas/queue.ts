/** The queue as its operator sees and changes it: `/counter`, `/queued`, `/queue`, `/message`, `/fetch`, `/events`. */

import { listMatching, operateMatching, OPERATIONS } from "#shared/app/bulk.ts";
import type { Operated } from "#shared/app/operate.ts";
import { operateRows } from "#shared/app/operate.ts";
import type { LargeBodies, QueryDeps } from "#shared/app/query.ts";
import { countRows, fetchBody, listEvents, listQueued, viewMessage } from "#shared/app/query.ts";
import { parseInput } from "#shared/app/parse-input.ts";
import { BulkBody } from "#shared/app/route-schemas.ts";
import { routes } from "#shared/app/routes.ts";
import { KIB } from "#shared/domain/units.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiHandler, ApiResult } from "./http.ts";
import { jsonResult, readJson, redirectResult, streamResult } from "./http.ts";
import { HttpError } from "./http-error.ts";

/** Conditions. */
const MAX_BODY_BYTES = 16 * KIB;

type QueueRoute =
  "counter" | "queued" | "queue" | "operate" | "message" | "sendNow" | "drop" | "fetch" | "events";

/** `large`: left out where bodies of any size stream through. */
export function queueHandlers(
  deps: EndpointDeps,
  queries: QueryDeps & { readonly large?: LargeBodies },
): Record<QueueRoute, ApiHandler> {
  return {
    counter: endpoint(routes.counter, deps, async ({ params }) =>
      jsonResult(200, await countRows(queries, params.zone)),
    ),
    queued: endpoint(routes.queued, deps, async ({ params, query }) =>
      jsonResult(
        200,
        await listQueued(queries, {
          ...params,
          ...query,
          zone: params.zone,
          cursor: query.cursor,
          start: query.start,
        }),
      ),
    ),
    queue: endpoint(routes.queue, deps, async ({ query }) =>
      jsonResult(200, await listMatching({ ...queries, clock: deps.clock }, query)),
    ),
    operate: endpoint(routes.operate, deps, async ({ params, event }) => {
      const request = parseInput(BulkBody, await readJson(event, MAX_BODY_BYTES));
      return jsonResult(
        200,
        await operateMatching({ ...queries, clock: deps.clock }, params.operation, request),
      );
    }),
    message: endpoint(routes.message, deps, async ({ params }) => {
      const view = await viewMessage(queries, params.id, params.seq);
      if (!view) throw noSuchMessage();
      return jsonResult(200, view);
    }),
    sendNow: endpoint(routes.sendNow, deps, async ({ params, query }) =>
      changed(await operateRows(queries.queue, OPERATIONS[query.action], params)),
    ),
    drop: endpoint(routes.drop, deps, async ({ params }) =>
      changed(await operateRows(queries.queue, "drop", params)),
    ),
    fetch: endpoint(routes.fetch, deps, async ({ params, query, event }) => {
      const part = ["yes", "true", "1"].includes(query.body) ? "content" : "message";
      const method = event.requestContext.http.method === "HEAD" ? "HEAD" : "GET";
      const fetched = await fetchBody(queries, params.id, { part, method });
      switch (fetched.kind) {
        case "found":
          return streamResult("message/rfc822", fetched.bytes, fetched.chunks);
        case "elsewhere":
          return redirectResult(fetched.url);
        case "too-large": {
          const text = "what follows the headers is too large to be answered here; fetch the whole message";
          throw new HttpError(413, "too-large", text);
        }
        case "missing":
          throw noSuchMessage();
        case "gone":
          throw new HttpError(410, "gone", "the message is finished, and its content is not kept any more");
      }
    }),
    events: endpoint(routes.events, deps, async ({ query }) =>
      jsonResult(200, await listEvents(queries, query)),
    ),
  };
}

function changed(operated: Operated): ApiResult {
  switch (operated.kind) {
    case "changed":
      return jsonResult(200, { success: true, changed: operated.rows.length, rows: operated.rows });
    case "missing":
      throw noSuchMessage();
    case "unfit": {
      const text = `nothing was changed: only ${operated.fit.join(", ")} can be, and this is ${operated.states.join(", ")}`;
      throw new HttpError(409, "conflict", text);
    }
  }
}

function noSuchMessage(): HttpError {
  return new HttpError(404, "not-found", "Selected message does not exist");
}
