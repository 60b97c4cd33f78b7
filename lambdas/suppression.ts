/** `/suppressionlist`: whom nothing is sent to. */

import { routes } from "#shared/app/routes.ts";
import { listSuppressions, suppress, unsuppress } from "#shared/app/suppress.ts";
import { KIB } from "#shared/domain/units.ts";
import type { SuppressionStore } from "#shared/ports/suppression-store.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiHandler } from "./http.ts";
import { jsonResult, readJson } from "./http.ts";

/** One entry. */
const MAX_BODY_BYTES = 16 * KIB;

export function suppressionHandlers(
  deps: EndpointDeps,
  store: SuppressionStore,
): Record<"suppressions" | "suppress" | "unsuppress", ApiHandler> {
  return {
    suppressions: endpoint(routes.suppressions, deps, async ({ query }) =>
      jsonResult(200, await listSuppressions(store, { pageSize: query.pageSize, cursor: query.cursor })),
    ),
    suppress: endpoint(routes.suppress, deps, async ({ event }) =>
      jsonResult(200, await suppress(store, await readJson(event, MAX_BODY_BYTES))),
    ),
    unsuppress: endpoint(routes.unsuppress, deps, async ({ event }) =>
      jsonResult(200, await unsuppress(store, await readJson(event, MAX_BODY_BYTES))),
    ),
  };
}
