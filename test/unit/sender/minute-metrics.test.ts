/** The lines of a worker's log that CloudWatch makes metrics of, read back from the log. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import type { Settled } from "#shared/domain/queue-row.ts";
import { MINUTE } from "#shared/domain/units.ts";
import { createLog } from "#shared/runtime/log.ts";
import { minuteMetrics } from "../../../sender/minute-metrics.ts";
import { attempt, message, queueRow, zoneA, zoneB } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { metricLinesIn } from "../../support/metric-lines.ts";
import type { MetricLine } from "../../support/metric-lines.ts";

const NOTHING = { Accepted: 0, Delivered: 0, Deferred: 0, Bounced: 0, Expired: 0 };

function setUp({ level = "info" } = {}) {
  const lines: MetricLine[] = [];
  const clock = fakeClock();
  const log = createLog({ level }, { write: (line) => void lines.push(...metricLinesIn(line)) });
  const minutes = minuteMetrics({ installation: "zonefleet-test", clock, log });
  const mail = message();
  const settle = (settled: Settled, zone = zoneA): void =>
    minutes.observer.settled(queueRow(mail, 1, { zone }), attempt(), settled, mail);
  return { lines, clock, minutes, mail, settle };
}

/** Of which zone or service, and what was counted. */
function countsOf({ dimensions, values }: MetricLine): Record<string, unknown> {
  return { who: dimensions[0]?.["Zone"] ?? dimensions[0]?.["service"], ...values };
}

describe("the metrics of a worker", () => {
  test("are one line for each zone and minute, with what its attempts came to", async () => {
    const { lines, clock, minutes, settle } = setUp();
    const dueAt = clock.in(MINUTE);
    settle({ state: "delivered" });
    settle({ state: "delivered" });
    settle({ state: "deferred", dueAt });
    settle({ state: "bounced" });
    settle({ state: "expired" });
    settle({ state: "delivered" }, zoneB);
    assert.equal(lines.length, 0);
    await clock.advance(MINUTE);
    assert.deepEqual(lines.map(countsOf), [
      { who: zoneA, ...NOTHING, Delivered: 2, Deferred: 1, Bounced: 1, Expired: 1 },
      { who: zoneB, ...NOTHING, Delivered: 1 },
    ]);
    const installation = { Installation: "zonefleet-test" };
    assert.equal(lines[0]?.namespace, "ZoneFleet");
    assert.deepEqual(lines[0]?.dimensions, [{ ...installation, Zone: zoneA }, installation]);
    assert.equal(lines[0]?.at, clock.now());
    minutes[Symbol.dispose]();
  });

  test("count anew in each minute, and a minute in which nothing happened is no line", async () => {
    const { lines, clock, minutes, settle } = setUp();
    settle({ state: "delivered" });
    await clock.advance(3 * MINUTE);
    settle({ state: "delivered" });
    await clock.advance(MINUTE);
    assert.deepEqual(
      lines.map(({ values }) => values["Delivered"]),
      [1, 1],
    );
    minutes[Symbol.dispose]();
  });

  test("leave out what was put off without an attempt, and what an operator or the suppression list ended", async () => {
    const { lines, clock, minutes, settle } = setUp();
    settle({ state: "deferred", dueAt: clock.in(MINUTE), untried: true });
    settle({ state: "dropped" });
    settle({ state: "suppressed" });
    await clock.advance(MINUTE);
    assert.deepEqual(lines, []);
    minutes[Symbol.dispose]();
  });

  test("tell of mail taken in, and of mail that could not be stored but not of a client's mistake", async () => {
    const { lines, clock, minutes, mail } = setUp();
    minutes.observer.accepted(mail, [queueRow(mail, 1), queueRow(mail, 2, { zone: zoneB })], 3);
    minutes.observer.notAccepted(new Error("the table is down"));
    minutes.observer.notAccepted(new DomainError("no-recipients", "name at least one recipient"));
    await clock.advance(MINUTE);
    assert.deepEqual(lines.map(countsOf), [
      { who: zoneA, ...NOTHING, Accepted: 1 },
      { who: zoneB, ...NOTHING, Accepted: 1 },
      { who: "sender", MessagesAccepted: 1, MessagesNotStored: 1 },
    ]);
    minutes[Symbol.dispose]();
  });

  test("are written when the worker ends, and no more after it", async () => {
    const { lines, clock, minutes, settle } = setUp();
    settle({ state: "delivered" });
    minutes[Symbol.dispose]();
    assert.equal(lines.length, 1);
    await clock.advance(2 * MINUTE);
    assert.equal(lines.length, 1);
    assert.equal(clock.sleepers, 0);
  });

  test("are written whatever else the log leaves out, for alarms miss them", async () => {
    const { lines, clock, minutes, settle } = setUp({ level: "error" });
    settle({ state: "delivered" });
    await clock.advance(MINUTE);
    assert.equal(lines.length, 1);
    minutes[Symbol.dispose]();
  });
});
