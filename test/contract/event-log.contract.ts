/** What every EventLog keeps to; the events are written by the QueueStore of the same backend. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DAY, MINUTE } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { acceptMail, takeRequest } from "../support/backend.ts";
import type { OpenBackend } from "../support/backend.ts";
import { anna, attempt, ben } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";
import type { FakeClock } from "../support/fake-clock.ts";

const HISTORY_MS = 7 * DAY;

async function deliverOne(backend: Backend, clock: FakeClock): Promise<void> {
  await acceptMail(backend, clock);
  const taken = await backend.queue.take(takeRequest());
  const leases = taken.flatMap((group) => group.leases);
  await backend.queue.settle(
    leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() })),
  );
}

async function sweepAll(backend: Backend): Promise<void> {
  for (let i = 0; i < 3; i++) await backend.queue.sweep();
}

export function eventLogContract(backendName: string, open: OpenBackend): void {
  describe(`EventLog on ${backendName}`, () => {
    test("events are read in order, with unique rising numbers, from any position and in pages", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      assert.deepEqual(await backend.events.read(0, 10), []);
      for (let i = 0; i < 5; i++) await deliverOne(backend, clock);
      const all = await backend.events.read(0, 100);
      assert.deepEqual(
        all.map(({ type }) => type),
        Array.from({ length: 5 }, () => ["reception", "delivery"]).flat(),
      );
      const numbers = all.map(({ number }) => number);
      assert.ok(
        numbers.every((number, i) => number > (numbers[i - 1] ?? 0)),
        String(numbers),
      );
      const firstPage = await backend.events.read(0, 4);
      const secondPage = await backend.events.read(firstPage.at(-1)?.number ?? 0, 100);
      assert.deepEqual([...firstPage, ...secondPage], all);
      assert.deepEqual(await backend.events.read(numbers.at(-1) ?? 0, 10), []);
    });

    test("one worker at a time reads for a consumer; it may renew, and another takes over when its time is over", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { events } = opened.backend;
      const first = await events.claim("dsn", anna, clock.in(MINUTE));
      assert.ok(first);
      assert.equal(first.position, 0);
      assert.equal(await events.claim("dsn", ben, clock.in(MINUTE)), null);
      assert.ok(await events.claim("webhooks", ben, clock.in(MINUTE)), "another consumer is another matter");
      await clock.advance(MINUTE - 1);
      assert.ok(await events.claim("dsn", anna, clock.in(MINUTE)));
      await clock.advance(MINUTE - 1);
      assert.equal(await events.claim("dsn", ben, clock.in(MINUTE)), null, "anna renewed");
      await clock.advance(1);
      assert.ok(await events.claim("dsn", ben, clock.in(MINUTE)));
      assert.equal(await events.claim("dsn", anna, clock.in(MINUTE)), null);
    });

    test("the position is kept for the next worker, and who lost the claim cannot move it", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { events } = opened.backend;
      const lost = await events.claim("dsn", anna, clock.in(MINUTE));
      assert.ok(lost);
      assert.equal(await events.advance(lost, 3), true);
      assert.equal(await events.advance(lost, 5), true);
      await clock.advance(MINUTE);
      const current = await events.claim("dsn", ben, clock.in(MINUTE));
      assert.equal(current?.position, 5);
      assert.equal(await events.advance(lost, 9), false);
      assert.ok(current);
      assert.equal(await events.advance(current, 7), true);
      await clock.advance(MINUTE);
      const again = await events.claim("dsn", anna, clock.in(MINUTE));
      assert.equal(again?.position, 7);
      assert.equal(await events.advance(current, 8), false, "ben's claim went back to anna");
    });

    test("claims of a worker that is gone are free at once, at its position, and those of others are not", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { events } = opened.backend;
      const gone = await events.claim("dsn", anna, clock.in(MINUTE));
      assert.ok(gone);
      await events.advance(gone, 3);
      assert.ok(await events.claim("webhooks", ben, clock.in(MINUTE)));
      await events.dropReader(anna);
      assert.equal((await events.claim("dsn", ben, clock.in(MINUTE)))?.position, 3);
      assert.equal(await events.advance(gone, 9), false, "what the dead one would still write is refused");
      assert.equal(await events.claim("webhooks", anna, clock.in(MINUTE)), null);
      assert.equal(await events.claim("dsn", anna, clock.in(MINUTE)), null);
    });

    test("a worker that renewed may go on with the claim it had", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { events } = opened.backend;
      const claim = await events.claim("dsn", anna, clock.in(MINUTE));
      assert.ok(claim);
      await events.claim("dsn", anna, clock.in(2 * MINUTE));
      assert.equal(await events.advance(claim, 1), true);
    });

    test("events are forgotten with their history, but not before a consumer has read them", async () => {
      const clock = fakeClock();
      await using opened = await open(clock, { historyMs: HISTORY_MS });
      const { backend } = opened;
      await deliverOne(backend, clock);
      await deliverOne(backend, clock);
      const [first, second] = await backend.events.read(0, 2);
      assert.ok(first && second);
      const claim = await backend.events.claim("webhooks", anna, clock.in(MINUTE));
      assert.ok(claim);
      await backend.events.advance(claim, first.number);
      await clock.advance(HISTORY_MS);
      await sweepAll(backend);
      assert.equal((await backend.events.read(0, 10)).length, 4, "not older than history yet");
      await clock.advance(1);
      await sweepAll(backend);
      const kept = await backend.events.read(0, 10);
      assert.equal(
        kept[0]?.number,
        second.number,
        "the first was read and is gone, the others wait for the consumer",
      );
      await backend.events.advance(claim, kept.at(-1)?.number ?? 0);
      await sweepAll(backend);
      assert.deepEqual(await backend.events.read(0, 10), []);
    });

    test("numbers go on rising when all events are forgotten", async () => {
      const clock = fakeClock();
      await using opened = await open(clock, { historyMs: HISTORY_MS });
      const { backend } = opened;
      await deliverOne(backend, clock);
      const last = (await backend.events.read(0, 10)).at(-1);
      await clock.advance(HISTORY_MS + 1);
      await sweepAll(backend);
      assert.deepEqual(await backend.events.read(0, 10), []);
      await deliverOne(backend, clock);
      const [next] = await backend.events.read(last?.number ?? 0, 10);
      assert.equal(next?.type, "reception");
    });
  });
}
