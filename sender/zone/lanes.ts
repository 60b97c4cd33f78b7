/** All lanes of a zone, by site or by domain; which domains go to which; and which are full. */

import type { Domain } from "#shared/domain/address.ts";
import type { Job } from "../delivery/job.ts";
import type { Lane } from "./lane.ts";

export interface Lanes {
  add(job: Job): void;
  /** Domains of which no more rows are wanted now; `all`: of none. */
  fullDomains(): Set<Domain> | "all";
  /** Domains whose mail others have to send; `all`: that of all. */
  starvedDomains(): Set<Domain> | "all";
  areConnected(): boolean;
  /** Close idle connections and forget empty lanes. */
  tidy(): void;
  drain(): Promise<void>;
}

export interface LanesTerms {
  /** True: all mail of the zone goes one way, to its relay, so there is one lane; and one for each domain that has its own. */
  readonly single: boolean;
  /** The domain of the job when it is not to wait for others of its site, nor they for it; null: it shares a lane with them. */
  readonly ownLane: (job: Job) => string | null;
}

/** In the key of a lane: for mail that does not go as the zone does, whose terms are others. No domain has this name. */
const OWN_WAYS = "~";

export function lanesOf(open: (job: Job) => Lane, { single, ownLane }: LanesTerms): Lanes {
  const byKey = new Map<string, Lane>();
  let draining = false;
  const domainsOf = (isMeant: (lane: Lane) => boolean): Set<Domain> | "all" => {
    const domains = new Set<Domain>();
    for (const [key, lane] of byKey) {
      if (!isMeant(lane)) continue;
      if (single && key === lane.site) return "all";
      for (const domain of lane.domains) domains.add(domain);
    }
    return domains;
  };
  /** Lanes of one site share its slots: one that waits for its rate leaves some to one that could send. */
  const makeRoomFor = (starved: Lane): void => {
    for (const lane of byKey.values()) if (lane !== starved && lane.site === starved.site) lane.makeRoom();
  };
  return {
    add(job) {
      const own = ownLane(job);
      const key = [job.site, own, job.way && OWN_WAYS].filter((part) => part !== null).join(" ");
      let lane = byKey.get(key);
      if (!lane) {
        lane = open(job);
        byKey.set(key, lane);
        if (draining) void lane.drain();
      }
      lane.add(job);
    },
    fullDomains: () => domainsOf((lane) => lane.isFull),
    starvedDomains: () => domainsOf((lane) => lane.isStarved),
    areConnected: () => [...byKey.values()].some((lane) => lane.isConnected),
    tidy() {
      for (const [key, lane] of byKey) {
        lane.tidy();
        if (lane.isStarved) makeRoomFor(lane);
        if (lane.isEmpty) byKey.delete(key);
      }
    },
    async drain() {
      draining = true;
      await Promise.all([...byKey.values()].map((lane) => lane.drain()));
    },
  };
}
