/** What waits in each zone, as the metrics tell it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { HOUR, MINUTE } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import { acceptMail, takeRequest } from "../../support/backend.ts";
import { attempt, message, queueRow, zoneA, zoneB } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

/** Of one message, so that all are in one shard; and how often 40 of them are read until all are. */
const ROWS = 100;
const READINGS = 3;
const NOTHING = { queued: 0, deferred: 0, held: 0, oldestDueAt: null };

describe("the backlog", { skip: noLocalAws() }, () => {
  test("counts the rows of each zone, and tells since when the oldest has been due", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const backend = aws as unknown as Backend;
    const at = clock.now();
    await acceptMail(backend, clock);
    await clock.advance(MINUTE);
    await acceptMail(backend, clock);
    const held = await acceptMail(backend, clock);
    await aws.queue.operate(
      "hold",
      held.rows.map(({ id }) => id),
    );
    assert.deepEqual(await aws.queue.backlog(), [
      { zone: zoneA, queued: 2, deferred: 0, held: 1, oldestDueAt: at },
      { zone: zoneB, ...NOTHING },
    ]);
  });

  test("counts what waits for its time, which is due when that has come", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    await acceptMail(aws as unknown as Backend, clock);
    const [taken] = await aws.queue.take(takeRequest());
    assert.ok(taken);
    const dueAt = clock.in(HOUR);
    const settlements = taken.leases.map((lease) => ({
      lease,
      settled: { state: "deferred", dueAt } as const,
      attempt: attempt({ kind: "deferred" }),
    }));
    assert.deepEqual(await aws.queue.settle(settlements), [true]);
    const waiting = { zone: zoneA, queued: 0, deferred: 1, held: 0 };
    assert.deepEqual((await aws.queue.backlog())[0], { ...waiting, oldestDueAt: null });
    await clock.advance(HOUR + MINUTE);
    assert.deepEqual((await aws.queue.backlog())[0], { ...waiting, oldestDueAt: dueAt });
  });

  test("goes through a long queue in several readings, so that nothing waits unseen behind mail that moves", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const mail = message({ acceptedAt: clock.now(), recipientCount: ROWS });
    const oldest = clock.in(-HOUR);
    const rows = Array.from({ length: ROWS }, (_, i) =>
      queueRow(mail, i + 1, { dueAt: i + 1 === ROWS ? oldest : clock.now() }),
    );
    await aws.queue.accept(mail, rows);
    const seen: (number | null | undefined)[] = [];
    for (let reading = 0; reading < READINGS; reading++)
      seen.push((await aws.queue.backlog())[0]?.oldestDueAt);
    assert.equal(seen[0], clock.now(), "the last of them is not read at once");
    assert.ok(seen.includes(oldest));
  });
});
