/** A worker process: what wire.ts joins, run by worker.ts, under the supervisor that forked it. */

import { forgottenZones } from "#shared/app/query.ts";
import type { Config } from "#shared/domain/config.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Logger } from "#shared/runtime/log.ts";
import type { ListeningSockets } from "./listening-socket.ts";
import { openLog } from "./remote-log/open.ts";
import { assertNotRoot } from "./run-as.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { wireWorker } from "./wire.ts";
import type { Wired } from "./wire.ts";
import type { LinkedWorker, WorkerStart } from "./worker-link.ts";
import { runUnderSupervisor } from "./worker-link.ts";
import type { Recovery } from "./worker-protocol.ts";
import { startWorker } from "./worker.ts";
import type { Worker } from "./worker.ts";

/** Receivers count the connections of the dead until they have seen that these are closed. */
const DEAD_SLOTS_MS = SECOND;

await runUnderSupervisor(startLinkedWorker, systemClock);

async function startLinkedWorker(start: WorkerStart): Promise<LinkedWorker> {
  const { settings, worker, index, hostname, recovery } = start.assignment;
  assertNotRoot(settings.config);
  const log = await openLog(settings, { clock: systemClock, fields: { worker } });
  const wired = await wireWorker({
    settings,
    worker,
    hostname,
    addresses: start.addresses,
    log,
    metricTotals: start.totals,
    reusePort: true,
    sockets: start.sockets,
  });
  await withPlugins(settings.config, log);
  if (recovery) {
    const forgotten = await recover(wired, recovery, log);
    start.recovered();
    void forgotten().catch((error: unknown) => wired.deps.onError("recovery", error));
  }
  const running = await startWorker(wired.deps);
  closeUnused(start.sockets, running);
  if (index === 0)
    void tellForgotten(wired, log).catch((error: unknown) => wired.deps.onError("zones", error));
  return {
    listens: running.frontDoors.map(({ kind, name, address, port }) => ({ kind, name, address, port })),
    recover: async (recovery) => (await recover(wired, recovery, log))(),
    snapshot: () => wired.metrics.snapshot(),
    sockets: () => new Map(running.frontDoors.map(({ socket: { key, server } }) => [key, server])),
    async drain(graceMs, leisure) {
      await running.drain(graceMs, leisure);
      await wired.close();
    },
    onError: (what, error) => wired.deps.onError(what, error),
  };
}

/** At the start and after each change of the configuration. */
async function tellForgotten({ backend: { queue }, deps: { config } }: Wired, log: Logger): Promise<void> {
  for (const { zone, recipients } of await forgottenZones({ queue, zones: config.zones })) {
    const detail =
      "not in the configuration; put it back, or see `zonefleet queue list --zone` and `queue drop`";
    log.warn({ component: "zones", zone, recipients, detail }, "zone is gone: its mail waits");
  }
}

async function withPlugins({ plugins }: Config, log: Logger): Promise<void> {
  if (plugins.length === 0) return;
  const { outlivePluginFaults } = await import("./plugin-faults.ts");
  outlivePluginFaults(plugins, log);
}

/** Of doors that the new configuration has no more: held open, they would take connections that nobody accepts. */
function closeUnused(sockets: ListeningSockets, { frontDoors }: Worker): void {
  const used = new Set(frontDoors.map(({ socket }) => socket.key));
  for (const [key, socket] of sockets) if (!used.has(key)) socket.close();
}

async function forget(dead: ReadonlySet<WorkerId>, { limits, fleet }: Wired["backend"]): Promise<void> {
  if (dead.size > 0) await systemClock.sleep(DEAD_SLOTS_MS);
  for (const worker of dead) {
    await limits.dropHolder(worker);
    await fleet.leave(worker);
  }
}

/**
 * What the dead had; the answer, called, gives back the last of it. On a store of this machine's own that is known also of workers of a
 * former run, whom only the store remembers.
 */
async function recover(wired: Wired, { dead, living }: Recovery, log: Logger): Promise<() => Promise<void>> {
  const { backend, recovery } = wired;
  const alive = new Set(living);
  const remembered = recovery ? (await backend.fleet.living()).map(({ worker }) => worker) : [];
  const gone = new Set([...dead, ...remembered].filter((worker) => !alive.has(worker)));
  for (const worker of gone) await backend.events.dropReader(worker);
  const rows = recovery ? await recovery.recover(alive) : 0;
  if (gone.size > 0 || rows > 0) {
    log.info({ component: "recovery", dead: [...gone], rows }, "rows of dead workers queued again");
  }
  return () => forget(gone, backend);
}
