/** The second stage: a session with the first host of the job that takes one, in the order the resolver gave. */

import { createHash } from "node:crypto";

import type { Logger } from "pino";

import type { EgressAddress } from "#shared/domain/pool.ts";
import type { StsPolicy } from "#shared/domain/mta-sts.ts";
import { stsNames } from "#shared/domain/mta-sts.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { deferred } from "#shared/domain/outcome.ts";
import { bindAddress, egressFor, ELSEWHERE, hasEgressHere } from "./choose-egress.ts";
import type { PlaceOf } from "./choose-egress.ts";
import { connect } from "./connect.ts";
import type { ConnectOptions, Target } from "./connect.ts";
import type { DeliveryHooks } from "./delivery-hooks.ts";
import type { Job } from "./job.ts";
import type { Host } from "./resolve-mx.ts";
import type { SmtpSession } from "./smtp-client.ts";

export interface OpenDeps {
  readonly connectOptions: Omit<ConnectOptions, "signal">;
  /** True: this egress address may not be used for the job's site. */
  readonly isForbidden: (address: string, job: Pick<Job, "site" | "leases" | "view">) => boolean;
  readonly placeOf: PlaceOf;
  /** Told that this egress address cannot be used here for the job's site; another of the pool is tried at once. */
  readonly onEgressUnusable: (address: string, job: Pick<Job, "site">, detail: string) => void;
  /** Null: there are no plugins. */
  readonly hooks: DeliveryHooks | null;
}

export type Opened =
  | { ok: true; session: SmtpSession }
  /**
   * `outcome` null: it was not tried, since this host has no address to send it from. `siteDown`: no host of the site could be reached
   * at all, so other mail for it need not try now.
   */
  | { ok: false; outcome: Outcome | null; siteDown: boolean };

/** Addresses tried for one job: a domain with dozens of dead hosts must not hold a connection slot for hours. */
const MAX_ADDRESSES_TRIED = 8;

/** `tried` holds IP addresses that had their chance for this job; the ones tried here are added. */
export async function openSession(
  job: Job,
  deps: OpenDeps,
  tried: Set<string>,
  signal: AbortSignal,
): Promise<Opened> {
  if (job.hosts.length > 0 && allowedHosts(job).length === 0) {
    return { ok: false, outcome: deferred("tls", noHostNamed(job)), siteDown: false };
  }
  const candidates = candidatesOf(job, deps.isForbidden).filter(({ ip }) => !tried.has(ip));
  let outcome: Outcome | null = null;
  let down = 0;
  for (const candidate of candidates.slice(0, MAX_ADDRESSES_TRIED)) {
    const localAddress = bindAddress(candidate.egress, deps.placeOf);
    if (localAddress === ELSEWHERE) break; // it went while other hosts of the domain were tried
    tried.add(candidate.ip);
    const target = await withPlugins(job, targetOf(job, candidate, localAddress), deps.hooks);
    if ("kind" in target) return { ok: false, outcome: target, siteDown: false };
    const connected = await connect(target, {
      ...deps.connectOptions,
      ...tlsTrouble(job, deps.hooks),
      signal,
    });
    if (connected.ok) {
      tellWhatWouldFail(job, connected.session, deps.connectOptions.log);
      return connected;
    }
    if (!connected.egressUsable && hasOther(job, candidate, deps.isForbidden)) {
      tried.delete(candidate.ip);
      return openSession(job, without(candidate.egress, job, connected.outcome, deps), tried, signal);
    }
    outcome = moreTelling(outcome, connected.outcome);
    if (connected.host === "down") down++;
    if (!connected.tryNextHost || signal.aborted) break;
  }
  if (outcome === null && !hasEgressHere(job.zone, deps.placeOf))
    return { ok: false, outcome, siteDown: false };
  return {
    ok: false,
    outcome: outcome ?? deferred("blocked", `no egress address of the pool may be used for ${job.site} now`),
    siteDown: down > 0 && down === Math.min(candidates.length, MAX_ADDRESSES_TRIED),
  };
}

/**
 * What a connection must have in common with the one that this job would open, so that it may carry it: our egress address, what
 * the domain asks of TLS, and who has logged in how, so that the login of one carries no mail of another. For memory alone: the
 * password is in it as a hash.
 */
export function egressKeyOf(job: Omit<Job, "egressKey">, isForbidden: OpenDeps["isForbidden"]): string {
  const first = candidatesOf(job, isForbidden)[0];
  const egress = first ? `${first.egress.address} ${first.egress.name}` : "";
  const sts = isEnforced(job) ? ` sts ${job.sts.mx.join(",")}` : "";
  return egress + sts + (job.way === null ? "" : ` ${ownTerms(job)}`);
}

/** Of a way that is not that of the zone: of that there is one. */
function ownTerms({ relay, http, skipSrs }: Pick<Job, "relay" | "http" | "skipSrs">): string {
  const terms = relay && { ...relay, auth: relay.auth && [relay.auth.user, relay.auth.pass] };
  return createHash("sha256")
    .update(JSON.stringify([terms, http?.url, skipSrs]))
    .digest("hex");
}

/** Hosts that may have the mail: those that the policy of the domain names, where it is to be enforced (RFC 8461 §4.1). */
function allowedHosts(job: Omit<Job, "egressKey">): readonly Host[] {
  return isEnforced(job) ? job.hosts.filter(({ name }) => stsNames(job.sts, name)) : job.hosts;
}

function isEnforced<J extends Pick<Job, "sts">>(job: J): job is J & { readonly sts: StsPolicy } {
  return job.sts?.mode === "enforce";
}

function noHostNamed({ hosts }: Job): string {
  const names = hosts.slice(0, 3).map(({ name }) => name);
  return `the MTA-STS policy of the domain names none of its mail hosts (${names.join(", ")})`;
}

/** A policy in testing changes nothing; whoever reads the log sees what it would (RFC 8461 §5). */
function tellWhatWouldFail(
  { sts, zone }: Job,
  { route, secured }: SmtpSession,
  log: Logger | undefined,
): void {
  if (sts?.mode !== "testing") return;
  const named = stsNames(sts, route.mx ?? "");
  const detail = !named
    ? "the policy does not name this host"
    : secured === null
      ? "no TLS"
      : secured.problem;
  if (detail !== null)
    log?.warn({ component: "mta-sts", zone: zone.name, mx: route.mx, detail }, "mta-sts would fail");
}

interface Candidate {
  readonly host: string;
  readonly ip: string;
  readonly egress: EgressAddress;
}

function candidatesOf(job: Omit<Job, "egressKey">, isForbidden: OpenDeps["isForbidden"]): Candidate[] {
  const { zone, message, site } = job;
  const forbidden = (address: string): boolean => isForbidden(address, job);
  return allowedHosts(job).flatMap((host) =>
    host.addresses.flatMap((ip) => {
      const egress = egressFor({ zone, message, site, peer: ip, isForbidden: forbidden });
      return egress ? [{ host: host.name, ip, egress }] : [];
    }),
  );
}

/** True: the pool has another address for that host. */
function hasOther(job: Job, { egress, ip }: Candidate, isForbidden: OpenDeps["isForbidden"]): boolean {
  const { zone, message, site } = job;
  const forbidden = (address: string): boolean => address === egress.address || isForbidden(address, job);
  const other = egressFor({ zone, message, site, peer: ip, isForbidden: forbidden });
  return other !== null && other.address !== egress.address;
}

/** With one address less, so there is an end to it. */
function without({ address }: EgressAddress, job: Job, outcome: Outcome, deps: OpenDeps): OpenDeps {
  if (outcome.kind === "deferred") deps.onEgressUnusable(address, job, outcome.detail);
  return { ...deps, isForbidden: (other, of) => other === address || deps.isForbidden(other, of) };
}

function targetOf(job: Job, { host, ip, egress }: Candidate, localAddress: string | null): Target {
  const { zone, relay } = job;
  return {
    host,
    ip,
    port: relay?.port ?? zone.port,
    secure: relay?.secure ?? false,
    auth: relay?.auth ?? null,
    authMethod: relay?.authMethod ?? null,
    credentials: relay?.credentials ?? "verified",
    lmtp: relay?.lmtp ?? false,
    tls: isEnforced(job)
      ? "verified"
      : zone.ignoreTls
        ? "never"
        : zone.requireTls
          ? "required"
          : "opportunistic",
    localAddress,
    ...(egress.elastic === true ? { egress: egress.address } : {}),
    ehloName: egress.name,
  };
}

/** The target with the socket that a plugin has for it, or what a plugin ends the delivery with. */
async function withPlugins(
  { view }: Job,
  target: Target,
  hooks: DeliveryHooks | null,
): Promise<Target | Outcome> {
  if (!hooks || !view) return target;
  hooks.tell("sender:connecting", view);
  const { ip: host, port, localAddress, egress, ehloName } = target;
  const from = { address: egress ?? localAddress ?? "0.0.0.0", name: ehloName };
  const answer = await hooks.connect(view, { host, port, localAddress }, from);
  if ("kind" in answer) return answer;
  return answer.socket === null ? target : { ...target, socket: answer.socket };
}

function tlsTrouble({ view }: Job, hooks: DeliveryHooks | null): Pick<ConnectOptions, "onTlsTrouble"> {
  if (!hooks || !view) return {};
  return {
    onTlsTrouble: ({ host, port }, detail) =>
      hooks.tell("sender:tlserror", view, { host, port }, new Error(detail)),
  };
}

/** What a peer said tells more than that another did not answer. */
function moreTelling(before: Outcome | null, now: Outcome): Outcome {
  return before?.reply && !now.reply ? before : now;
}
