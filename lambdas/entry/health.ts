/**
 * `/healthz`, `/metrics` and `/openapi.json`; what is for trying plugins out; and every path that is none, for API Gateway's default
 * route leads here.
 */

import { createMetrics, METRICS_CONTENT_TYPE } from "#shared/runtime/metrics.ts";
import { readStore } from "#shared/app/health.ts";

import { apiEntry } from "../api-entry.ts";
import { healthHandlers } from "../health.ts";
import { tryoutHandlers } from "../tryout.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("health", import.meta.url);
const { backend, config, endpoints, telemetry } = wired;

/** What the stores know. What senders count is at the senders, what Lambdas count is in CloudWatch. */
const metrics = createMetrics({
  zones: config.zones.keys(),
  readStore: () => readStore(backend),
  totals: () => Promise.resolve(null),
  onError: (error) => telemetry.log.error({ component: "metrics", err: error }, "store not read"),
});

export const handler = apiEntry(
  {
    ...healthHandlers(endpoints, {
      queue: backend.queue,
      metrics: async () => ({ contentType: METRICS_CONTENT_TYPE, text: await metrics.text() }),
    }),
    ...tryoutHandlers(endpoints, backend),
  },
  wired,
);
