/** The ways in of one process, as the worker starts and stops them. */

import type { Clock } from "#shared/domain/clock.ts";
import type { Config, SmtpInterface } from "#shared/domain/config.ts";
import type { MessageId, RowId } from "#shared/domain/ids.ts";
import type { Submit } from "#shared/app/submission.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { Dns } from "#shared/ports/dns.ts";
import type { QueueStore } from "#shared/ports/queue-store.ts";
import type { Logger } from "#shared/runtime/log.ts";
import { METRICS_CONTENT_TYPE } from "#shared/runtime/metrics.ts";
import type { Metrics } from "#shared/runtime/metrics.ts";
import { httpSenderDirectory } from "#shared/runtime/http-sender-directory.ts";
import { checkApiExposure } from "#shared/app/api-access.ts";
import { apiHandlers, endpointDeps } from "../lambdas/api.ts";
import { pluginRoutes } from "../lambdas/plugin-routes.ts";
import { startApiServer } from "./api-server.ts";
import { startFeeder } from "./feeder/server.ts";
import { socketKey } from "./listening-socket.ts";
import type { ListeningSockets } from "./listening-socket.ts";
import type { FrontDoor } from "./worker.ts";

export interface DoorDeps {
  readonly config: Config;
  readonly backend: Backend;
  readonly dns: Dns;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Null: there are none. */
  readonly plugins: Plugins | null;
  readonly newMessageId: () => MessageId;
  /** Told of rows that an operator took out of the queue; left out: nobody is. */
  readonly onDeleted?: (rows: readonly RowId[]) => void;
  readonly reusePort: boolean;
  /** From the worker whose place this one takes; left out: there was none. */
  readonly sockets?: ListeningSockets;
}

export type OpenDoor = (submit: Submit) => Promise<FrontDoor>;

export function feederDoor(settings: SmtpInterface, deps: DoorDeps): OpenDoor {
  const { config, backend, clock, reusePort } = deps;
  const log = deps.log.child({ component: "feeder" });
  return async (submit) => {
    const feeder = await startFeeder({
      interface: settings,
      name: config.name,
      hostname: settings.hostname ?? config.hostname,
      submit,
      secrets: backend.secrets,
      httpAuth: config.httpAuth,
      senders: config.httpConfig && httpSenderDirectory(config.httpConfig, { clock }),
      srs: config.srs,
      plugins: deps.plugins,
      newMessageId: deps.newMessageId,
      dns: deps.dns,
      clock,
      log,
      metrics: NO_METRICS,
      reusePort,
      socket: deps.sockets?.get(socketKey(settings)),
    });
    const { address, port, server } = feeder;
    return {
      kind: "smtp",
      name: settings.name,
      address,
      port,
      socket: { key: socketKey(settings), server },
      retire: () => feeder.retire(),
      drain: (graceMs) => feeder.drain(graceMs),
    };
  };
}

export function httpDoor(deps: DoorDeps): OpenDoor {
  const { config, clock, log, metrics, reusePort, sockets } = deps;
  const backend = { ...deps.backend, queue: watchedQueue(deps) };
  return async (submit) => {
    await checkApiExposure(config.api, backend.secrets);
    const scrape = async () => ({ contentType: METRICS_CONTENT_TYPE, text: await metrics.text() });
    const handlers = apiHandlers({ config, backend, submit, metrics: scrape, clock, log });
    const key = socketKey(config.api);
    const socket = sockets?.get(key);
    const routes = deps.plugins?.registry.routes ?? [];
    const served = pluginRoutes(endpointDeps({ config, backend, clock, log }), routes);
    const api = await startApiServer({
      config: config.api,
      handlers,
      pluginRoutes: routes.length > 0 ? served : null,
      log,
      clock,
      reusePort,
      socket,
    });
    const { address, port, server } = api;
    return {
      kind: "http",
      name: "api",
      address,
      port,
      socket: { key, server },
      retire: () => api.retire(),
      drain: (graceMs) => api.drain(graceMs),
    };
  };
}

function watchedQueue({ backend: { queue }, onDeleted }: DoorDeps): QueueStore {
  return {
    ...queue,
    async operate(operation, rows) {
      const changed = await queue.operate(operation, rows);
      if (operation === "drop") onDeleted?.(changed);
      return changed;
    },
  };
}

/** What a feeder counts is counted by the use case behind it already. */
const NO_METRICS = {
  sessionOpened: () => undefined,
  sessionClosed: () => undefined,
  accepted: () => undefined,
  refused: () => undefined,
  authFailed: () => undefined,
};
