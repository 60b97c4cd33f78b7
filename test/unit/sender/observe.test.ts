import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import type { RowState } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { createLog } from "#shared/runtime/log.ts";
import { createMetrics } from "#shared/runtime/metrics.ts";
import { observer } from "../../../sender/observe.ts";
import { attempt, message, queueRow, zoneA } from "../../support/builders.ts";

function setUp() {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const log = createLog({ level: "info" }, { write });
  const fail = (): never => assert.fail("no totals are asked for here");
  const metrics = createMetrics({
    zones: [zoneA],
    readStore: fail,
    totals: () => Promise.resolve(null),
    onError: fail,
  });
  const clock = { now: () => 0 as EpochMs, sleep: () => Promise.resolve() };
  return { lines, observe: observer({ log, metrics, clock }) };
}

describe("ZoneMTA's word for what happened", () => {
  test("is QUEUED for a message that is taken, and DROP for each recipient that is suppressed", () => {
    const { lines, observe } = setUp();
    const mail = message({ recipientCount: 2 });
    observe.accepted(mail, [queueRow(mail, 1), queueRow(mail, 2, { state: "suppressed" })], 3);
    assert.deepEqual(
      lines.map(({ event, messageId, rowId }) => ({ event, messageId, rowId })),
      [
        { event: "QUEUED", messageId: mail.id, rowId: undefined },
        { event: "DROP", messageId: mail.id, rowId: queueRow(mail, 2).id },
      ],
    );
  });

  test("is NOQUEUE for a message that is not taken, be it the client's fault or ours", () => {
    const { lines, observe } = setUp();
    observe.notAccepted(new DomainError("no-recipients", "name at least one recipient"));
    observe.notAccepted(new Error("the disk is gone"));
    assert.deepEqual(
      lines.map(({ event, level, code }) => ({ event, level, code })),
      [
        { event: "NOQUEUE", level: "info", code: "no-recipients" },
        { event: "NOQUEUE", level: "error", code: undefined },
      ],
    );
  });

  test("tells by which id plugins know a mail that is refused, where it came from, and what they noted", () => {
    const { lines, observe } = setUp();
    const { id, origin } = message();
    observe.notAccepted(new DomainError("refused", "No"), origin, { id, notes: { score: 7 } });
    const { event, messageId, notes, ip } = lines[0] ?? {};
    assert.deepEqual([event, messageId, notes, ip], ["NOQUEUE", id, { score: 7 }, origin.ip]);
  });

  const words = {
    delivered: "ACCEPTED",
    bounced: "REJECTED",
    expired: "REJECTED",
    suppressed: "DROP",
    dropped: "DROP",
  } satisfies Partial<Record<RowState, string>>;
  for (const [state, word] of Object.entries(words)) {
    test(`is ${word} for a row that ends ${state}`, () => {
      const { lines, observe } = setUp();
      observe.settled(queueRow(message(), 1), attempt(), { state: state as keyof typeof words });
      assert.equal(lines[0]?.["event"], word);
    });
  }

  test("is DEFERRED, with the time of the next attempt, for a row that is put off", () => {
    const { lines, observe } = setUp();
    const dueAt = 60_000 as EpochMs;
    observe.settled(queueRow(message(), 1), attempt({ kind: "deferred" }), { state: "deferred", dueAt });
    assert.equal(lines[0]?.["event"], "DEFERRED");
    assert.equal(lines[0]?.["dueAt"], "1970-01-01T00:01:00.000Z");
  });

  test("is DELETED for each recipient that an operator takes out", () => {
    const { lines, observe } = setUp();
    const row = queueRow(message(), 1);
    observe.deleted?.([row.id]);
    const { event, messageId, rowId } = lines[0] ?? {};
    assert.deepEqual([event, messageId, rowId], ["DELETED", row.messageId, row.id]);
  });

  test("is QUEUE_BOUNCE for a bounce message, with the mail that it is of", () => {
    const { lines, observe } = setUp();
    const of = message().id;
    observe.bounceSent(message(), of);
    assert.deepEqual([lines[0]?.["event"], lines[0]?.["of"]], ["QUEUE_BOUNCE", of]);
  });
});
