import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Context, SQSEvent } from "aws-lambda";

import { parseMessageId } from "#shared/domain/ids.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import type { RowState } from "#shared/domain/queue-row.ts";
import type { QueueStore } from "#shared/ports/queue-store.ts";
import { deadLetterHandler } from "../../../lambdas/dead-letter.ts";
import { message, newMessageId, queueRow } from "../../support/builders.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

const DOWN = newMessageId();

/** Bodies are `<message id> <seq>`. */
function readSignal(body: string) {
  const [id = "", seq = ""] = body.split(" ");
  const messageId = parseMessageId(id);
  return messageId && { messageId, seqs: [Number(seq)] };
}

function queueOf(states: readonly RowState[]): Pick<QueueStore, "get"> {
  return {
    async get(id) {
      if (id === DOWN) throw new Error("the store is down");
      const stored = message({ id });
      return { message: stored, rows: states.map((state, i) => queueRow(stored, i + 1, { state })) };
    },
  };
}

async function handle(states: readonly RowState[], ...bodies: string[]) {
  const telemetry = toldTelemetry();
  const handler = deadLetterHandler({ queue: queueOf(states), readSignal, telemetry });
  const Records = bodies.map((body, i) => ({
    messageId: `sqs-${i}`,
    body,
    eventSourceARN: "arn:x:zone-dead",
  }));
  const { batchItemFailures } = await handler({ Records } as unknown as SQSEvent, {} as Context);
  return { failed: batchItemFailures.map(({ itemIdentifier }) => itemIdentifier), ...telemetry };
}

const signal = (seq: number, id: MessageId = newMessageId()) => `${id} ${seq}`;

describe("a dead letter", () => {
  test("of rows that still wait is told with their ids and states", async () => {
    const id = newMessageId();
    const { failed, lines, counts } = await handle(["queued", "queued", "delivered"], signal(2, id));
    assert.deepEqual([failed, counts], [[], { DeadLetters: 1 }]);
    assert.equal(lines.length, 1);
    const { level, fields } = lines[0] as (typeof lines)[number];
    assert.equal(level, "error");
    assert.deepEqual(fields, {
      component: "dead-letter",
      queue: "arn:x:zone-dead",
      sqsId: "sqs-0",
      messageId: id,
      rows: [{ rowId: `${id}.002`, state: "queued", attempts: 0 }],
    });
  });

  test("of rows that are done, or of a message that is gone, is no alarm", async () => {
    const { lines } = await handle(["queued", "delivered"], signal(2), signal(7));
    assert.deepEqual(
      lines.map(({ level }) => level),
      ["info", "info"],
    );
  });

  test("that is no signal is told, with no more than its beginning", async () => {
    const { failed, lines } = await handle([], `x${"y".repeat(1_000)}`);
    assert.deepEqual([failed, lines.map(({ level }) => level)], [[], ["error"]]);
    assert.ok(JSON.stringify(lines).length < 500);
  });

  test("whose rows cannot be read now comes again, and the others do not", async () => {
    const { failed, counts } = await handle(["queued"], signal(1), signal(1, DOWN), signal(1));
    assert.deepEqual([failed, counts], [["sqs-1"], { DeadLetters: 2 }]);
    assert.deepEqual((await handle(["queued"], signal(1, DOWN))).failed, ["sqs-0"]);
  });
});
