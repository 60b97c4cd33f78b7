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
import { later, MINUTE } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import type { Job } from "../delivery/job.ts";
import type { Permits, RateSource, RateSourceDeps } from "./rate-source.ts";
import { rateSource } from "./rate-source.ts";
import { shortestLately } from "./shortest-lately.ts";

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

/** The permits of a lane: of each of its rates. */
export interface ThrottlePermits {
  /** May one more mail begin? If not, `onPlace` tells when it is time to ask again. */
  hasPlace(): boolean;
  /** A mail begins, on a connection that is open or on a new one. Null: there is no rate to keep to. */
  begin(connection: "open" | "new"): ThrottledMail | null;
  /** Wait no more, and begin nothing. */
  stop(): void;
}

export interface ThrottledMail {
  /** Wait for 1 to `recipients` permits, with the connection ready; 0: not now. May be asked again, on another host. */
  take(recipients: number): Promise<number>;
  /** To be called in any case, when it has ended. */
  ended(isTaken: boolean): void;
}

export interface ThrottlePermitsDeps {
  readonly clock: Clock;
  readonly sources: readonly RateSource[];
  readonly onPlace: () => void;
}

export function throttlePermits({ clock, sources, onPlace }: ThrottlePermitsDeps): ThrottlePermits {
  const stopped = new AbortController();
  const narrowestFirst = sources.toReversed();
  const shortest = shortestLately(MINUTE, clock);

  /** The narrowest first: while a lane waits for what only its own mail needs, it takes nothing from others; with its permit it goes first. */
  async function takeEach(want: number, taken: (permits: Permits) => void): Promise<number> {
    let count = want;
    for (const [i, source] of narrowestFirst.entries()) {
      const permits = await source.take(count, stopped.signal, i === 0 ? "in turn" : "urgent");
      if (permits.count === 0) return 0;
      taken(permits);
      ({ count } = permits);
    }
    return count;
  }

  return {
    hasPlace: () => narrowestFirst.every((source) => source.hasPlace(onPlace)),

    begin(connection) {
      if (sources.length === 0) return null;
      const comers = narrowestFirst.map((source) => source.coming(connection));
      let ends: Permits["ended"][] = [];
      let begunAt = clock.now();
      const ready = (): void => {
        for (const leave of comers.splice(0)) leave();
      };
      return {
        async take(recipients) {
          ready();
          ends = [];
          const count = await takeEach(recipients, ({ ended }) => void ends.push(ended));
          begunAt = clock.now();
          return count;
        },
        ended(isTaken) {
          ready();
          const tookMs = clock.now() - begunAt;
          if (isTaken) shortest.note(tookMs);
          const end = isTaken ? { isTaken, seenAt: later(begunAt, tookMs - shortest.ms()) } : { isTaken };
          for (const tell of ends) tell(end);
        },
      };
    },

    stop: () => stopped.abort(),
  };
}
