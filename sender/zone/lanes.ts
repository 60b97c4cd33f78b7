/** All lanes of a zone, by site; which domains go to which; and which are full. */

import type { Domain } from "#shared/domain/address.ts";
import type { Job } from "../delivery/job.ts";
import type { Lane } from "./lane.ts";

export interface Lanes {
  add(job: Job): void;
  /** Domains of which no more rows are wanted now; `all`: of none. */
  fullDomains(): Set<Domain> | "all";
  /** Domains whose mail others have to send; `all`: that of all. */
  starvedDomains(): Set<Domain> | "all";
  /** Close idle connections and forget empty lanes. */
  tidy(): void;
  drain(): Promise<void>;
}

/** `single`: all mail of the zone goes one way, to its relay, so there is one lane. */
export function lanesOf(open: (job: Job) => Lane, { single }: { single: boolean }): Lanes {
  const bySite = new Map<string, Lane>();
  let draining = false;
  const domainsOf = (isMeant: (lane: Lane) => boolean): Set<Domain> | "all" => {
    const domains = new Set<Domain>();
    for (const lane of bySite.values()) {
      if (!isMeant(lane)) continue;
      if (single) return "all";
      for (const domain of lane.domains) domains.add(domain);
    }
    return domains;
  };
  return {
    add(job) {
      let lane = bySite.get(job.site);
      if (!lane) {
        lane = open(job);
        bySite.set(job.site, lane);
        if (draining) void lane.drain();
      }
      lane.add(job);
    },
    fullDomains: () => domainsOf((lane) => lane.isFull),
    starvedDomains: () => domainsOf((lane) => lane.isStarved),
    tidy() {
      for (const lane of bySite.values()) {
        lane.tidy();
        if (lane.isEmpty) bySite.delete(lane.site);
      }
    },
    async drain() {
      draining = true;
      await Promise.all([...bySite.values()].map((lane) => lane.drain()));
    },
  };
}
