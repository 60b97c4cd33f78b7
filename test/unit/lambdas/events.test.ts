import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { DynamoDBRecord } from "aws-lambda";

import type { MailEvent } from "#shared/domain/event.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { eventsHandler } from "../../../lambdas/events.ts";
import type { EventConsumer } from "../../../lambdas/events.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

/** `a1 b1` …: a record for each word, of message `a` or `b`; `-` is a change that tells nothing, `!` one that cannot be read. */
function batch(text: string) {
  const Records: DynamoDBRecord[] = text.split(" ").map((word, i) => ({
    eventID: word,
    dynamodb: { SequenceNumber: String(i), Keys: { PK: { S: word } } },
  }));
  return { Records };
}

function eventsOf({ eventID: word = "" }: DynamoDBRecord): MailEvent[] {
  if (word === "-") return [];
  if (word === "!") throw new Error("no such shape");
  const messageId = word.charAt(0) as MessageId;
  return [
    {
      type: "bounce",
      at: 0 as EpochMs,
      messageId,
      rowId: rowIdOf(messageId, Number(word.slice(1))),
      zone: null,
      returnPath: null,
      recipient: null,
      attempts: 1,
      attempt: null,
    },
  ];
}

/** Remembers the runs it was given, as `a.001+a.002`; fails for those that contain `failing`. */
function consumer(name: string, failing: string | null = null): EventConsumer & { runs: string[] } {
  const runs: string[] = [];
  return {
    name,
    runs,
    async consume(events) {
      const run = events.map(({ rowId }) => rowId).join("+");
      if (failing !== null && run.includes(failing)) throw new Error(`${name} cannot`);
      runs.push(run);
    },
  };
}

describe("events from the table's stream", () => {
  test("are given to each consumer in order, those of one message that stand together at once", async () => {
    const [one, two] = [consumer("one"), consumer("two")];
    const telemetry = toldTelemetry();
    const handler = eventsHandler({ eventsOf, consumers: [one, two], telemetry });
    assert.deepEqual(await handler(batch("a1 - a2 b1 a3")), { batchItemFailures: [] });
    assert.deepEqual(one.runs, ["a.001+a.002", "b.001", "a.003"]);
    assert.deepEqual(two.runs, one.runs);
    assert.deepEqual(telemetry.counts, { EventsRead: 4 });
  });

  test("come again from the first of the run that failed, and none behind it was touched", async () => {
    const [one, two] = [consumer("one"), consumer("two", "b.001")];
    const telemetry = toldTelemetry();
    const handler = eventsHandler({ eventsOf, consumers: [one, two], telemetry });
    const { batchItemFailures } = await handler(batch("a1 - b2 b1 c1"));
    assert.deepEqual(batchItemFailures, [{ itemIdentifier: "2" }]);
    assert.deepEqual([one.runs, two.runs], [["a.001", "b.002+b.001"], ["a.001"]]);
    assert.deepEqual(telemetry.counts, { EventsRead: 1, EventsFailed: 2 });
    assert.deepEqual(
      telemetry.lines.map(({ level, message }) => [level, message]),
      [["error", "events failed"]],
    );
  });

  test("that cannot be read are told and passed over", async () => {
    const one = consumer("one");
    const telemetry = toldTelemetry();
    const handler = eventsHandler({ eventsOf, consumers: [one], telemetry });
    assert.deepEqual(await handler(batch("! a1")), { batchItemFailures: [] });
    assert.deepEqual(one.runs, ["a.001"]);
    assert.deepEqual(
      telemetry.lines.map(({ message }) => message),
      ["event not readable"],
    );
    assert.equal(telemetry.counts.EventsFailed, 1);
  });

  test("of which there are none are no work", async () => {
    const one = consumer("one");
    const handler = eventsHandler({ eventsOf, consumers: [one], telemetry: toldTelemetry() });
    assert.deepEqual(await handler(batch("- -")), { batchItemFailures: [] });
    assert.deepEqual(one.runs, []);
  });
});
