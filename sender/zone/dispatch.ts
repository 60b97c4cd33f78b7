/**
 * From rows just taken to a job in the lane of their site: drop who was suppressed meanwhile, find the hosts, and settle at once
 * what has no way. What fails on our side gives the rows back.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { deferred } from "#shared/domain/outcome.ts";
import type { Message } from "#shared/domain/message.ts";
import type { AttemptRecord, Lease } from "#shared/domain/queue-row.ts";
import { droppedByPlugin, suppressedRecord } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { Way, WayId } from "#shared/domain/way.ts";
import type { Relay, Zone } from "#shared/domain/zone.ts";
import type { Settlement, Taken } from "#shared/ports/queue-store.ts";
import type { SuppressionStore } from "#shared/ports/suppression-store.ts";
import type { DeliveryHooks } from "../delivery/delivery-hooks.ts";
import { deliveryView } from "../delivery/delivery-hooks.ts";
import type { Job } from "../delivery/job.ts";
import type { StsOf } from "../delivery/mta-sts.ts";
import type { ResolveMx } from "../delivery/resolve-mx.ts";
import type { Lanes } from "./lanes.ts";
import { nextHop, resolveRelays } from "./next-hop.ts";

export interface DispatchDeps {
  readonly zone: Zone;
  /** Not null: where mail for the reserved names of RFC 2606 and RFC 6761 goes. */
  readonly sandbox: Relay | null;
  readonly suppressions: SuppressionStore;
  /** The way of a recipient who has one of his own. Rejects when it cannot be read. */
  readonly openWay: (message: Message, lease: Lease) => Promise<Way | null>;
  /** Of our posts by HTTP. */
  readonly userAgent: string;
  readonly resolve: ResolveMx;
  readonly stsOf: StsOf;
  readonly lanes: Lanes;
  readonly clock: Clock;
  readonly egressKeyOf: (job: Omit<Job, "egressKey">) => string;
  /** Write the outcomes; it does not throw. */
  readonly settle: (
    job: Omit<Job, "egressKey">,
    startedAt: EpochMs,
    outcomes: readonly Outcome[],
  ) => Promise<void>;
  /** Write ends that are no attempt; it does not throw. */
  readonly settleWithout: (settlements: readonly Settlement[]) => Promise<void>;
  readonly giveBack: (leases: readonly Lease[], dueAt: EpochMs) => Promise<void>;
  readonly onError: (error: unknown) => void;
  /** Null: no plugin looks at deliveries before they are sent. */
  readonly hooks: DeliveryHooks | null;
}

export type Dispatch = (taken: Taken) => Promise<void>;

/** After a failure of ours, such as a store that does not answer. */
const GIVE_BACK_MS = 5 * SECOND;

export function dispatcher(deps: DispatchDeps): Dispatch {
  return async (taken) => {
    try {
      const leases = await withoutSuppressed(deps, taken);
      const jobs = deps.hooks ? leases.map((lease) => [lease]) : [leases];
      for (const job of jobs) if (job.length > 0) await toLane(deps, taken.message, job);
    } catch (error) {
      deps.onError(error);
      await deps.giveBack(taken.leases, later(deps.clock.now(), GIVE_BACK_MS));
    }
  };
}

/** Suppression is looked up again: the list may have grown since the message was accepted. */
async function withoutSuppressed(deps: DispatchDeps, { message, leases }: Taken): Promise<Lease[]> {
  const owner = { returnPath: message.returnPath, user: message.origin.user };
  const entries = await deps.suppressions.find(
    leases.map((lease) => lease.row.recipient),
    owner,
  );
  const settlements = leases.flatMap((lease, i): Settlement[] => {
    const entry = entries[i];
    if (!entry) return [];
    return [
      {
        lease,
        settled: { state: "suppressed", untried: true },
        attempt: suppressedRecord(entry, deps.clock.now()),
      },
    ];
  });
  if (settlements.length > 0) await deps.settleWithout(settlements);
  return leases.filter((_, i) => !entries[i]);
}

/** All of one message, one domain and one way. */
async function toLane(deps: DispatchDeps, message: Message, leases: readonly Lease[]): Promise<void> {
  const { zone } = deps;
  const startedAt = deps.clock.now();
  const { row } = leases[0] as Lease;
  const stored = await deps.openWay(message, leases[0] as Lease).catch((error: unknown) => {
    deps.onError(error);
    return "unreadable" as const;
  });
  const { domain } = row;
  const job = {
    zone,
    message,
    leases,
    site: domain,
    hosts: [],
    relay: null,
    http: null,
    sts: null,
    way: row.way,
    skipSrs: false,
  } satisfies Omit<Job, "egressKey">;
  const end = (at: Omit<Job, "egressKey">, outcome: Outcome): Promise<void> =>
    deps.settle(
      at,
      startedAt,
      leases.map(() => outcome),
    );
  if (stored === "unreadable")
    return end(job, deferred("internal", "the way of this mail cannot be read; see the log"));
  if (deps.hooks === null) return onItsWay(deps, { ...job, end }, stored);
  const view = deliveryView(message, leases[0] as Lease);
  const fetched = await deps.hooks.fetch(view, stored);
  switch (fetched.kind) {
    case "ended":
      return end({ ...job, view }, fetched.outcome);
    case "suppressed":
      return deps.settleWithout(
        leases.map((lease) => endedByPlugin(lease, "suppressed", deps.clock.now(), "")),
      );
    case "dropped":
      return deps.settleWithout(
        leases.map((lease) => endedByPlugin(lease, "dropped", deps.clock.now(), fetched.reason)),
      );
    case "go": {
      const way = fetched.way === stored ? row.way : PLUGINS_WAY;
      return onItsWay(deps, { ...job, view, way, end }, fetched.way);
    }
  }
}

/** The name of a way that a plugin has given to a delivery: it is in no message. */
const PLUGINS_WAY = "~plugin" as WayId;

interface Begun extends Omit<Job, "egressKey"> {
  readonly end: (at: Omit<Job, "egressKey">, outcome: Outcome) => Promise<void>;
}

async function onItsWay(deps: DispatchDeps, { end, ...begun }: Begun, way: Way | null): Promise<void> {
  const { zone } = deps;
  const { domain } = (begun.leases[0] as Lease).row;
  const job = { ...begun, skipSrs: way?.skipSrs === true };
  const hop = nextHop({ ...deps, way, domain });
  if (hop.kind === "none") return end(job, deferred("internal", hop.detail));
  if (hop.kind === "http") return add(deps, { ...job, http: hop.target, site: new URL(hop.target.url).host });
  const [resolved, sts] = await Promise.all([
    hop.kind === "relays" ? resolveRelays(hop.relays, zone, deps.resolve) : deps.resolve({ domain }, zone),
    hop.kind === "relays" || way?.skipSts === true ? null : deps.stsOf(domain), // a relay is the operator's own word, and no domain's policy names it
  ]);
  const relay = hop.kind === "relays" ? hop.relays[0] : null;
  const found = { ...job, site: resolved.site, relay, sts };
  return resolved.ok ? add(deps, { ...found, hosts: resolved.hosts }) : end(found, resolved.outcome);
}

function endedByPlugin(
  lease: Lease,
  state: "suppressed" | "dropped",
  now: EpochMs,
  reason: string,
): Settlement {
  const attempt: AttemptRecord =
    state === "dropped"
      ? droppedByPlugin(now, reason)
      : {
          ...droppedByPlugin(now, ""),
          cause: "suppressed",
          status: "5.7.1",
          detail: "suppressed by a plugin",
        };
  return { lease, settled: { state, untried: true }, attempt };
}

function add({ lanes, egressKeyOf }: DispatchDeps, job: Omit<Job, "egressKey">): void {
  lanes.add({ ...job, egressKey: egressKeyOf(job) });
}
