/** The second stage: a session with the first host of the job that takes one, in the order the resolver gave. */

import type { EgressAddress } from "#shared/domain/pool.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { deferred } from "#shared/domain/outcome.ts";
import { bindAddress, egressFor } from "./choose-egress.ts";
import { connect } from "./connect.ts";
import type { ConnectOptions, Target } from "./connect.ts";
import type { Job } from "./job.ts";
import type { SmtpSession } from "./smtp-client.ts";

export interface OpenDeps {
  readonly connectOptions: Omit<ConnectOptions, "signal">;
  /** True: this egress address may not be used for the job's site. */
  readonly isForbidden: (address: string, job: Pick<Job, "site" | "leases">) => boolean;
}

export type Opened =
  | { ok: true; session: SmtpSession }
  /** `siteDown`: no host of the site could be reached at all, so other mail for it need not try now. */
  | { ok: false; outcome: Outcome; siteDown: boolean };

/** Addresses tried for one job: a domain with dozens of dead hosts must not hold a connection slot for hours. */
const MAX_ADDRESSES_TRIED = 8;

/** `tried` holds IP addresses that had their chance for this job; the ones tried here are added. */
export async function openSession(
  job: Job,
  deps: OpenDeps,
  tried: Set<string>,
  signal: AbortSignal,
): Promise<Opened> {
  const candidates = candidatesOf(job, deps.isForbidden).filter(({ ip }) => !tried.has(ip));
  let outcome: Outcome | null = null;
  let down = 0;
  for (const candidate of candidates.slice(0, MAX_ADDRESSES_TRIED)) {
    tried.add(candidate.ip);
    const connected = await connect(targetOf(job, candidate), { ...deps.connectOptions, signal });
    if (connected.ok) return connected;
    outcome = moreTelling(outcome, connected.outcome);
    if (connected.host === "down") down++;
    if (!connected.tryNextHost || signal.aborted) break;
  }
  return {
    ok: false,
    outcome: outcome ?? deferred("blocked", `no egress address of the pool may be used for ${job.site} now`),
    siteDown: down > 0 && down === Math.min(candidates.length, MAX_ADDRESSES_TRIED),
  };
}

/** The egress address that this job would come from: what a reused connection is matched by. */
export function egressKeyOf(job: Omit<Job, "egressKey">, isForbidden: OpenDeps["isForbidden"]): string {
  const first = candidatesOf(job, isForbidden)[0];
  return first ? `${first.egress.address} ${first.egress.name}` : "";
}

interface Candidate {
  readonly host: string;
  readonly ip: string;
  readonly egress: EgressAddress;
}

function candidatesOf(job: Omit<Job, "egressKey">, isForbidden: OpenDeps["isForbidden"]): Candidate[] {
  const { zone, message, site } = job;
  const forbidden = (address: string): boolean => isForbidden(address, job);
  return job.hosts.flatMap((host) =>
    host.addresses.flatMap((ip) => {
      const egress = egressFor({ zone, message, site, peer: ip, isForbidden: forbidden });
      return egress ? [{ host: host.name, ip, egress }] : [];
    }),
  );
}

function targetOf({ zone, relay }: Job, { host, ip, egress }: Candidate): Target {
  return {
    host,
    ip,
    port: relay?.port ?? zone.port,
    secure: relay?.secure ?? false,
    auth: relay?.auth ?? null,
    tls: zone.ignoreTls ? "never" : zone.requireTls ? "required" : "opportunistic",
    localAddress: bindAddress(egress),
    ehloName: egress.name,
  };
}

/** What a peer said tells more than that another did not answer. */
function moreTelling(before: Outcome | null, now: Outcome): Outcome {
  return before?.reply && !now.reply ? before : now;
}
