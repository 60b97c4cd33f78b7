/** Chooses the adapters of a sender process and joins them to what it does: the only file here that names a store. */

import { randomBytes } from "node:crypto";
import { networkInterfaces } from "node:os";

import { readStore } from "#shared/app/health.ts";
import { observers } from "#shared/app/observer.ts";
import { domainKeys } from "#shared/app/domain-keys.ts";
import { keyReader } from "#shared/app/message-keys.ts";
import { messageIds } from "#shared/domain/ids.ts";
import type { RowId, WorkerId } from "#shared/domain/ids.ts";
import type { SetAsideRecord } from "#shared/embedded/set-aside.ts";
import type { Config } from "#shared/domain/config.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { Dns } from "#shared/ports/dns.ts";
import type { Settings } from "#shared/runtime/config.ts";
import { httpPost } from "#shared/runtime/http-post.ts";
import type { Logger } from "#shared/runtime/log.ts";
import { createMetrics } from "#shared/runtime/metrics.ts";
import type { Metrics } from "#shared/runtime/metrics.ts";
import type { HeldAddresses } from "./addresses/held-addresses.ts";
import { lookUpAddresses } from "./delivery/host-addresses.ts";
import { httpsGet } from "./delivery/https-get.ts";
import type { StsOf } from "./delivery/mta-sts.ts";
import { stsPolicies } from "./delivery/mta-sts.ts";
import { pipeliningMemory } from "./delivery/pipelining-memory.ts";
import { mxResolver } from "./delivery/resolve-mx.ts";
import { signer } from "./delivery/sign.ts";
import { tlsMemory } from "./delivery/tls.ts";
import { cachedDns } from "#shared/runtime/dns/cache.ts";
import { lookUpHostsFile } from "#shared/runtime/dns/hosts-file.ts";
import { stubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import { feederDoor, httpDoor } from "./front-doors.ts";
import type { ListeningSockets } from "./listening-socket.ts";
import { pluginsFor } from "./load-plugins.ts";
import { minuteMetrics } from "./minute-metrics.ts";
import { observer } from "./observe.ts";
import { openRemoteLog } from "./remote-log/open.ts";
import { AWS_TERMS, EMBEDDED_TERMS } from "./store-terms.ts";
import type { StoreTerms } from "./store-terms.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { toldLimits } from "./told-limits.ts";
import type { WorkerDeps } from "./worker.ts";

export interface Wired {
  readonly deps: WorkerDeps;
  readonly backend: Backend;
  readonly recovery: StoreRecovery | null;
  readonly metrics: Metrics;
  close(): Promise<void>;
}

/**
 * For a store that only workers of this machine use, so that who is alive is known: rows leased by others are queued again at once.
 * Null where workers of other hosts have leases too: those of the dead lapse.
 */
export interface StoreRecovery {
  /** Resolves with the number of rows. */
  recover(living: ReadonlySet<WorkerId>): Promise<number>;
}

export interface WireOptions {
  readonly settings: Settings;
  readonly worker: WorkerId;
  readonly hostname: string;
  /** Elastic IPs that this host holds. */
  readonly addresses: HeldAddresses;
  readonly log: Logger;
  /** Metrics of all processes as text; null: not to be had. */
  readonly metricTotals: () => Promise<string | null>;
  /** True: other processes listen on the same ports. */
  readonly reusePort: boolean;
  /** From the worker whose place this one takes; left out: there was none. */
  readonly sockets?: ListeningSockets;
}

export async function wireWorker({
  settings,
  worker,
  hostname: host,
  addresses,
  log,
  metricTotals,
  reusePort,
  sockets,
}: WireOptions): Promise<Wired> {
  const { config } = settings;
  const clock = systemClock;
  const { backend: stores, terms, recovery } = await openStore(settings, log);
  const backend: Backend = { ...stores, limits: toldLimits(stores.limits, log) };
  const onError: WorkerDeps["onError"] = (what, error, fields) =>
    log.error({ component: what, err: error, ...fields }, "failed");
  const metrics = createMetrics({
    zones: config.zones.keys(),
    readStore: () => readStore(backend),
    totals: metricTotals,
    onError: (error) => onError("metrics", error),
  });
  const dns = stubResolver({ nameservers: config.dns.nameservers, timeoutMs: config.dns.timeoutMs, clock });
  const cached = cachedDns(dns, { clock });
  const resolve = mxResolver({
    dns: cached,
    clock,
    random: Math.random,
    ownNames: new Set([config.hostname.toLowerCase()]),
    ownAddresses: ownAddresses(),
    hostsFile: lookUpHostsFile,
  });
  const { hostname, name, dkim } = config;
  const remote = await openRemoteLog(config, { clock, log });
  const plugins = await pluginsFor(config, {
    log,
    limits: backend.limits,
    ...(remote && { onEntry: (entry) => remote.tell(entry) }),
  });
  const newMessageId = messageIds(() => clock.now(), randomBytes);
  const minutes = settings.aws && minuteMetrics({ installation: settings.aws.table, clock, log });
  const watching = observers(
    observer({ log, metrics, clock }),
    ...(remote ? [remote] : []),
    ...(minutes ? [minutes.observer] : []),
  );
  const onDeleted = (rows: readonly RowId[]): void => watching.deleted?.(rows);
  const about = { config, backend, clock, log, metrics, plugins, newMessageId, reusePort, onDeleted };
  const doorDeps = { ...about, dns: cached, ...(sockets && { sockets }) };
  const deps: WorkerDeps = {
    config,
    backend,
    terms,
    clock,
    random: Math.random,
    newMessageId,
    plugins,
    worker,
    hostname: host,
    addresses,
    pid: process.pid,
    resolve,
    stsOf: stsFor(config, cached, log),
    signer: signer({
      dkim,
      storedKeys: domainKeys(backend.secrets, { clock }),
      messageKey: keyReader(backend.secrets),
      hostname,
      name,
      now: () => clock.now(),
      onWarning: (detail) => log.warn({ component: "dkim", detail }, "key should be changed"),
    }),
    connectOptions: { tlsMemory: tlsMemory(), pipelining: pipeliningMemory(), log },
    observer: watching,
    onConnections: ({ idle, reused }) => {
      if (idle !== undefined) metrics.connectionPoolSize.inc(idle);
      if (reused !== undefined) metrics.connectionReuses.inc(reused);
    },
    post: httpPost(),
    onSlower: ({ zone, site, step, until, response }) => {
      metrics.slowdowns.inc({ zone });
      const fields = { component: "zone", zone, site, step, until: new Date(until).toISOString(), response };
      log.warn(fields, "site slowed down");
    },
    onError,
    frontDoors: [
      ...config.smtpInterfaces.map((each) => feederDoor(each, doorDeps)),
      ...(config.api.enabled ? [httpDoor(doorDeps)] : []),
    ],
  };
  return {
    deps,
    backend,
    recovery,
    metrics,
    async close() {
      dns.close();
      minutes?.[Symbol.dispose]();
      remote?.[Symbol.dispose]();
      await backend.close();
    },
  };
}

interface Store {
  readonly backend: Backend;
  readonly terms: StoreTerms;
  readonly recovery: StoreRecovery | null;
}

async function openStore({ aws, dataDir, config }: Settings, log: Logger): Promise<Store> {
  const clock = systemClock;
  const { historyMs } = config.queue;
  if (aws === null) {
    const { openEmbedded } = await import("#shared/embedded/open.ts"); // a host on AWS does without its database
    const backend = await openEmbedded({ dataDir, clock, historyMs, onSetAside: tellSetAside(log) });
    return { backend, terms: EMBEDDED_TERMS, recovery: backend };
  }
  const { openAwsStore } = await import("./aws/wire.ts");
  const backend = await openAwsStore({ aws, config, clock, log, env: process.env });
  return { backend, terms: AWS_TERMS, recovery: null };
}

/** Mail that a fault of ours, or of the disk, has taken out of the queue. Alert on it. */
function tellSetAside(log: Logger): (record: SetAsideRecord) => void {
  return ({ table, key, error }) =>
    log.error({ component: "store", table, key, error }, "record set aside: it cannot be read");
}

/** What domains say of the TLS of their mail hosts. Their web servers are looked up as their mail hosts are. */
function stsFor({ mtaSts, dns: policy }: Config, dns: Dns, log: Logger): StsOf {
  if (!mtaSts.enabled) return async () => null;
  const clock = systemClock;
  const lookUp = async (host: string): Promise<readonly string[]> => {
    const found = await lookUpAddresses(host, { dns, clock, policy, ownAddresses: ownAddresses() });
    if (found.kind !== "usable") throw new Error(found.detail);
    return [...found.addresses.v4, ...found.addresses.v6];
  };
  return stsPolicies({ dns, clock, log, get: httpsGet({ clock, lookUp }) });
}

/** Where mail for us would come in: an MX list that names one of these leads back here. */
function ownAddresses(): Set<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return new Set(all.filter(({ internal }) => !internal).map(({ address }) => address));
}
