/** What every BounceSink keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Clock } from "#shared/domain/clock.ts";
import { HOUR, MINUTE } from "#shared/domain/units.ts";
import type { BounceSink, ReportedBounce } from "#shared/ports/bounce-sink.ts";
import { MAX_REPORTED, REPORTED_KEPT_MS } from "#shared/ports/bounce-sink.ts";
import { fakeClock } from "../support/fake-clock.ts";

/** A new, empty sink; disposed of when its test ends. */
export type OpenBounceSink = (clock: Clock) => Promise<{ store: BounceSink } & AsyncDisposable>;

export function bounceSinkContract(backend: string, open: OpenBounceSink): void {
  describe(`BounceSink on ${backend}`, () => {
    test("what was reported is there as it was sent, in the order in which it came", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      assert.deepEqual(await store.list(), []);
      const reports: ReportedBounce[] = [];
      for (const fields of [
        { id: "1", to: "jõgeva@näide.example", response: "550 5.1.1\n✓ \u0000 gone" },
        { id: "1", to: "", __proto__x: "y" },
        {},
      ]) {
        await clock.advance(1);
        const report = { receivedAt: clock.now(), fields };
        reports.push(report);
        await store.add(report);
      }
      assert.deepEqual(await store.list(), reports);
    });

    test("the newest stay, and the oldest make room for them", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const over = 5;
      for (let i = 1; i <= MAX_REPORTED + over; i++) {
        await clock.advance(1);
        await store.add({ receivedAt: clock.now(), fields: { id: String(i) } });
      }
      const ids = (await store.list()).map(({ fields }) => Number(fields["id"]));
      assert.deepEqual(
        ids,
        Array.from({ length: MAX_REPORTED }, (_, i) => i + 1 + over),
      );
    });

    test("reports that come together are all kept", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const ids = Array.from({ length: 20 }, (_, i) => String(i).padStart(2, "0"));
      await Promise.all(ids.map((id) => store.add({ receivedAt: clock.now(), fields: { id } })));
      assert.deepEqual(new Set((await store.list()).map(({ fields }) => fields["id"])), new Set(ids));
    });

    test("a report is there for its time, and then not", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      await store.add({ receivedAt: clock.now(), fields: { id: "first" } });
      await clock.advance(HOUR);
      await store.add({ receivedAt: clock.now(), fields: { id: "second" } });
      await clock.advance(REPORTED_KEPT_MS - HOUR - MINUTE);
      assert.equal((await store.list()).length, 2);
      await clock.advance(MINUTE);
      assert.deepEqual(
        (await store.list()).map(({ fields }) => fields["id"]),
        ["second"],
      );
    });

    test("large reports are there whole, however many", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const response = "ü".repeat(10_000);
      for (let i = 0; i < MAX_REPORTED; i++) {
        await clock.advance(1);
        await store.add({ receivedAt: clock.now(), fields: { id: String(i), response } });
      }
      const found = await store.list();
      assert.equal(found.length, MAX_REPORTED);
      assert.ok(found.every(({ fields }) => fields["response"] === response));
    });
  });
}
