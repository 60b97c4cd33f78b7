/** What machines ask of us: `/healthz`, `/metrics`, `/openapi.json`. */

import { checkHealth } from "#shared/app/health.ts";
import { openApiDocument } from "#shared/app/openapi.ts";
import { routes } from "#shared/app/routes.ts";
import type { QueueStore } from "#shared/ports/queue-store.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiHandler } from "./http.ts";
import { jsonResult, textResult } from "./http.ts";

/** Prometheus' text over all processes, and its content type with the version. */
export type Metrics = () => Promise<{ contentType: string; text: string }>;

export function healthHandlers(
  deps: EndpointDeps,
  { queue, metrics }: { queue: QueueStore; metrics: Metrics },
): Record<"healthz" | "metrics" | "openapi", ApiHandler> {
  return {
    healthz: endpoint(routes.healthz, deps, async () => {
      const { ok } = await checkHealth({ queue, clock: deps.clock });
      return jsonResult(ok ? 200 : 503, { status: ok ? "ok" : "failing" });
    }),
    metrics: endpoint(routes.metrics, deps, async () => {
      const { contentType, text } = await metrics();
      return textResult(contentType, text);
    }),
    openapi: endpoint(routes.openapi, deps, () => jsonResult(200, openApiDocument())),
  };
}
