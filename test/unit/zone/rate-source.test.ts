import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import { rateSource } from "../../../sender/zone/rate-source.ts";
import type { RateSource } from "../../../sender/zone/rate-source.ts";
import { shortestLately } from "../../../sender/zone/shortest-lately.ts";
import type { ShortestLately } from "../../../sender/zone/shortest-lately.ts";
import { seeded } from "../../support/chance.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { rateFleet } from "../../support/rate-fleet.ts";
import type { RateFleet } from "../../support/rate-fleet.ts";

/** A connection that always has mail: begins one when it has a permit, and the peer sees it some time after. */
async function send(
  fleet: RateFleet,
  source: RateSource,
  {
    seen,
    mailMs,
    stop,
    shortest = shortestLately(MINUTE, fleet.clock),
  }: { seen: number[]; mailMs: () => number; stop: AbortSignal; shortest?: ShortestLately },
): Promise<void> {
  while (!stop.aborted) {
    const { count, ended } = await source.take(1, stop);
    if (count === 0) return;
    const tookMs = mailMs();
    await fleet.clock.sleep(tookMs, stop);
    if (stop.aborted) return;
    seen.push(fleet.clock.now());
    shortest.note(tookMs);
    ended({ isTaken: true, seenAt: fleet.clock.in(-shortest.ms()) });
  }
}

function mostIn(periodMs: number, times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return Math.max(
    0,
    ...sorted.map((from) => sorted.filter((at) => at >= from && at < from + periodMs).length),
  );
}

const never = new AbortController().signal;
const noPlace = (): void => undefined;

describe("a rate", () => {
  for (const { rate, forMs, stepMs, mailMs, spreadMs } of [
    { rate: { count: 20, perMs: SECOND }, forMs: 20 * SECOND, stepMs: 1, mailMs: 1, spreadMs: 6 },
    { rate: { count: 20, perMs: SECOND }, forMs: 20 * SECOND, stepMs: 1, mailMs: 200, spreadMs: 6 },
    { rate: { count: 2, perMs: SECOND }, forMs: 40 * SECOND, stepMs: 2, mailMs: 1, spreadMs: 6 },
    { rate: { count: 100, perMs: MINUTE }, forMs: 4 * MINUTE, stepMs: 5, mailMs: 1, spreadMs: 400 },
    { rate: { count: 3_600, perMs: HOUR }, forMs: 3 * MINUTE, stepMs: 5, mailMs: 5, spreadMs: 900 },
  ]) {
    test(`of ${rate.count} in ${rate.perMs} ms, mails of ${mailMs} ms: its peer sees 98 % of it and never more, over two processes`, async () => {
      await using all = await rateFleet();
      const random = seeded(7);
      const seen: number[] = [];
      const stop = new AbortController();
      const took = (): number => mailMs + Math.floor(random() * spreadMs);
      const sending = [all.source("zone a", rate), all.source("zone a", rate)].flatMap((source) =>
        Array.from({ length: 6 }, () => send(all, source, { seen, mailMs: took, stop: stop.signal })),
      );
      await all.pass(forMs + mailMs, stepMs);
      stop.abort();
      await Promise.all(sending);
      assert.ok(mostIn(rate.perMs, seen) <= rate.count, `${mostIn(rate.perMs, seen)}`);
      const meant = (rate.count * forMs) / rate.perMs;
      assert.ok(seen.length >= 0.98 * meant, `${seen.length} of ${meant}`);
    });
  }

  test("holds for a peer whose first mail took longer", async () => {
    await using all = await rateFleet();
    const seen: number[] = [];
    const stop = new AbortController();
    const first = new Set(["mail"]);
    const mailMs = (): number => (first.delete("mail") ? 60 : 2);
    const shortest = shortestLately(MINUTE, all.clock);
    const source = all.source("zone a", { count: 20, perMs: SECOND });
    const sending = [1, 2, 3].map(() => send(all, source, { seen, mailMs, stop: stop.signal, shortest }));
    await all.pass(5 * SECOND, 1);
    stop.abort();
    await Promise.all(sending);
    assert.ok(mostIn(SECOND, seen) <= 20, `${mostIn(SECOND, seen)}`);
    assert.ok(seen.length >= 95, `${seen.length}`);
  });

  test("holds for a peer of a busy machine, where now and then a mail is held up", async () => {
    await using all = await rateFleet();
    const random = seeded(11);
    const seen: number[] = [];
    const stop = new AbortController();
    const shortest = shortestLately(MINUTE, all.clock);
    const mailMs = (): number => 3 + Math.floor(random() < 0.15 ? 60 * random() : 4 * random());
    const source = all.source("zone a", { count: 20, perMs: SECOND });
    const sending = [1, 2, 3, 4].map(() => send(all, source, { seen, mailMs, stop: stop.signal, shortest }));
    await all.pass(20 * SECOND, 1);
    stop.abort();
    await Promise.all(sending);
    assert.ok(mostIn(SECOND, seen) <= 20, `${mostIn(SECOND, seen)}`);
    assert.ok(seen.length >= 392, `${seen.length} of 400`);
  });

  test("is used whole by a zone whose hosts are near and far", async () => {
    await using all = await rateFleet();
    const seen: number[] = [];
    const stop = new AbortController();
    const source = all.source("zone a", { count: 20, perMs: SECOND });
    const sending = [3, 90, 250, 3, 90, 250, 250].map((ms) =>
      send(all, source, { seen, mailMs: () => ms, stop: stop.signal }),
    );
    await all.pass(30 * SECOND, 1);
    stop.abort();
    await Promise.all(sending);
    assert.ok(seen.length >= 588, `${seen.length} of 600`);
  });

  test("asks for the permits of many mails at once, and for none before there can be one", async () => {
    await using all = await rateFleet();
    const source = all.source("zone a", { count: 1, perMs: MINUTE });
    const taken = Array.from({ length: 3 }, () => source.take(1, never));
    await all.pass(10);
    assert.equal(all.calls, 1);
    assert.deepEqual(
      (await Promise.all(taken)).map(({ count }) => count),
      [1, 0, 0],
      "those who would wait for a minute are sent away",
    );
    const fast = all.source("zone b", { count: 1_000, perMs: SECOND });
    const { calls } = all;
    const stop = new AbortController();
    const seen: number[] = [];
    const sending = Array.from({ length: 20 }, () =>
      send(all, fast, { seen, mailMs: () => 3, stop: stop.signal }),
    );
    await all.pass(2 * SECOND, 1);
    stop.abort();
    await Promise.all(sending);
    assert.ok(seen.length > 1_900, `${seen.length}`);
    assert.ok(all.calls - calls < 60, `${all.calls - calls} calls`);
  });

  test("serves those who wait in turn, each with what is there", async () => {
    await using all = await rateFleet();
    const source = all.source("zone a", { count: 10, perMs: SECOND });
    const order: string[] = [];
    for (const name of ["a", "b", "c"])
      void source.take(5, never).then(({ count }) => order.push(`${name}${count}`));
    await all.pass(5);
    assert.deepEqual(order, ["a1"]);
    await all.pass(300);
    assert.deepEqual(order, ["a1", "b1", "c1"]);
  });

  test("is not waited for any more after a stop", async () => {
    await using all = await rateFleet();
    const source = all.source("zone a", { count: 1, perMs: 5 * SECOND });
    await source.take(1, never);
    const stop = new AbortController();
    const waiting = source.take(1, stop.signal);
    await all.pass(10);
    stop.abort();
    assert.equal((await waiting).count, 0);
    assert.equal((await source.take(1, stop.signal)).count, 0);
  });

  test("has a place for one mail at a time while the next permit is far, and for some when it is near", async () => {
    await using all = await rateFleet();
    const source = all.source("zone a", { count: 6, perMs: MINUTE });
    assert.equal(source.hasPlace(noPlace), true);
    const ready = source.coming("open");
    assert.equal(source.hasPlace(noPlace), false, "one is on its way already");
    ready();
    await source.take(1, never);
    let told = 0;
    assert.equal(
      source.hasPlace(() => void told++),
      false,
      "the next permit is ten seconds away",
    );
    await all.pass(9 * SECOND, 100);
    assert.equal(told, 0);
    await all.pass(SECOND, 50);
    assert.equal(told, 1, "a second before");
    assert.equal(source.hasPlace(noPlace), true);
  });

  test("has places for as many new connections as it has permits in a second, and for few that are open", async () => {
    await using all = await rateFleet();
    const source = all.source("zone a", { count: 20, perMs: SECOND });
    let opening = 0;
    while (source.hasPlace(noPlace)) {
      source.coming("new");
      opening++;
    }
    assert.ok(opening >= 19 && opening <= 21, `${opening}`);
    await all.pass(SECOND + 10, 10);
    assert.equal(source.hasPlace(noPlace), true, "what takes longer to open holds nobody up");
    let ready = 0;
    while (source.hasPlace(noPlace)) {
      source.coming("open");
      ready++;
    }
    assert.equal(ready, 3);
  });

  test("is asked for again after the store did not answer", async () => {
    const clock = fakeClock();
    const errors: unknown[] = [];
    const limits = {
      takeBudget: async () => {
        if (errors.length === 0) throw new Error("the store does not answer");
        return { permits: [clock.now()], retryAt: clock.in(SECOND) };
      },
    };
    const onError = (error: unknown): void => void errors.push(error);
    const source = rateSource("zone a", { count: 1, perMs: SECOND }, { limits, clock, onError });
    const taken = source.take(1, never);
    await clock.advance(1);
    await clock.advance(2 * SECOND);
    assert.equal((await taken).count, 1);
    assert.equal(errors.length, 1);
  });
});
