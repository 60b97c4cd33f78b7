/** A lane alone: what its tests hold in place of deliveries, limits and store. */

import type { Outcome } from "#shared/domain/outcome.ts";
import { NO_ROUTE } from "#shared/domain/outcome.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { Delivered, DeliverOptions } from "../../sender/delivery/deliver.ts";
import type { Job } from "../../sender/delivery/job.ts";
import type { SmtpSession } from "../../sender/delivery/smtp-client.ts";
import { openLane } from "../../sender/zone/lane.ts";
import type { Lane } from "../../sender/zone/lane.ts";
import type { RateSource } from "../../sender/zone/rate-source.ts";
import { address, anna, message, queueRow } from "./builders.ts";
import { fakeClock } from "./fake-clock.ts";

/** How many transactions a connection of its zone carries. */
export const REUSE_COUNT = 3;
const zone = [
  ...parseConfig(
    { zones: { default: { connections: 100, connectionCache: { ttl: 5, reuseCount: REUSE_COUNT } } } },
    { source: null, baseDir: "/" },
  ).zones.values(),
].find(({ name }) => name === "default") as Zone;

export const delivered: Outcome = {
  kind: "delivered",
  reply: { code: 250, enhanced: null, text: "ok" },
  route: NO_ROUTE,
};

/** A delivery in progress that the test ends when it likes. */
interface Running {
  readonly job: Job;
  readonly reused: SmtpSession | null;
  readonly beforeDot: () => Promise<void> | null;
  readonly mayBegin: DeliverOptions["mayBegin"];
  end(result?: Partial<Delivered>): Promise<void>;
}

/** A lane whose slots, permits, leases and deliveries the test has in its hands. */
export function laneHarness({ siteLimit = 2, slotsFree = 100, throttles = [] as RateSource[] } = {}) {
  const clock = fakeClock();
  const running: Running[] = [];
  const state = {
    slotsFree,
    settled: [] as Job[],
    putOff: [] as { job: Job; dueAt: EpochMs }[],
    room: 0,
    lost: new Set<Lease>(),
    doubtful: new Set<Lease>(),
    confirmed: [] as Lease[],
    isOver: false,
    hasEgress: true,
    withdrawn: new Set<SmtpSession>(),
    surrendered: 0,
    step: 0,
    permits: 0,
    permitsAsked: 0,
    permitsFail: false,
    storeFails: false,
    storeIsBack: Promise.resolve(),
  };
  const givenBack: Lease[] = [];
  const errors: unknown[] = [];
  const lane: Lane = openLane({
    zone,
    site: "mx.site.example",
    siteLimit,
    clock,
    random: () => 0.5,
    slots: {
      acquire: async () => {
        if (state.storeFails) throw new Error("the store does not answer");
        if (state.slotsFree > 0 && state.slotsFree-- > 0) return { granted: true };
        return { granted: false, retryAt: clock.in(SECOND) };
      },
      release: async () => void state.slotsFree++,
      isOver: () => state.isOver,
      surrender: () => {
        state.surrendered++;
        state.isOver = true;
      },
    },
    pace: {
      get step() {
        return state.step;
      },
      takePermit: async () => {
        state.permitsAsked++;
        if (state.permitsFail) throw new Error("the store does not answer");
        if (state.permits > 0 && state.permits-- > 0) return { granted: true, retryAt: clock.now() };
        return { granted: false, retryAt: clock.in(MINUTE) };
      },
    },
    throttles,
    deliver: (job, reused, { beforeDot, mayBegin }) =>
      new Promise((resolve) => {
        running.push({
          job,
          reused,
          beforeDot,
          mayBegin,
          async end(result = {}) {
            running.splice(
              running.findIndex((one) => one.job === job),
              1,
            );
            resolve({ outcomes: job.leases.map(() => delivered), session: null, siteDown: false, ...result });
            await turn();
          },
        });
      }),
    settle: async (job) => {
      await state.storeIsBack;
      state.settled.push(job);
    },
    putOff: async (job, dueAt) => void state.putOff.push({ job, dueAt }),
    giveBack: async (leases) => void givenBack.push(...leases),
    mayStart: (lease) => !state.lost.has(lease) && !state.doubtful.has(lease),
    confirm: async (leases) => {
      state.confirmed.push(...leases);
      return !leases.some((lease) => state.lost.has(lease));
    },
    hasEgress: () => state.hasEgress,
    isWithdrawn: (session) => state.withdrawn.has(session),
    onRoom: () => void state.room++,
    onConnections: () => undefined,
    onError: (error) => void errors.push(error),
  });
  return { clock, lane, running, state, givenBack, errors };
}

/** Lets all go on that waits for nothing from outside. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function job(fields: Partial<Job> = {}, recipients = ["rcpt@one.example"]): Job {
  const mail = fields.message ?? message();
  const leases = recipients.map((recipient, i) => ({
    row: queueRow(mail, i + 1, { recipient: address(recipient) }),
    token: 1,
    worker: anna,
    until: 0 as EpochMs,
  }));
  return {
    zone,
    message: mail,
    leases,
    site: "mx.site.example",
    hosts: [],
    relay: null,
    http: null,
    way: null,
    skipSrs: false,
    sts: null,
    egressKey: "e1",
    ...fields,
  };
}

/** A session that closes when it is told to, and says so. */
export function session(): SmtpSession & { transactions: number; closed: boolean } {
  let onClosed = (): void => undefined;
  const close = (): void => {
    fake.closed = true;
    fake.usable = false;
    onClosed();
  };
  const fake = {
    usable: true,
    transactions: 1,
    closed: false,
    quit: close,
    destroy: close,
    onClose(listener: () => void) {
      if (fake.closed) listener();
      else onClosed = listener;
    },
  };
  return fake as unknown as SmtpSession & { transactions: number; closed: boolean };
}
