/** All handlers by route: what the local server serves, and what each Lambda takes its own from. */

import type { Logger } from "pino";

import { apiAccess, isLoopbackHost } from "#shared/app/api-access.ts";
import { apiKeyRing } from "#shared/app/api-keys.ts";
import type { RouteName } from "#shared/app/routes.ts";
import { sendUseCases } from "#shared/app/send.ts";
import type { Submit } from "#shared/app/submit.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import type { Backend } from "#shared/ports/backend.ts";

import type { Metrics } from "./health.ts";
import { healthHandlers } from "./health.ts";
import type { ApiHandler } from "./http.ts";
import { queueHandlers } from "./queue.ts";
import { sendHandlers } from "./send.ts";
import { suppressionHandlers } from "./suppression.ts";
import { zoneHandlers } from "./zones.ts";

export interface ApiDeps {
  readonly config: Pick<Config, "api" | "queue" | "zones">;
  readonly backend: Pick<Backend, "bodies" | "events" | "limits" | "queue" | "secrets" | "suppressions">;
  readonly submit: Submit;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
}

export type ApiHandlers = Readonly<Record<RouteName, ApiHandler>>;

export function apiHandlers({ config, backend, submit, metrics, clock, log }: ApiDeps): ApiHandlers {
  const { api, zones } = config;
  const keys = apiKeyRing({ secrets: backend.secrets, clock });
  const deps = { authorize: apiAccess({ keys, listensOnLoopback: isLoopbackHost(api.host) }), clock, log };
  const queries = { ...backend, zones };
  const send = sendUseCases({ submit, clock, api, maxDelayMs: config.queue.maxDelayMs });
  return {
    ...sendHandlers({ ...deps, send, maxBytes: api.maxSize }),
    ...queueHandlers(deps, queries),
    ...suppressionHandlers(deps, backend.suppressions),
    ...zoneHandlers(deps, queries),
    ...healthHandlers(deps, { queue: backend.queue, metrics }),
  };
}
