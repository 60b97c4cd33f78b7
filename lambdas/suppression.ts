/** `/suppressionlist`: whom nothing is sent to. */

import { routes } from "#shared/app/routes.ts";
import { listSuppressions, suppress, unsuppress } from "#shared/app/suppress.ts";
import { exportSuppressions, importSuppressions } from "#shared/app/suppression-transfer.ts";
import { KIB, MIB } from "#shared/domain/units.ts";
import type { SuppressionStore } from "#shared/ports/suppression-store.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiHandler } from "./http.ts";
import { jsonResult, readFields, readText, textResult } from "./http.ts";

const ENTRY = { maxBytes: 16 * KIB, default: "json" } as const;
/** A batch of an import. */
const MAX_IMPORT_BYTES = MIB;

const CONTENT_TYPES = { ndjson: "application/x-ndjson", csv: "text/csv" } as const;

type SuppressionRoute =
  "suppressions" | "suppress" | "unsuppress" | "exportSuppressions" | "importSuppressions";

export function suppressionHandlers(
  deps: EndpointDeps,
  store: SuppressionStore,
): Record<SuppressionRoute, ApiHandler> {
  return {
    suppressions: endpoint(routes.suppressions, deps, async ({ query }) =>
      jsonResult(200, await listSuppressions(store, { pageSize: query.pageSize, cursor: query.cursor })),
    ),
    suppress: endpoint(routes.suppress, deps, async ({ event }) =>
      jsonResult(200, await suppress(store, await readFields(event, ENTRY), deps.clock.now())),
    ),
    unsuppress: endpoint(routes.unsuppress, deps, async ({ event }) =>
      jsonResult(200, await unsuppress(store, await readFields(event, ENTRY))),
    ),
    exportSuppressions: endpoint(routes.exportSuppressions, deps, async ({ query }) => {
      const { format, pageSize, cursor } = query;
      const page = await exportSuppressions(store, { format, pageSize, cursor });
      const result = textResult(`${CONTENT_TYPES[format]}; charset=utf-8`, page.text);
      if (page.cursor === null) return result;
      const next = new URLSearchParams({ format, pageSize: String(pageSize), cursor: page.cursor });
      return {
        ...result,
        headers: { ...result.headers, link: `</suppressionlist/export?${next.toString()}>; rel="next"` },
      };
    }),
    importSuppressions: endpoint(routes.importSuppressions, deps, async ({ query, event }) => {
      const isCsv = event.headers["content-type"]?.toLowerCase().startsWith(CONTENT_TYPES.csv) === true;
      const answer = await importSuppressions(store, await readText(event, MAX_IMPORT_BYTES), {
        format: isCsv ? "csv" : "ndjson",
        dryRun: ["true", "yes", "1"].includes(query.dryRun),
        now: deps.clock.now(),
      });
      return jsonResult(200, answer);
    }),
  };
}
