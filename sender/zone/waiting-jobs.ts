/** The jobs of a lane that have not begun: a bounded queue that says when it is full, and of which domains its mail is. */

import type { Domain } from "#shared/domain/address.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { lineOf } from "#shared/domain/queue-row.ts";
import { MAX_ROWS_TOGETHER } from "#shared/ports/queue-store.ts";
import type { Job } from "../delivery/job.ts";

export interface WaitingJobs {
  readonly length: number;
  /** All that were ever here, as far as they are remembered. */
  readonly domains: ReadonlySet<Domain>;
  /** True: no more are wanted. From then on until half of them have gone, so that rows are taken by the handful. */
  isFull(isStarved: boolean): boolean;
  /** True: it was full, and is not any more. */
  madeRoom(isStarved: boolean): boolean;
  /** Rows of one message that may share a transaction become one job. */
  add(job: Job): void;
  /** Back to where it came from. */
  putBack(job: Job): void;
  /** The oldest, or the oldest that is meant. */
  take(isMeant?: (job: Job) => boolean): Job | undefined;
  takeAll(): Job[];
}

/** Domains a lane knows to be its own; the oldest is forgotten, and costs a look-up when it comes again. */
const MAX_DOMAINS = 10_000;

export function waitingJobs(maxJobs: number): WaitingJobs {
  const domains = new Set<Domain>();
  const jobs: Job[] = [];
  let full = false;

  function remember({ row }: Lease): void {
    const domain = lineOf(row);
    domains.delete(domain); // to the end: the first is the oldest
    domains.add(domain);
    const [oldest] = domains;
    if (domains.size > MAX_DOMAINS && oldest !== undefined) domains.delete(oldest);
  }

  return {
    get length() {
      return jobs.length;
    },
    domains,
    isFull(isStarved) {
      if (isStarved || jobs.length >= maxJobs) full = true;
      return full;
    },
    madeRoom(isStarved) {
      if (!full || isStarved || jobs.length > maxJobs / 2) return false;
      full = false;
      return true;
    },
    add(job) {
      job.leases.forEach(remember);
      const at = jobs.findIndex((other) => areTogether(other, job));
      const other = jobs[at];
      if (other) jobs[at] = { ...other, leases: [...other.leases, ...job.leases] };
      else jobs.push(job);
    },
    putBack: (job) => void jobs.unshift(job),
    take(isMeant = () => true) {
      const at = jobs.findIndex(isMeant);
      return at === -1 ? undefined : jobs.splice(at, 1)[0];
    },
    takeAll: () => jobs.splice(0),
  };
}

function areTogether(one: Job, other: Job): boolean {
  return (
    one.view === undefined &&
    other.view === undefined &&
    one.message.id === other.message.id &&
    one.egressKey === other.egressKey &&
    one.leases.length + other.leases.length <= MAX_ROWS_TOGETHER
  );
}
