/** The stream's Lambda: signals and reports do not wait for each other, and nothing stops the stream. Backlog of the local AWS. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { DynamoDBRecord } from "aws-lambda";

import { GIVE_UP_MS } from "#shared/app/notify.ts";
import { BATCH_MS, REPORT_MS, REPORTS } from "#shared/app/report-stream.ts";
import { dynamoEventBacklog } from "#shared/aws/event-backlog.ts";
import type { Address } from "#shared/domain/address.ts";
import type { MailEvent } from "#shared/domain/event.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import { MINUTE } from "#shared/domain/units.ts";
import type { EventsDeps } from "../../../lambdas/events.ts";
import { eventsHandler, reportAgainHandler } from "../../../lambdas/events.ts";
import { newInstallation, sharedLocalAws, stopLocalAwsAtEnd, storeClock } from "../../support/aws-backend.ts";
import { zoneA } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { sdkFaults } from "../../support/sdk-faults.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

stopLocalAwsAtEnd();

async function lambda(over: Partial<EventsDeps> = {}) {
  const clock = (over.clock as FakeClock | undefined) ?? fakeClock();
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  await newInstallation(aws.clients, names);
  const clients = aws.newClients();
  const telemetry = toldTelemetry();
  const backlog = dynamoEventBacklog({
    dynamo: clients.dynamo,
    table: names.table,
    clock: storeClock(clock),
  });
  /** What has been reported, as `a.001`. */
  const reported: string[] = [];
  /** What cannot be reported now. */
  const failing = new Set<string>();
  let number = 100;
  const eventsOf = ({ eventID: word = "" }: DynamoDBRecord): MailEvent[] => {
    if (word === "-") return [];
    if (word === "!") throw new Error("no such shape");
    const messageId = word.charAt(0) as MessageId;
    const rowId = rowIdOf(messageId, Number(word.slice(1)));
    const returnPath = "anna@example.com" as Address;
    const common = { at: clock.now(), messageId, rowId, zone: zoneA, returnPath, recipient: null };
    return [{ type: "bounce", ...common, attempts: 1, attempt: null }];
  };
  const deps: EventsDeps = {
    backlog,
    clock,
    telemetry,
    eventsOf,
    async report(events) {
      const rows = events.map(({ rowId }) => rowId).join("+");
      if (failing.has(rows)) throw new Error("no report now");
      reported.push(rows);
    },
    signal: async () => null,
    ...over,
  };
  const handler = eventsHandler(deps);
  const again = reportAgainHandler(deps);
  return {
    clock,
    telemetry,
    reported,
    failing,
    backlog,
    faults: sdkFaults(clients),
    /**
     * `a1 b1` …: a record for each word, of a row of message `a` or `b` that bounced; `-` tells nothing, `!` cannot be read.
     * The first has the number 100.
     * Resolves with the number from which on the batch must come again.
     */
    async brings(text: string): Promise<string | null> {
      const Records = text.split(" ").map((eventID) => ({
        eventID,
        dynamodb: { SequenceNumber: String(number++), Keys: { PK: { S: eventID } } },
      }));
      return (await handler({ Records })).batchItemFailures[0]?.itemIdentifier ?? null;
    },
    /** The schedule comes. */
    triesAgain: () => again({}, { getRemainingTimeInMillis: () => MINUTE }),
  };
}

describe("the reader of the table's stream", { skip: noLocalAws() }, () => {
  test("reports each record by itself, so that a report is the same wherever batches are cut", async () => {
    const it = await lambda();
    assert.equal(await it.brings("a1 - a2 b1 a3"), null);
    assert.deepEqual(it.reported, ["a.001", "a.002", "b.001", "a.003"]);
    assert.deepEqual(it.telemetry.counts, { EventsRead: 4 });
  });

  test("passes over a record that cannot be read, and tells of it", async () => {
    const it = await lambda();
    assert.equal(await it.brings("! a1"), null);
    assert.deepEqual(it.reported, ["a.001"]);
    assert.deepEqual(
      it.telemetry.lines.map(({ level, message }) => [level, message]),
      [["error", "event not readable"]],
    );
    assert.equal(it.telemetry.counts.EventsFailed, 1);
  });

  test("asks for the batch again from the first signal that could not be sent, and has made the reports", async () => {
    const it = await lambda({ signal: async () => 1 });
    assert.equal(await it.brings("a1 - b1"), "101");
    assert.deepEqual(it.reported, ["a.001", "b.001"]);
  });

  test("sends signals before it reports, and does not wait for a report", async () => {
    const order: string[] = [];
    const it = await lambda({
      signal: async () => (order.push("signals"), null),
      report: () => (order.push("report"), new Promise(() => undefined)),
    });
    const bringing = it.brings("a1 b1");
    while (it.clock.sleepers === 0) await new Promise((resolve) => void setImmediate(resolve));
    assert.deepEqual(order, ["signals", "report"]);
    await it.clock.advance(REPORT_MS);
    assert.equal(await bringing, null);
    assert.equal(it.telemetry.counts.EventsKept, 2);
  });

  test("keeps a report that cannot be made, and those behind it, and goes on", async () => {
    const it = await lambda();
    it.failing.add("b.001");
    assert.equal(await it.brings("a1 b1 c1"), null);
    assert.equal(await it.brings("d1"), null);
    assert.deepEqual(it.reported, ["a.001"], "behind what is kept already");
    assert.equal(it.telemetry.counts.EventsKept, 3);
    await it.triesAgain();
    assert.deepEqual(it.reported, ["a.001", "c.001", "d.001"], "one that fails holds up no other");
    it.failing.clear();
    await it.clock.advance(MINUTE);
    await it.triesAgain();
    assert.deepEqual(it.reported, ["a.001", "c.001", "d.001", "b.001"]);
    assert.equal(await it.backlog.isOpen(REPORTS), false);
    await it.brings("e1");
    assert.equal(it.reported.at(-1), "e.001", "and all is as before");
  });

  test("makes those behind a hundred reports that cannot be made", async () => {
    const it = await lambda();
    const stuck = Array.from({ length: 120 }, (_, i) => `a${i + 1}`);
    for (const word of stuck) it.failing.add(rowIdOf("a" as MessageId, Number(word.slice(1))));
    await it.brings([...stuck, "b1"].join(" "));
    await it.triesAgain();
    assert.deepEqual(it.reported, ["b.001"]);
    it.failing.clear();
    await it.clock.advance(MINUTE);
    await it.triesAgain();
    assert.equal(it.reported.length, 121);
    assert.equal(await it.backlog.isOpen(REPORTS), false);
  });

  test("goes on behind reports that take all its time to fail", async () => {
    const clock = fakeClock();
    const made: string[] = [];
    const it = await lambda({
      clock,
      async report([event]) {
        if (event?.messageId === "b") return void made.push("b");
        await clock.advance(REPORT_MS);
        throw new Error("no report now");
      },
    });
    await it.brings("a1 a2 a3 a4 a5 a6 b1");
    await it.triesAgain();
    assert.deepEqual(made, [], "its time was over before");
    await it.triesAgain();
    assert.deepEqual(made, ["b"]);
  });

  test("keeps what is left when reports take long", async () => {
    const it = await lambda();
    const { clock } = it;
    const slow = await lambda({
      clock,
      report: () => clock.advance(BATCH_MS / 3 + 1),
    });
    assert.equal(await slow.brings("a1 b1 c1 d1"), null);
    assert.equal(slow.telemetry.counts.EventsKept, 1);
  });

  test("gives a report up after a day, and says so", async () => {
    const it = await lambda();
    it.failing.add("a.001");
    await it.brings("a1");
    await it.triesAgain();
    assert.equal(it.telemetry.counts.EventsGivenUp, undefined);
    await it.clock.advance(GIVE_UP_MS);
    await it.triesAgain();
    assert.equal(it.telemetry.counts.EventsGivenUp, 1);
    assert.equal(it.telemetry.lines.at(-1)?.level, "error");
    await it.triesAgain();
    assert.equal(await it.backlog.isOpen(REPORTS), false);
  });

  test("asks for the batch again from the first report, when reports can neither be made nor kept", async () => {
    const it = await lambda();
    it.failing.add("a.001");
    it.faults.throttle("BatchWriteItem", 1_000);
    assert.equal(await it.brings("- a1 b1"), "101");
    assert.equal(it.telemetry.lines.at(-1)?.message, "reports neither made nor kept");
    it.faults.heal();
    it.failing.clear();
    assert.equal(await it.brings("- a1 b1"), null);
    await it.clock.advance(MINUTE);
    await it.triesAgain();
    assert.deepEqual(it.reported.toSorted(), ["a.001", "b.001"]);
  });

  test("asks nobody about records that nothing follows from", async () => {
    const it = await lambda();
    assert.equal(await it.brings("- -"), null);
    assert.deepEqual([...it.faults.sent], []);
  });
});
