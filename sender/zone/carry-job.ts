/**
 * One job of a lane on its connection: when its mail may begin, and when it may end (L3, L5 and L7 of lane.ts). Which job goes on which
 * connection, and what comes after, is the lane's.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Delivered, DeliverOptions } from "../delivery/deliver.ts";
import type { Job } from "../delivery/job.ts";
import type { SmtpSession } from "../delivery/smtp-client.ts";
import type { ThrottledMail } from "./throttles.ts";

export interface CarryDeps {
  readonly clock: Clock;
  /** The peer may not take the mail before what `beforeDot` gives at that time has resolved; null: it may. */
  readonly deliver: (
    job: Job,
    reused: SmtpSession | null,
    gates: Pick<DeliverOptions, "mayBegin"> & { readonly beforeDot: () => Promise<void> | null },
  ) => Promise<Delivered>;
  readonly mayStart: (lease: Lease) => boolean;
  /** Renew those that may not start. False: another worker has some of them, and may send their mail. */
  readonly confirm: (leases: readonly Lease[]) => Promise<boolean>;
}

export interface CarryingConnection {
  /** Null while it is being opened. */
  session: SmtpSession | null;
  /** The outcome of its last job is being written (L5); null: it is. */
  unwritten: Promise<void> | null;
}

export interface Carried {
  readonly startedAt: EpochMs;
  readonly delivered: Delivered;
}

/** `mail`: its permits; null: there is no rate to keep to. */
export async function carryJob(
  job: Job,
  connection: CarryingConnection,
  mail: ThrottledMail | null,
  { clock, deliver, mayStart, confirm }: CarryDeps,
): Promise<Carried> {
  /** L5, and L3. Rejects when the mail must not be taken: then the content stays without its end. */
  const mayEnd = async (): Promise<void> => {
    await connection.unwritten;
    if (!(await confirm(job.leases))) throw new Error("the lease of a row went to another worker");
  };
  const beforeDot = (): Promise<void> | null =>
    connection.unwritten || !job.leases.every(mayStart) ? mayEnd() : null;
  let startedAt = clock.now();
  if (!mail) return { startedAt, delivered: await deliver(job, connection.session, { beforeDot }) };
  let begun = 0;
  const mayBegin = async (leases: readonly Lease[]): Promise<readonly Lease[]> => {
    const count = await takeFor(mail, leases.length, { all: begun > 0 });
    begun = Math.max(begun, count);
    startedAt = clock.now();
    return leases.slice(0, count);
  };
  const delivered = await deliver(job, connection.session, { beforeDot, mayBegin });
  const outcomes = begun === 0 ? delivered.outcomes : delivered.outcomes.slice(0, begun);
  return { startedAt, delivered: { ...delivered, outcomes } };
}

/** All: those of a job that has begun, and goes on with another host. */
async function takeFor(mail: ThrottledMail, wanted: number, { all }: { all: boolean }): Promise<number> {
  let count = await mail.take(wanted);
  while (all && count > 0 && count < wanted) {
    const more = await mail.take(wanted - count);
    count = more === 0 ? 0 : count + more;
  }
  return count;
}
