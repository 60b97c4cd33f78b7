/**
 * Names and meaning of what is measured, for Prometheus, and the sums over the processes of one machine.
 *
 * 1. A process counts for itself. A scrape may reach any process and answers for all: it asks for the totals, and when those do
 *    not come in time, answers for itself alone.
 * 2. What is counted never goes down when a process dies: its last snapshot stays in the totals. Its gauges go with it.
 * 3. What is read out of the store (queue sizes, blocked addresses) is the same for all processes: it is read by the one that was
 *    asked, and is never in a snapshot, so that it cannot be summed.
 */

import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from "prom-client";

import type { ZoneName } from "../domain/zone.ts";

/** From a commit on a fast disk to a peer that takes its time. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** From delivered at once to the last rungs of the retry ladder. */
const DELIVERY_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30, 60, 300, 900, 3_600, 14_400, 86_400];

export type MetricsSnapshot = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

export interface StoreReading {
  /** Rows that are due, being sent included. */
  readonly queued: number;
  /** Rows that wait for their next attempt. */
  readonly deferred: number;
  /** Pairs of egress address and site that may not talk now. */
  readonly blacklisted: number;
  /** Sites that a zone sends to more slowly now. */
  readonly slowed: number;
}

export interface Metrics extends Instruments {
  /** What this process counted, to be summed with the others'. */
  snapshot(): Promise<MetricsSnapshot>;
  /** The answer to a scrape, in Prometheus' text format. */
  text(): Promise<string>;
}

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

export interface MetricsDeps {
  /** Zones of the configuration, whose counters start at 0 so that a rate over them is right from the first mail. */
  readonly zones: Iterable<ZoneName>;
  readonly readStore: () => Promise<StoreReading>;
  /** The sum over all processes as text; null: it is not to be had, or not in time. */
  readonly totals: () => Promise<string | null>;
  /** Told when the store could not be read; the scrape then goes without what is in it. */
  readonly onError: (error: unknown) => void;
}

export function createMetrics({ zones, readStore, totals, onError }: MetricsDeps): Metrics {
  const counted = new Registry();
  const instruments = instrumentsIn(counted);
  startAtZero(instruments, zones);
  return {
    ...instruments,
    snapshot: () => counted.getMetricsAsJSON(),
    async text() {
      const reading = readStore().catch((error: unknown) => {
        onError(error);
        return null;
      });
      const [sum, stored] = await Promise.all([totals(), reading]);
      const own = sum ?? (await counted.metrics());
      return stored ? `${own.trimEnd()}\n${await storeText(stored)}` : own;
    },
  };
}

type Instruments = ReturnType<typeof instrumentsIn>;

function instrumentsIn(registry: Registry) {
  const registers = [registry];
  return {
    /** Attempts by outcome. Alert: the share of `deferred` or `rejected` of a zone doubles over an hour; `delivered` stops. */
    deliveryStatus: new Counter({
      name: "zonefleet_delivery_status",
      help: "Delivery attempts by outcome",
      labelNames: ["status", "zone"] as const,
      registers,
    }),
    /** Submissions by any front door. Alert: any `fail` that lasts, for clients are then told to come back later. */
    messagePush: new Counter({
      name: "zonefleet_message_push",
      help: "Messages submitted, by whether they were stored",
      labelNames: ["result"] as const,
      registers,
    }),
    /** Recipients that end without delivery or bounce: refused at accept, or dropped by an operator. Alert: a jump. */
    messageDrop: new Counter({ name: "zonefleet_message_drop", help: "Recipients dropped", registers }),
    /** Bounce messages sent. Alert: a jump, which tells of a bad list or of forged senders. */
    bounceGeneration: new Counter({
      name: "zonefleet_bounce_generation",
      help: "Bounce messages (DSN) generated",
      registers,
    }),
    /** Steps down to a slower pace that sites asked for. Alert: a zone's rate stays up for an hour; its mail is not welcome. */
    slowdowns: new Counter({
      name: "zonefleet_slowdowns",
      help: "Times that a zone was slowed down for a destination that asked for it",
      labelNames: ["zone"] as const,
      registers,
    }),
    /** Transactions on a connection that was open already. No alert; a low share of all means slow delivery. */
    connectionReuses: new Counter({
      name: "zonefleet_connection_reuses",
      help: "Transactions on a connection that had carried one before",
      registers,
    }),
    /** Idle connections that are kept. Alert: it only rises, which is a leak. */
    connectionPoolSize: new Gauge({
      name: "zonefleet_connection_pool_size",
      help: "Idle connections kept for reuse",
      registers,
    }),
    /** First byte of a body to durable. Alert: the 99th percentile over 1 s; the disk is too slow for the load. */
    acceptSeconds: new Histogram({
      name: "zonefleet_accept_seconds",
      help: "Time to store a message durably",
      buckets: SECONDS,
      registers,
    }),
    /** Accepted to delivered, one for each recipient. Alert: the median over what the users were promised. */
    deliverySeconds: new Histogram({
      name: "zonefleet_delivery_seconds",
      help: "Time from accept to delivered, for each recipient delivered",
      buckets: DELIVERY_SECONDS,
      registers,
    }),
    /** One attempt from its start to its outcome. Alert: the 90th percentile over 30 s; peers are tarpitting or unreachable. */
    transactionSeconds: new Histogram({
      name: "zonefleet_transaction_seconds",
      help: "Time of one delivery attempt",
      buckets: SECONDS,
      registers,
    }),
  };
}

function startAtZero(
  { deliveryStatus, messagePush, slowdowns }: Instruments,
  zones: Iterable<ZoneName>,
): void {
  for (const zone of zones) {
    for (const status of ["delivered", "rejected", "deferred"]) deliveryStatus.inc({ status, zone }, 0);
    slowdowns.inc({ zone }, 0);
  }
  for (const result of ["success", "fail"]) messagePush.inc({ result }, 0);
}

/** In a registry of its own for each scrape: two scrapes at once do not write each other's values. */
function storeText({ queued, deferred, blacklisted, slowed }: StoreReading): Promise<string> {
  const registry = new Registry();
  /** Alert: `queued` grows over 15 minutes (mail does not move), `deferred` is over a day's usual. */
  const size = new Gauge({
    name: "zonefleet_queue_size",
    help: "Recipients in the queue",
    labelNames: ["type"] as const,
    registers: [registry],
  });
  size.set({ type: "queued" }, queued);
  size.set({ type: "deferred" }, deferred);
  /** Alert: above 0 for an hour; somebody lists one of our addresses. */
  const blocked = new Gauge({
    name: "zonefleet_blacklisted",
    help: "Pairs of egress address and destination that are blocked now",
    registers: [registry],
  });
  blocked.set(blacklisted);
  /** No alert: it is what keeps the mail going. What is slow and why is in the log. */
  const slow = new Gauge({
    name: "zonefleet_slowed",
    help: "Pairs of zone and destination with a slower pace now",
    registers: [registry],
  });
  slow.set(slowed);
  return registry.metrics();
}

export interface MetricTotals {
  /** The newest snapshot of a process takes the place of the one before. */
  report(process: string, snapshot: MetricsSnapshot): void;
  /** The process is gone: what it counted stays. */
  bury(process: string): void;
  text(): Promise<string>;
}

/** The sums over all processes there are and were. */
export function metricTotals(): MetricTotals {
  const living = new Map<string, MetricsSnapshot>();
  let gone: Promise<MetricsSnapshot> = Promise.resolve([]);
  return {
    report(process, snapshot) {
      living.set(process, snapshot);
    },
    bury(process) {
      const last = living.get(process);
      living.delete(process);
      if (!last) return;
      const counted = last.filter(({ type }) => !isGauge(type));
      gone = gone.then((before) => AggregatorRegistry.aggregate([before, counted]).getMetricsAsJSON());
    },
    async text() {
      const now = [...living.values()]; // before the wait: who is buried meanwhile is in one of the two, not in both
      const before = await gone;
      return AggregatorRegistry.aggregate([before, ...now]).metrics();
    },
  };
}

/** The typings say that a type is a number, and at run time it is its name. */
function isGauge(type: unknown): boolean {
  return type === "gauge";
}
