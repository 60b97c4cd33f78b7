import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Rate } from "#shared/domain/throttle.ts";
import { HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import type { Job } from "../../../sender/delivery/job.ts";
import { rateSource } from "../../../sender/zone/rate-source.ts";
import type { RateSource } from "../../../sender/zone/rate-source.ts";
import { throttlePermits, throttlesOf } from "../../../sender/zone/throttles.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { address, message, queueRow } from "../../support/builders.ts";
import { seeded } from "../../support/chance.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const unexpected = (error: unknown): never => {
  throw error;
};

/** Processes on one store, under a clock that does not move on before the store has answered. */
async function fleet() {
  const clock = fakeClock();
  const opened = await embeddedBackend(clock);
  const asked = new Set<Promise<unknown>>();
  let calls = 0;
  const limits: Pick<LimitStore, "takeBudget"> = {
    takeBudget(key, request) {
      calls++;
      const answer = opened.backend.limits.takeBudget(key, request);
      asked.add(answer);
      return answer.finally(() => asked.delete(answer));
    },
  };
  return {
    clock,
    source: (key: string, rate: Rate): RateSource =>
      rateSource(key, rate, { limits, clock, onError: unexpected }),
    get calls() {
      return calls;
    },
    async pass(ms: number, stepMs = 5) {
      for (let passed = 0; passed < ms; passed += stepMs) {
        await clock.advance(stepMs);
        while (asked.size > 0) await Promise.all(asked);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

type Fleet = Awaited<ReturnType<typeof fleet>>;

/** A connection that always has mail: begins one when it has a permit, and the peer sees it some time after. */
async function send(
  fleet: Fleet,
  source: RateSource,
  { seen, mailMs, stop }: { seen: number[]; mailMs: () => number; stop: AbortSignal },
): Promise<void> {
  while (!stop.aborted) {
    const { count, at } = await source.take(1, stop);
    if (count === 0) return;
    const ended = source.begin(at);
    await fleet.clock.sleep(mailMs(), stop);
    seen.push(fleet.clock.now());
    ended();
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

describe("a rate", () => {
  for (const { rate, forMs, stepMs } of [
    { rate: { count: 20, perMs: SECOND }, forMs: 20 * SECOND, stepMs: 1 },
    { rate: { count: 100, perMs: MINUTE }, forMs: 4 * MINUTE, stepMs: 5 },
    { rate: { count: 3_600, perMs: HOUR }, forMs: 3 * MINUTE, stepMs: 5 },
  ]) {
    test(`of ${rate.count} in ${rate.perMs} ms holds for the peer of two processes, and is used`, async () => {
      await using all = await fleet();
      const random = seeded(7);
      const seen: number[] = [];
      const stop = new AbortController();
      const mailMs = (): number => 1 + Math.floor(random() * 6);
      const sending = [all.source("zone a", rate), all.source("zone a", rate)].flatMap((source) =>
        Array.from({ length: 3 }, () => send(all, source, { seen, mailMs, stop: stop.signal })),
      );
      await all.pass(forMs, stepMs);
      stop.abort();
      await Promise.all(sending);
      assert.ok(mostIn(rate.perMs, seen) <= rate.count, `${mostIn(rate.perMs, seen)}`);
      const meant = (rate.count * forMs) / rate.perMs;
      assert.ok(seen.length >= 0.98 * meant, `${seen.length} of ${meant}`);
    });
  }

  test("holds for a peer whose first mails took long, when connections were opened", async () => {
    await using all = await fleet();
    const seen: number[] = [];
    const stop = new AbortController();
    const first = new Set([1, 2, 3]);
    const mailMs = (): number => (first.delete(first.size) ? 60 : 2);
    const source = all.source("zone a", { count: 20, perMs: SECOND });
    const sending = [1, 2, 3].map(() => send(all, source, { seen, mailMs, stop: stop.signal }));
    await all.pass(5 * SECOND, 1);
    stop.abort();
    await Promise.all(sending);
    assert.ok(mostIn(SECOND, seen) <= 20, `${mostIn(SECOND, seen)}`);
  });

  test("is asked for once for all that wait, and not before there can be a permit", async () => {
    await using all = await fleet();
    const source = all.source("zone a", { count: 5, perMs: SECOND });
    const taken = Array.from({ length: 8 }, () => source.take(1, never));
    await all.pass(10);
    assert.equal(all.calls, 1);
    assert.deepEqual(await source.tryTake(1), { count: 0, at: all.clock.now() });
    await all.pass(950);
    assert.equal(all.calls, 1, "nobody turns in a circle");
    await all.pass(100);
    assert.equal(all.calls, 2);
    assert.equal((await Promise.all(taken)).length, 8);
  });

  test("gives what one lane could not use to the next, and to nobody when it is old", async () => {
    await using all = await fleet();
    const source = all.source("zone a", { count: 2, perMs: MINUTE });
    const first = await source.take(1, never);
    source.putBack(first);
    assert.equal((await source.take(1, never)).count, 1);
    assert.equal(all.calls, 1);
    await all.pass(30 * SECOND, 100);
    const second = await source.take(1, never);
    await all.pass(100);
    source.putBack(second);
    assert.equal((await source.tryTake(1)).count, 0);
  });

  test("is not waited for any more after a stop", async () => {
    await using all = await fleet();
    const source = all.source("zone a", { count: 1, perMs: HOUR });
    await source.take(1, never);
    const stop = new AbortController();
    const waiting = source.take(1, stop.signal);
    await all.pass(10);
    stop.abort();
    assert.equal((await waiting).count, 0);
    assert.equal(all.clock.sleepers, 0);
  });

  test("is asked for again after the store did not answer", async () => {
    const clock = fakeClock();
    const errors: unknown[] = [];
    const limits = {
      takeBudget: async () => {
        if (errors.length === 0) throw new Error("the store does not answer");
        return { granted: 1, retryAt: clock.in(SECOND) };
      },
    };
    const rate = { count: 1, perMs: SECOND };
    const source = rateSource("zone a", rate, { limits, clock, onError: (error) => errors.push(error) });
    const taken = source.take(1, never);
    await clock.advance(1);
    await clock.advance(2 * SECOND);
    assert.equal((await taken).count, 1);
    assert.equal(errors.length, 1);
  });
});

describe("the permits of a lane", () => {
  const wanted =
    (recipients: number, waiting = recipients) =>
    () => ({ recipients, waiting });

  test("are of all its rates, and one rate that has none leaves the others to other lanes", async () => {
    await using all = await fleet();
    const zone = all.source("zone a", { count: 1_000, perMs: SECOND });
    const domain = all.source("domain one.example", { count: 1, perMs: MINUTE });
    let told = 0;
    const deps = { clock: all.clock, onPermit: () => void told++, onError: unexpected };
    const slow = throttlePermits({ ...deps, sources: [zone, domain] });
    const other = throttlePermits({ ...deps, sources: [zone] });
    assert.equal(slow.has(0, wanted(3)), false);
    await all.pass(10);
    assert.equal(told, 1);
    assert.equal(slow.has(0, wanted(3)), true);
    assert.equal(slow.use(3, 0).recipients, 1, "as the domain allows");
    assert.equal(slow.has(0, wanted(2)), false);
    assert.equal(other.has(0, wanted(5)), false);
    await all.pass(10);
    assert.equal(other.has(0, wanted(5)), true, "while the slow one waits");
    assert.equal(other.use(5, 0).recipients, 2, "what the slow one was not allowed to use");
    const { calls } = all;
    await all.pass(50 * SECOND, 100);
    assert.ok(all.calls <= calls + 1, "and it asks for nothing meanwhile");
    await all.pass(20 * SECOND, 20);
    assert.equal(slow.isAsking, false);
    slow.stop();
    other.stop();
  });

  test("leave enough for the mails whose connections are being opened", async () => {
    await using all = await fleet();
    const zone = all.source("zone a", { count: 10, perMs: SECOND });
    const permits = throttlePermits({
      sources: [zone],
      clock: all.clock,
      onPermit: () => undefined,
      onError: unexpected,
    });
    permits.has(0, wanted(4));
    await all.pass(5);
    assert.equal(permits.has(3, wanted(4)), true);
    assert.equal(permits.use(9, 3).recipients, 1);
    assert.equal(permits.has(3, wanted(0)), false, "the others are promised");
  });
});

describe("the rates of a lane", () => {
  const rates = (config: ConfigInput, site: string, recipient: string, fields: Partial<Job> = {}) => {
    const parsed = parseConfig(config, { source: null, baseDir: "/" });
    const zone = [...parsed.zones.values()].find(({ name }) => name === "default") as Zone;
    const lease = { row: queueRow(message(), 1, { recipient: address(recipient) }) };
    const host = { name: site, preference: 10, addresses: [] };
    const job = { site, relay: null, hosts: [host], leases: [lease], ...fields } as unknown as Job;
    return throttlesOf(parsed, zone, job).map(({ key, rate }) => `${key} ${rate.count}`);
  };
  const config: ConfigInput = {
    zones: { default: { throttling: "9/second" } },
    domainConfig: {
      default: { throttling: "5/second" },
      "one.example": { throttling: "4/second" },
      "mx.big.example": { throttling: "6/second" },
      "plain.example": { maxConnections: 2 },
      "relay.example": { throttling: "7/second" },
    },
  };

  test("are those of the zone, of its site when that is named, and of its domain", () => {
    assert.deepEqual(rates({}, "mx.a.example", "x@a.example"), []);
    assert.deepEqual(rates(config, "mx.big.example", "x@one.example"), [
      "zone default 9",
      "site mx.big.example 6",
      "domain one.example 4",
    ]);
    assert.deepEqual(rates(config, "mx.a.example", "x@one.example"), [
      "zone default 9",
      "domain one.example 4",
    ]);
  });

  test("are the default for sites and domains that have none", () => {
    const fallback = ["zone default 9", "site mx.a.example 5"];
    assert.deepEqual(rates(config, "mx.a.example", "x@a.example"), fallback);
    assert.deepEqual(rates(config, "mx.a.example", "x@plain.example"), fallback);
  });

  test("are of a relay those of its host", () => {
    const relay = { host: "relay.example", port: 25, auth: null, secure: false } as Job["relay"];
    assert.deepEqual(rates(config, "relay.example:25", "x@a.example", { relay }), [
      "zone default 9",
      "site relay.example:25 7",
    ]);
    assert.deepEqual(rates(config, "app.example", "x@a.example", { hosts: [] }), ["zone default 9"]);
  });
});
