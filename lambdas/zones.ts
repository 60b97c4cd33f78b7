/** `/zones` and `/blacklist`: through what mail goes out, and where it cannot just now. */

import type { QueryDeps } from "#shared/app/query.ts";
import { listBlocked, listZones } from "#shared/app/query.ts";
import { routes } from "#shared/app/routes.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiHandler } from "./http.ts";
import { jsonResult } from "./http.ts";

export function zoneHandlers(
  deps: EndpointDeps,
  queries: QueryDeps,
): Record<"zones" | "blacklist", ApiHandler> {
  return {
    zones: endpoint(routes.zones, deps, ({ query }) =>
      jsonResult(200, listZones(queries, ["true", "yes", "1"].includes(query.includeDisabled))),
    ),
    blacklist: endpoint(routes.blacklist, deps, async () => jsonResult(200, await listBlocked(queries))),
  };
}
