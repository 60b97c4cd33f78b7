/**
 * From rows just taken to a job in the lane of their site: drop who was suppressed meanwhile, find the hosts, and settle at once
 * what has no way. What fails on our side gives the rows back.
 */

import type { Domain } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { isReservedName } from "#shared/domain/reserved-names.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { Relay, Zone } from "#shared/domain/zone.ts";
import { suppressedRecord } from "#shared/app/submit.ts";
import type { Settlement, Taken } from "#shared/ports/queue-store.ts";
import type { SuppressionStore } from "#shared/ports/suppression-store.ts";
import type { Job } from "../delivery/job.ts";
import type { StsOf } from "../delivery/mta-sts.ts";
import type { ResolveMx } from "../delivery/resolve-mx.ts";
import type { Lanes } from "./lanes.ts";

export interface DispatchDeps {
  readonly zone: Zone;
  /** Not null: where mail for the reserved names of RFC 2606 and RFC 6761 goes. */
  readonly sandbox: Relay | null;
  readonly suppressions: SuppressionStore;
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
}

export type Dispatch = (taken: Taken) => Promise<void>;

/** After a failure of ours, such as a store that does not answer. */
const GIVE_BACK_MS = 5 * SECOND;

export function dispatcher(deps: DispatchDeps): Dispatch {
  return async (taken) => {
    try {
      const leases = await withoutSuppressed(deps, taken);
      if (leases.length > 0) await toLane(deps, taken, leases);
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

async function toLane(
  deps: DispatchDeps,
  { message, domain }: Taken,
  leases: readonly Lease[],
): Promise<void> {
  const { zone } = deps;
  if (zone.http !== null) {
    const job = {
      zone,
      message,
      leases,
      site: new URL(zone.http.url).host,
      hosts: [],
      relay: null,
      sts: null,
    };
    return deps.lanes.add({ ...job, egressKey: "" });
  }
  const relay = relayFor(deps, domain);
  const startedAt = deps.clock.now();
  const [resolved, sts] = await Promise.all([
    deps.resolve(relay ? { relay } : { domain }, zone),
    relay ? null : deps.stsOf(domain), // a relay is the operator's own word, and no domain's policy names it
  ]);
  const hosts = resolved.ok ? resolved.hosts : [];
  const job = { zone, message, leases, site: resolved.site, hosts, relay, sts };
  if (!resolved.ok) {
    const { outcome } = resolved;
    return deps.settle(
      job,
      startedAt,
      leases.map(() => outcome),
    );
  }
  deps.lanes.add({ ...job, egressKey: deps.egressKeyOf(job) });
}

/** A relay that the zone names is for all its mail; the sandbox is only for names that can have no real host. */
function relayFor({ zone, sandbox }: DispatchDeps, domain: Domain): Relay | null {
  if (zone.relay) return zone.relay;
  return sandbox && isReservedName(domain) ? sandbox : null;
}
