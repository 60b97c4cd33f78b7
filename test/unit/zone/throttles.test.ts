import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import type { Job } from "../../../sender/delivery/job.ts";
import { rateSources, throttlePermits, throttlesOf } from "../../../sender/zone/throttles.ts";
import { address, message, queueRow } from "../../support/builders.ts";
import type { ThrottlePermits } from "../../../sender/zone/throttles.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { rateFleet } from "../../support/rate-fleet.ts";

const noPlace = (): void => undefined;

describe("the permits of a lane", () => {
  test("are none where there is no rate", () => {
    const permits = throttlePermits({ clock: fakeClock(), sources: [], onPlace: noPlace });
    assert.equal(permits.hasPlace(), true);
    assert.equal(permits.begin("new"), null);
  });

  test("are of all its rates, and one rate that has none takes nothing of the others", async () => {
    await using all = await rateFleet();
    const zone = all.source("zone a", { count: 10, perMs: SECOND });
    const domain = all.source("domain one.example", { count: 10, perMs: MINUTE });
    const slow = throttlePermits({ clock: all.clock, sources: [zone, domain], onPlace: noPlace });
    const other = throttlePermits({ clock: all.clock, sources: [zone], onPlace: noPlace });
    const both = [slow.begin("open"), slow.begin("open")].map((mail) => mail?.take(3));
    await all.pass(150);
    assert.equal(await both[0], 1, "as the rates allow");
    let others = 0;
    for (let i = 0; i < 10; i++) {
      void other
        .begin("open")
        ?.take(1)
        .then((count) => (others += count));
    }
    await all.pass(SECOND, 10);
    assert.equal(others, 10, "all of the zone's, while the slow one waits for its own");
    await all.pass(6 * SECOND, 20);
    assert.equal(await both[1], 1);
  });

  test("keep the narrow rate at the peer while others wait for the wide one too", async () => {
    await using all = await rateFleet();
    const zone = all.source("zone a", { count: 20, perMs: SECOND });
    const domain = all.source("domain one.example", { count: 5, perMs: SECOND });
    const deps = { clock: all.clock, onPlace: noPlace };
    const ofDomain = throttlePermits({ ...deps, sources: [zone, domain] });
    const ofOthers = throttlePermits({ ...deps, sources: [zone] });
    const seen: EpochMs[] = [];
    const others: EpochMs[] = [];
    const stop = new AbortController();
    const send = async (permits: ThrottlePermits, to: EpochMs[]): Promise<void> => {
      while (!stop.signal.aborted) {
        const mail = permits.begin("open");
        const count = (await mail?.take(1)) ?? 0;
        await all.clock.sleep(3);
        mail?.ended(count > 0);
        if (count > 0) to.push(all.clock.now());
      }
    };
    const sending = [ofDomain, ofDomain, ofDomain].map((permits) => send(permits, seen));
    const sendingOthers = [1, 2, 3, 4, 5].map(() => send(ofOthers, others));
    await all.pass(20 * SECOND, 1);
    stop.abort();
    for (const permits of [ofDomain, ofOthers]) permits.stop();
    await all.pass(SECOND, 1);
    await Promise.all([...sending, ...sendingOthers]);
    const most = Math.max(
      ...seen.map((from) => seen.filter((at) => at >= from && at < from + SECOND).length),
    );
    assert.ok(most <= 5, `${most} in a second`);
    assert.ok(seen.length >= 97, `${seen.length} of 100`);
    assert.ok(seen.length + others.length >= 390, "the others have the rest of the zone's");
  });

  test("tell when there is a place again, and never after a stop", async () => {
    await using all = await rateFleet();
    const source = all.source("zone a", { count: 6, perMs: MINUTE });
    let told = 0;
    const permits = throttlePermits({ clock: all.clock, sources: [source], onPlace: () => void told++ });
    assert.equal(await permits.begin("new")?.take(1), 1);
    assert.equal(permits.hasPlace(), false);
    await all.pass(10 * SECOND, 50);
    assert.equal(told, 1);
    const waiting = permits.begin("open")?.take(1);
    permits.stop();
    assert.equal(await waiting, 0);
    assert.equal(await permits.begin("open")?.take(1), 0);
  });

  test("that a mail does not come to ask for leave their place to others", async () => {
    await using all = await rateFleet();
    const permits = throttlePermits({
      clock: all.clock,
      sources: [all.source("zone a", { count: 6, perMs: MINUTE })],
      onPlace: noPlace,
    });
    const mail = permits.begin("new");
    assert.equal(permits.hasPlace(), false);
    mail?.ended(false);
    assert.equal(permits.hasPlace(), true);
  });
});

test("lanes with the same rate share its source", () => {
  const clock = fakeClock();
  const limits = { takeBudget: async () => ({ permits: [], retryAt: clock.in(SECOND) }) };
  const sources = rateSources({ limits, clock, onError: () => undefined });
  const rate = { count: 1, perMs: SECOND };
  const [zone, site] = sources([
    { key: "zone a", rate },
    { key: "site b", rate },
  ]);
  assert.notEqual(zone, site);
  assert.deepEqual(sources([{ key: "zone a", rate }]), [zone]);
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
