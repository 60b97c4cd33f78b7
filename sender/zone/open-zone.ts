/** Puts the parts of one zone together: leases, lanes, limits, delivery and settling. What each does is in its own file. */

import type { Domain } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config, DomainLimit } from "#shared/domain/config.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { NO_ROUTE } from "#shared/domain/outcome.ts";
import { elasticNames } from "#shared/domain/pool.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { srsForward } from "#shared/domain/srs.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { HOUR, later, SECOND } from "#shared/domain/units.ts";
import type { Relay, Zone, ZoneName } from "#shared/domain/zone.ts";
import type { Observer } from "#shared/app/observer.ts";
import type { Settle } from "#shared/app/settle.ts";
import { putOff, settleWithout } from "#shared/app/settle.ts";
import { openWay } from "#shared/app/ways.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { Settlement } from "#shared/ports/queue-store.ts";
import type { HeldAddresses } from "../addresses/held-addresses.ts";
import { egressFor, hasEgressHere } from "../delivery/choose-egress.ts";
import { DeliveryHooks, deferTimesOf, forbiddenByPlugin } from "../delivery/delivery-hooks.ts";
import { deliver } from "../delivery/deliver.ts";
import type { DeliverDeps } from "../delivery/deliver.ts";
import type { Job } from "../delivery/job.ts";
import { egressKeyOf } from "../delivery/open-session.ts";
import type { StsOf } from "../delivery/mta-sts.ts";
import type { AddressPolicy, ResolveMx } from "../delivery/resolve-mx.ts";
import type { Signer } from "../delivery/sign.ts";
import type { ConnectOptions } from "../delivery/connect.ts";
import type { BlockedEgressView } from "./blocked-egress.ts";
import type { IdleEgress } from "./idle-egress.ts";
import type { ConnectionSlots } from "./connection-slots.ts";
import { dispatcher } from "./dispatch.ts";
import { openLane } from "./lane.ts";
import { lanesOf } from "./lanes.ts";
import { leaseKeeper } from "./lease-keeper.ts";
import { runZone } from "./run-zone.ts";
import type { SlowedSites } from "./slowed-sites.ts";
import { rateSources, throttledDomain, throttlesOf } from "./throttles.ts";

export interface SenderDeps {
  readonly config: Config;
  readonly backend: Backend;
  readonly clock: Clock;
  readonly random: () => number;
  readonly worker: WorkerId;
  readonly addresses: Pick<HeldAddresses, "placeOf">;
  readonly resolve: ResolveMx;
  readonly stsOf: StsOf;
  readonly signer: Signer;
  readonly settle: Settle;
  readonly slots: Pick<ConnectionSlots, "acquire" | "release" | "isOver" | "surrender">;
  readonly blocked: BlockedEgressView;
  readonly idleEgress: IdleEgress;
  readonly slowed: SlowedSites;
  readonly observer: Observer;
  /** Null: there are none. */
  readonly plugins: Plugins | null;
  readonly connectOptions: Omit<ConnectOptions, "signal">;
  readonly sandbox: Relay | null;
  /** Told again and again of which domains no mail is taken. */
  readonly onFull: (zone: ZoneName, full: ReadonlySet<Domain> | "all") => void;
  readonly onConnections: (change: { idle?: number; reused?: number }) => void;
  readonly onError: (what: string, error: unknown, fields?: Readonly<Record<string, unknown>>) => void;
}

/** A store that is down: the outcome is kept and written again and again. */
const SETTLE_FOR_MS = HOUR;
const FIRST_WAIT_MS = SECOND / 10;
/** When the grace is over, nothing is tried for longer than this in all. */
const AFTER_GRACE_MS = 5 * SECOND;
/** Short: when the store is back, the outcome must be there within the last call of a lapsed lease (aws/queue-lapse.ts). */
const MAX_WAIT_MS = SECOND;

/** Run a zone until `stop`; `grace` cuts short what is still in flight. */
export function openZone(
  zone: Zone,
  deps: SenderDeps,
  { stop, grace }: { stop: AbortSignal; grace: AbortSignal },
): Promise<void> {
  const { backend, clock, config, worker } = deps;
  const onError = (error: unknown): void => deps.onError("zone", error, { zone: zone.name });
  const keeper = leaseKeeper({ queue: backend.queue, clock, leaseMs: config.queue.leaseMs, onError });
  const { placeOf } = deps.addresses;
  const elastic = new Set(elasticNames([zone.pool]));
  const isElsewhere = (name: string): boolean => elastic.has(name) && placeOf(name) === null;
  const hasEgress = (): boolean => hasEgressHere(zone, placeOf);
  const isForbidden = (address: string, job: Pick<Job, "site" | "leases" | "view">): boolean =>
    isElsewhere(address) ||
    forbiddenByPlugin(job.view, address) ||
    deps.blocked.isBlocked(address, job.site) ||
    deps.idleEgress.isLeftOut(address, job.site) ||
    limitOf(config, job).disabledAddresses.includes(address);
  const hooks = deps.plugins && new DeliveryHooks(deps.plugins);
  let onRoom = (): void => undefined;

  const giveBack = async (leases: readonly Lease[], dueAt: EpochMs): Promise<void> => {
    if (leases.length === 0) return;
    const release = async (): Promise<void> => void (await backend.queue.release(leases, dueAt));
    await persistently(release, { clock, forMs: config.queue.leaseMs, grace, onError }); // else they lapse
    keeper.letGo(leases); // not before: a zone that drains waits for what is held
  };
  const persist = async (leases: readonly Lease[], write: () => Promise<void>): Promise<void> => {
    const written = await persistently(write, { clock, forMs: SETTLE_FOR_MS, grace, onError });
    keeper.letGo(leases);
    // The leases lapse now, and another worker repeats the delivery.
    if (!written)
      onError(new Error("an outcome could not be written to the store; the delivery will be repeated"));
  };
  const write = (
    job: Omit<Job, "egressKey">,
    startedAt: EpochMs,
    outcomes: readonly Outcome[],
  ): Promise<void> =>
    persist(job.leases, async () => {
      const other = otherEgress(job, outcomes, isForbidden);
      const deferTimesMs = deferTimesOf(job.view);
      await deps.settle({
        zone: deferTimesMs === null ? zone : { ...zone, deferTimesMs },
        site: job.site,
        startedAt,
        leases: job.leases,
        outcomes,
        otherEgress: other,
        message: job.message,
      });
    });
  const settle: typeof write = (job, startedAt, outcomes) =>
    hooks === null
      ? write(job, startedAt, outcomes)
      : hooks.settle(job, outcomes, (leases, some) => write({ ...job, leases }, startedAt, some));
  const endWithout = (settlements: readonly Settlement[]): Promise<void> =>
    persist(
      settlements.map(({ lease }) => lease),
      () => settleWithout({ queue: backend.queue, observer: deps.observer }, settlements),
    );

  const delivery: DeliverDeps = {
    bodies: backend.bodies,
    signer: deps.signer,
    returnPathOf: ({ returnPath }) =>
      returnPath === null || config.srs === null
        ? returnPath
        : srsForward(returnPath, config.srs, clock.now()),
    connectOptions: deps.connectOptions,
    isForbidden,
    placeOf,
    onEgressUnusable(address, { site }, detail) {
      if (!deps.idleEgress.leaveOut(address, site)) return;
      deps.onError("egress address", new Error(detail), { zone: zone.name, egress: address, site });
    },
    hooks,
    onInternalError: (job, error) =>
      deps.onError("delivery", error, { zone: zone.name, messageId: job.message.id }),
  };
  const rates = rateSources({ limits: backend.limits, clock, onError });
  const ownLane = (job: Job): string | null => throttledDomain(config, job);
  const lanes = lanesOf(
    (first) =>
      openLane({
        zone,
        site: first.site,
        siteLimit: siteLimit(config, zone, first),
        slots: deps.slots,
        pace: deps.slowed.paceOf(zone.name, first.site),
        throttles: rates(throttlesOf(config, zone, first)),
        clock,
        random: deps.random,
        deliver: (job, reused, gates) => deliver(job, reused, delivery, { signal: grace, ...gates }),
        settle,
        putOff: (job, dueAt, detail) =>
          endWithout(job.leases.map((lease) => putOff(config, lease, { now: clock.now(), dueAt, detail }))),
        giveBack,
        mayStart: (lease) => keeper.mayStart(lease),
        hasEgress,
        isWithdrawn: ({ route }) => route.egress !== null && isElsewhere(route.egress),
        confirm: (leases) => keeper.confirm(leases),
        onRoom: () => onRoom(),
        onConnections: deps.onConnections,
        onError,
      }),
    { single: zone.relay !== null || zone.http !== null, ownLane },
  );
  const dispatch = dispatcher({
    zone,
    sandbox: deps.sandbox,
    suppressions: backend.suppressions,
    resolve: (to, policy) =>
      deps.resolve(to, "domain" in to ? addressPolicy(config, to.domain, policy) : policy),
    stsOf: deps.stsOf,
    openWay: async (message, { row }) =>
      row.way === null ? null : openWay(message, row.way, backend.sealing),
    userAgent: config.uploads.userAgent,
    lanes,
    clock,
    egressKeyOf: (job) => egressKeyOf(job, isForbidden),
    settle,
    settleWithout: endWithout,
    giveBack,
    onError,
    hooks: hooks?.oneByOne === true ? hooks : null,
  });
  const queue = backend.queue;
  const listen = (listener: () => void): void => {
    onRoom = listener;
  };
  const leaseMs = config.queue.leaseMs;
  const onFull = (full: ReadonlySet<Domain> | "all"): void => deps.onFull(zone.name, full);
  return runZone(
    {
      zone,
      queue,
      clock,
      worker,
      leaseMs,
      keeper,
      lanes,
      dispatch,
      hasEgress,
      onFull,
      onRoom: listen,
      onError,
    },
    stop,
  );
}

interface Persistence {
  readonly clock: Clock;
  readonly forMs: number;
  /** When it has aborted, the process is about to end. */
  readonly grace: AbortSignal;
  readonly onError: (error: unknown) => void;
}

/** Write until it is written. False: it was not in all that time. */
async function persistently(
  write: () => Promise<void>,
  { clock, forMs, grace, onError }: Persistence,
): Promise<boolean> {
  const now = clock.now();
  let until = later(now, forMs);
  for (let attempt = 0; clock.now() < until; attempt++) {
    if (grace.aborted) until = Math.min(until, later(now, AFTER_GRACE_MS)) as EpochMs;
    try {
      await write();
      return true;
    } catch (error) {
      onError(error);
      await clock.sleep(Math.min(FIRST_WAIT_MS * 2 ** attempt, MAX_WAIT_MS));
    }
  }
  return false;
}

/**
 * The relay or HTTP server of the zone is the operator's own: what the zone may open at all, unless its host is named in
 * `domainConfig`. One that recipients have for themselves may be anybody's.
 */
function siteLimit(config: Config, zone: Zone, job: Job): number {
  const host = job.http === null ? job.relay?.host : new URL(job.http.url).hostname;
  if (host === undefined) return limitOf(config, job).maxConnections;
  const { byDomain, default: usual } = config.domains;
  return byDomain.get(host)?.maxConnections ?? (job.way === null ? zone.connections : usual.maxConnections);
}

/** What is configured for the domain of the job (that opened the lane), else for its site, else the default. */
function limitOf(config: Config, job: Pick<Job, "site" | "leases">): DomainLimit {
  const { byDomain } = config.domains;
  const domain: Domain | undefined = job.leases[0]?.row.domain;
  return (domain && byDomain.get(domain)) ?? byDomain.get(job.site) ?? config.domains.default;
}

/** What `dnsOptions` of the domain says, over what its zone does. */
function addressPolicy({ domains }: Config, domain: Domain, zone: AddressPolicy): AddressPolicy {
  const { addresses: own } = domains.byDomain.get(domain) ?? domains.default;
  return {
    ignoreIpv6: own.ignoreIpv6 ?? zone.ignoreIpv6,
    preferIpv6: own.preferIpv6 ?? zone.preferIpv6,
    blockLocalAddresses: own.blockLocalAddresses ?? zone.blockLocalAddresses,
  };
}

/** True: after this refusal there is an address left in the pool that may still try the site. */
function otherEgress(
  job: Omit<Job, "egressKey">,
  outcomes: readonly Outcome[],
  isForbidden: (address: string, job: Pick<Job, "site" | "leases" | "view">) => boolean,
): boolean {
  const used = outcomes.find((outcome) => outcome.kind !== "delivered")?.route ?? NO_ROUTE;
  if (used.egress === null || used.peer === null) return false;
  const { zone, message, site } = job;
  const forbidden = (address: string): boolean => address === used.egress || isForbidden(address, job);
  const other = egressFor({ zone, message, site, peer: used.peer, isForbidden: forbidden });
  return other !== null && other.address !== "0.0.0.0" && other.address !== "::";
}
