/**
 * Which rates the mail of a lane keeps to, and the permits of a lane that keeps to several.
 *
 * A recipient is a permit of each of them: that of his domain, or of `default`; that of the site, when `domainConfig` names it; and
 * that of the zone. So a mail for ten recipients of a site is ten, as the receiver counts them, and one that has fewer permits
 * begins with fewer recipients.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import type { Rate } from "#shared/domain/throttle.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import type { Job } from "../delivery/job.ts";
import type { Permits, RateSource, RateSourceDeps } from "./rate-source.ts";
import { rateSource } from "./rate-source.ts";

interface Throttle {
  readonly key: string;
  readonly rate: Rate;
}

/** The domain of the job when it has a rate of its own: then its mail is in a lane of its own, and waits for no other's permits. */
export function throttledDomain(config: Config, job: Pick<Job, "leases">): string | null {
  const domain = job.leases[0]?.row.domain;
  return domain !== undefined && ownRate(config, domain) ? domain : null;
}

/** The widest first. `default` is for mail that goes to MX hosts, not for what goes to a server of the operator's own. */
export function throttlesOf(
  config: Config,
  zone: Pick<Zone, "name" | "throttling">,
  job: Pick<Job, "site" | "leases" | "relay" | "hosts">,
): Throttle[] {
  const domain = throttledDomain(config, job);
  const named = job.relay ? job.relay.host : job.site;
  const goesByMx = !job.relay && job.hosts.length > 0;
  const fallback = domain === null && goesByMx ? config.domains.default.throttling : null;
  const siteRate = named === domain ? null : (ownRate(config, named) ?? fallback);
  const domainRate = domain === null ? null : ownRate(config, domain);
  return [
    { key: `zone ${zone.name}`, rate: zone.throttling },
    { key: `site ${job.site}`, rate: siteRate },
    { key: `domain ${domain}`, rate: domainRate },
  ].flatMap(({ key, rate }) => (rate ? [{ key, rate }] : []));
}

function ownRate({ domains }: Config, name: string): Rate | null {
  return domains.byDomain.get(name)?.throttling ?? null;
}

export type RateSources = (throttles: readonly Throttle[]) => readonly RateSource[];

/** Rates that are remembered; one that is forgotten is only asked for once more. */
const MAX_SOURCES = 5_000;

/** One source for each rate in this process. */
export function rateSources(deps: RateSourceDeps): RateSources {
  const byKey = new Map<string, RateSource>();
  const sourceOf = ({ key, rate }: Throttle): RateSource => {
    const source = byKey.get(key) ?? rateSource(key, rate, deps);
    byKey.delete(key); // to the end: the first is the one that was not asked for longest
    byKey.set(key, source);
    const [oldest] = byKey.keys();
    if (byKey.size > MAX_SOURCES && oldest !== undefined) byKey.delete(oldest);
    return source;
  };
  return (throttles) => throttles.map(sourceOf);
}

export interface ThrottlePermits {
  /**
   * Is there a permit besides those that `promised` mails will need? If not, some are asked for: for `recipients` that could begin
   * now, and `waiting` in all.
   */
  has(promised: number, wanted: () => { recipients: number; waiting: number }): boolean;
  /** A mail begins, with as many of the recipients as the answer says. `promised`: mails that will need one besides. */
  use(recipients: number, promised: number): { readonly recipients: number; readonly ended: () => void };
  /** True: some are asked for, or waited for. */
  readonly isAsking: boolean;
  /** Ask no more. */
  stop(): void;
}

export interface ThrottlePermitsDeps {
  readonly sources: readonly RateSource[];
  readonly clock: Clock;
  /** There are some, or it is time to ask again. */
  readonly onPermit: () => void;
  readonly onError: (error: unknown) => void;
}

/** A lane that could not use a permit for so long has lost it. */
const KEPT_MS = SECOND / 20;
/** Others were quicker: they have the permit that was there a moment ago. */
const RETRY_MS = 5;

export function throttlePermits(deps: ThrottlePermitsDeps): ThrottlePermits {
  const { sources, clock, onPermit, onError } = deps;
  const [widest, ...narrower] = sources;
  const stopped = new AbortController();
  let held: Permits = { count: 0, at: 0 as EpochMs };
  let keptUntil = 0 as EpochMs;
  let asking = false;

  /** The widest is waited for, in turn; what the narrower ones do not allow is left to other lanes. */
  async function takeOnce(first: RateSource, want: number): Promise<Permits> {
    const openAt = Math.max(...narrower.map((source) => source.openAt), 0);
    await clock.sleep(Math.max(0, openAt - clock.now()), stopped.signal);
    let taken = await first.take(want, stopped.signal);
    const above = [first];
    for (const source of narrower) {
      const { count, at } = taken.count > 0 ? await source.tryTake(taken.count) : taken;
      for (const each of above) each.putBack({ count: taken.count - count, at: taken.at });
      taken = { count, at: at < taken.at ? at : taken.at };
      above.push(source);
    }
    if (taken.count === 0) await clock.sleep(RETRY_MS, stopped.signal);
    return taken;
  }

  async function ask(first: RateSource, want: number): Promise<void> {
    if (asking || stopped.signal.aborted) return;
    asking = true;
    const taken = await takeOnce(first, want);
    held = { count: held.count + taken.count, at: held.count > 0 ? held.at : taken.at };
    keptUntil = later(clock.now(), KEPT_MS);
    asking = false;
    if (!stopped.signal.aborted) onPermit();
  }

  return {
    has(promised, wanted) {
      if (!widest) return true;
      if (held.count > promised && clock.now() >= keptUntil) held = { ...held, count: promised };
      if (held.count > promised) return true;
      const { recipients, waiting } = wanted();
      if (waiting === 0) return false;
      const ahead = Math.min(...sources.map((source) => source.ahead));
      void ask(widest, Math.max(1, Math.min(waiting, recipients + ahead))).catch(onError);
      return false;
    },
    use(recipients, promised) {
      if (!widest) return { recipients, ended: () => undefined };
      const count = Math.max(1, Math.min(recipients, held.count - promised));
      held = { ...held, count: Math.max(0, held.count - count) };
      const ends = sources.map((source) => source.begin(held.at));
      return {
        recipients: count,
        ended() {
          for (const end of ends) end();
        },
      };
    },
    get isAsking() {
      return asking;
    },
    stop: () => stopped.abort(),
  };
}
