/** All handlers by route: what the local server serves, and what each Lambda takes its own from. */

import { apiAccess, isLoopbackHost } from "#shared/app/api-access.ts";
import { apiKeyRing } from "#shared/app/api-keys.ts";
import type { RouteName } from "#shared/app/routes.ts";
import type { Submit } from "#shared/app/submission.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { httpSenderDirectory } from "#shared/runtime/http-sender-directory.ts";

import { dkimHandlers } from "./dkim.ts";
import type { EndpointDeps } from "./endpoint.ts";
import type { Metrics } from "./health.ts";
import { healthHandlers } from "./health.ts";
import type { ApiHandler } from "./http.ts";
import type { Log } from "./log.ts";
import { queueHandlers } from "./queue.ts";
import { sendHandlers } from "./send.ts";
import { suppressionHandlers } from "./suppression.ts";
import { tryoutHandlers } from "./tryout.ts";
import { zoneHandlers } from "./zones.ts";

export interface ApiDeps {
  readonly config: Pick<Config, "api" | "dkim" | "queue" | "zones" | "httpConfig">;
  readonly backend: Pick<
    Backend,
    | "bodies"
    | "bounceSink"
    | "events"
    | "fleet"
    | "idempotency"
    | "limits"
    | "queue"
    | "secrets"
    | "suppressions"
    | "uploads"
  >;
  readonly submit: Submit;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

export type ApiHandlers = Readonly<Record<RouteName, ApiHandler>>;

/** What every handler of the local server has, those of plugins too. */
export function endpointDeps({
  config,
  backend,
  clock,
  log,
}: Omit<ApiDeps, "submit" | "metrics">): EndpointDeps {
  const keys = apiKeyRing({ secrets: backend.secrets, clock });
  return { authorize: apiAccess({ keys, listensOnLoopback: isLoopbackHost(config.api.host) }), clock, log };
}

export function apiHandlers({ config, backend, submit, metrics, clock, log }: ApiDeps): ApiHandlers {
  const deps = endpointDeps({ config, backend, clock, log });
  const senders = config.httpConfig && httpSenderDirectory(config.httpConfig, { clock });
  const queries = { ...backend, zones: config.zones };
  return {
    ...sendHandlers({ ...deps, config, backend, submit, senders }),
    ...queueHandlers(deps, queries),
    ...suppressionHandlers(deps, backend.suppressions),
    ...dkimHandlers(deps, { secrets: backend.secrets, dkim: config.dkim }),
    ...zoneHandlers(deps, queries),
    ...tryoutHandlers(deps, backend),
    ...healthHandlers(deps, { queue: backend.queue, metrics }),
  };
}
