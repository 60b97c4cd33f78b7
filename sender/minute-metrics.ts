/**
 * What a worker on AWS has done in each zone, written to its log once a minute as lines that CloudWatch makes metrics of: nothing is
 * called, and a zone in which nothing happened costs nothing. A worker that is killed takes up to a minute of its counts along.
 */

import type { Observer } from "#shared/app/observer.ts";
import { serviceLine, zoneCountsLine } from "#shared/runtime/cloudwatch.ts";
import type { Values, ZoneCount } from "#shared/runtime/cloudwatch.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { Settled } from "#shared/domain/queue-row.ts";
import { MINUTE } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { Logger } from "#shared/runtime/log.ts";

export interface MinuteMetrics extends Disposable {
  readonly observer: Observer;
  /** Write what has not been written, and end. */
  [Symbol.dispose](): void;
}

export interface MinuteMetricsOptions {
  /** Name of the installation's table. */
  readonly installation: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const SERVICE = "sender";
const NOTHING: Values<ZoneCount> = { Accepted: 0, Delivered: 0, Deferred: 0, Bounced: 0, Expired: 0 };
const COUNT_OF: Readonly<Partial<Record<Settled["state"], ZoneCount>>> = {
  delivered: "Delivered",
  deferred: "Deferred",
  bounced: "Bounced",
  expired: "Expired",
};

export function minuteMetrics({ installation, clock, log }: MinuteMetricsOptions): MinuteMetrics {
  // Alarms take the absence of these lines for mail that stands still: they are written whatever the level of the log is.
  const lines = log.child({ component: "metrics" }, { level: "info" });
  const zones = new Map<ZoneName, Values<ZoneCount>>();
  let messages = { MessagesAccepted: 0, MessagesNotStored: 0 };
  const stop = new AbortController();

  function count(zone: ZoneName, name: ZoneCount): void {
    const counts = zones.get(zone) ?? NOTHING;
    zones.set(zone, { ...counts, [name]: counts[name] + 1 });
  }

  function write(): void {
    const at = clock.now();
    for (const [zone, counts] of zones)
      lines.info(zoneCountsLine({ at, installation, zone }, counts), "counts of a zone");
    zones.clear();
    if (messages.MessagesAccepted + messages.MessagesNotStored === 0) return;
    lines.info(serviceLine({ at, installation, service: SERVICE }, messages), "counts of the worker");
    messages = { MessagesAccepted: 0, MessagesNotStored: 0 };
  }

  async function writeEachMinute(): Promise<void> {
    for (;;) {
      await clock.sleep(MINUTE, stop.signal);
      if (stop.signal.aborted) return;
      write();
    }
  }

  void writeEachMinute(); // never rejects: a log line does not fail
  return {
    observer: {
      accepted(_message, rows) {
        messages.MessagesAccepted++;
        for (const { zone } of rows) count(zone, "Accepted");
      },
      notAccepted(error) {
        if (!(error instanceof DomainError)) messages.MessagesNotStored++;
      },
      settled(row, _attempt, settled) {
        const name = COUNT_OF[settled.state];
        const isPutOff = settled.state === "deferred" && settled.untried === true; // nothing was attempted
        if (name !== undefined && !isPutOff) count(row.zone, name);
      },
      settledLate: () => undefined,
      bounceSent: () => undefined,
    },
    [Symbol.dispose]() {
      stop.abort();
      write();
    },
  };
}
