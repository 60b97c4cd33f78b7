/** What every QueueStore keeps to: accepting, and what was accepted. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MINUTE } from "#shared/domain/units.ts";
import { acceptMail, takeRequest } from "../support/backend.ts";
import type { OpenBackend } from "../support/backend.ts";
import { attempt, message, postWay, queueRow, relayWay, zoneA } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

export function queueAcceptContract(backendName: string, open: OpenBackend): void {
  describe(`QueueStore on ${backendName}: accept`, () => {
    test("a message and its rows come back as they were accepted, rows in the order of the envelope", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message: accepted, rows } = await acceptMail(backend, clock, { rows: 12 });
      assert.deepEqual(await backend.queue.get(accepted.id), { message: accepted, rows });
    });

    test("what a message has of its own comes back with it: its X-Fbl and its DKIM keys", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const accepted = message({
        acceptedAt: clock.now(),
        fbl: "campaign-7",
        dkimKeys: ["mail-1"],
        extra: { spam: { score: 1.5, rules: ["A"], none: null } },
      });
      await backend.queue.accept(accepted, [queueRow(accepted, 1)]);
      assert.deepEqual((await backend.queue.get(accepted.id))?.message, accepted);
    });

    test("ways of recipients come back with the message, and each with the name of his own", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const accepted = message({ acceptedAt: clock.now(), recipientCount: 2, ways: [relayWay, postWay] });
      const rows = [queueRow(accepted, 1, { way: postWay.id }), queueRow(accepted, 2)];
      await backend.queue.accept(accepted, rows);
      assert.deepEqual(await backend.queue.get(accepted.id), { message: accepted, rows });
    });

    test("a message that was never accepted is null", async () => {
      await using opened = await open(fakeClock());
      assert.equal(await opened.backend.queue.get(message().id), null);
    });

    test("the same message id is accepted once, and the second time writes nothing", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message: accepted, rows } = await acceptMail(backend, clock, { rows: 2 });
      const other = { ...accepted, subject: "another" };
      const otherRows = [queueRow(other, 1), queueRow(other, 2), queueRow(other, 3)];
      assert.equal(await backend.queue.accept(other, otherRows), "exists");
      assert.deepEqual(await backend.queue.get(accepted.id), { message: accepted, rows });
      assert.deepEqual(await backend.queue.counts(), [
        { zone: zoneA, queued: 2, leased: 0, deferred: 0, held: 0 },
      ]);
      assert.equal((await backend.events.read(0, 10)).length, 1);
    });

    test("of many accepts of one message at once, one is accepted", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const same = message();
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => backend.queue.accept(same, [queueRow(same, 1)])),
      );
      assert.equal(answers.filter((answer) => answer === "accepted").length, 1);
      assert.equal(answers.filter((answer) => answer === "exists").length, 9);
    });

    test("a message accepted for later is not taken before its time", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptMail(backend, clock, { fields: { state: "deferred", dueAt: clock.in(MINUTE) } });
      await clock.advance(MINUTE - 1);
      assert.deepEqual(await backend.queue.take(takeRequest()), []);
      await clock.advance(1);
      assert.equal((await backend.queue.take(takeRequest())).length, 1);
    });

    for (const [state, type] of [
      ["suppressed", "suppression"],
      ["dropped", "drop"],
    ] as const) {
      test(`rows accepted as ${state} are final: never taken, told of, and their message keeps its body`, async () => {
        const clock = fakeClock();
        await using opened = await open(clock);
        const { backend } = opened;
        const cause = state === "dropped" ? "plugin" : "suppressed";
        const lastAttempt = attempt({ kind: "bounced", cause });
        const accepted = await acceptMail(backend, clock, {
          rows: 2,
          fields: { state, finishedAt: clock.now(), lastAttempt },
        });
        assert.deepEqual(await backend.queue.take(takeRequest()), []);
        assert.deepEqual(await backend.queue.counts(), []);
        const events = await backend.events.read(0, 10);
        assert.deepEqual(
          events.map(({ type: told, rowId }) => [told, rowId]),
          [["reception", null], ...accepted.rows.map(({ id }) => [type, id])],
        );
        assert.deepEqual(events[1]?.attempt, lastAttempt);
        assert.deepEqual(events[2]?.attempt, lastAttempt);
        assert.ok(await backend.bodies.get(accepted.message.id));
      });
    }
  });
}
