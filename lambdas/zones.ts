/** `/zones`, `/blacklist`, `/slowed`, `/skipdomains` and `/internals`: through what mail goes out, and where it cannot just now. */

import type { InspectDeps } from "#shared/app/inspect.ts";
import { clearCounters, internals, listSkipped, unblock } from "#shared/app/inspect.ts";
import { listBlocked, listZones } from "#shared/app/query.ts";
import { routes } from "#shared/app/routes.ts";
import { endSlowing, listSlowed } from "#shared/app/slowed.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiHandler, ApiResult } from "./http.ts";
import { jsonResult, textResult } from "./http.ts";

type ZoneRoute =
  "zones" | "blacklist" | "unblock" | "slowed" | "endSlowing" | "skipDomains" | "internals" | "clearCounters";

export function zoneHandlers(
  deps: EndpointDeps,
  queries: Omit<InspectDeps, "clock">,
): Record<ZoneRoute, ApiHandler> {
  return {
    zones: endpoint(routes.zones, deps, ({ query }) =>
      jsonResult(200, listZones(queries, ["true", "yes", "1"].includes(query.includeDisabled))),
    ),
    blacklist: endpoint(routes.blacklist, deps, async () => jsonResult(200, await listBlocked(queries))),
    unblock: endpoint(routes.unblock, deps, async ({ query }) =>
      jsonResult(200, await unblock(queries, query)),
    ),
    slowed: endpoint(routes.slowed, deps, async () =>
      jsonResult(200, await listSlowed({ ...queries, clock: deps.clock })),
    ),
    endSlowing: endpoint(routes.endSlowing, deps, async ({ query }) =>
      jsonResult(200, await endSlowing({ ...queries, clock: deps.clock }, query)),
    ),
    skipDomains: endpoint(routes.skipDomains, deps, async ({ params }) =>
      jsonResult(200, await listSkipped(queries, params.zone)),
    ),
    internals: endpoint(routes.internals, deps, async () =>
      forPeople(await internals({ ...queries, clock: deps.clock })),
    ),
    clearCounters: endpoint(routes.clearCounters, deps, () => forPeople(clearCounters())),
  };
}

function forPeople(view: object): ApiResult {
  return textResult("text/plain; charset=utf-8", `${JSON.stringify(view, null, 2)}\n`);
}
