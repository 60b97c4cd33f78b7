import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { pino } from "pino";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { ElasticAddresses } from "#shared/ports/elastic-addresses.ts";
import { deployedHost } from "../../../sender/addresses/deployed-host.ts";
import type { HeldAddress } from "../../../sender/addresses/held-addresses.ts";
import { embeddedBackend } from "../../support/backend.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { fakeEc2 } from "../../support/fake-ec2.ts";

async function scene(change: (elastic: ElasticAddresses) => ElasticAddresses = (same) => same) {
  const clock = fakeClock();
  const store = await embeddedBackend(clock);
  const { fleet } = store.backend;
  const ec2 = fakeEc2({ clock, names: ["m1.example", "m2.example"] });
  const own = ec2.host("eni-1", 3);
  const said: { msg: string; level: number }[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line)) });
  const host = deployedHost({ elastic: change(own), fleet, clock, log, name: "i-1", names: ["m1.example"] });
  const told: string[][] = [];
  host.addresses.onHeld((held: readonly HeldAddress[]) => told.push(held.map(({ name }) => name)));
  return {
    clock,
    ec2,
    own,
    fleet,
    host,
    told,
    said,
    messages: () => said.map(({ msg }) => msg),
    heldNow: () => host.addresses.held().map(({ name }) => name),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

/** Between two steps of the clock what waits for the store has its answer: a write is done when those before it are. */
async function pass({ clock, fleet }: Pick<Scene, "clock" | "fleet">, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += SECOND) {
    await clock.advance(SECOND);
    for (let i = 0; i < 4; i++) await fleet.releaseAddress("none.example", "nobody");
  }
}

/** While the clock goes on. */
async function done(here: Scene, work: Promise<void>): Promise<void> {
  let isDone = false;
  void work.finally(() => (isDone = true));
  for (let i = 0; i < 60 && !isDone; i++) await pass(here, SECOND);
  await work;
}

type Scene = Awaited<ReturnType<typeof scene>>;

describe("a deployed host", () => {
  test("holds the Elastic IPs of its configuration alone, those of a new one too, and tells of each change", async () => {
    await using here = await scene();
    const { host, told, heldNow } = here;
    host.begin();
    await pass(here, 6 * SECOND);
    assert.deepEqual([heldNow(), told.at(-1)], [["m1.example"], ["m1.example"]]);
    host.useNames(["m1.example", "m2.example"]);
    await pass(here, 30 * SECOND);
    assert.deepEqual(told.at(-1), ["m1.example", "m2.example"]);
    assert.equal(here.messages().filter((msg) => msg === "addresses held").length, 2, "not at each renewal");
    await done(here, host.leave());
  });

  test("gives its addresses back when it leaves, and is not done with for it", async () => {
    await using here = await scene();
    const { host, fleet, own, heldNow } = here;
    host.begin();
    await pass(here, 6 * SECOND);
    await done(here, host.leave());
    assert.deepEqual([await fleet.addressLeases(), heldNow(), own.hasEnded], [[], [], false]);
  });

  test("hears within seconds that it is to end, and says that it is done when it leaves", async () => {
    await using here = await scene();
    const { host, own } = here;
    host.begin();
    await pass(here, 6 * SECOND);
    own.end();
    await pass(here, 6 * SECOND);
    assert.deepEqual([host.ending.aborted, own.hasEnded], [true, false]);
    await done(here, host.leave());
    assert.equal(own.hasEnded, true);
  });

  test("goes on while nobody can be asked, and ends though nobody listens", async () => {
    const silent = new Promise<never>(() => undefined);
    await using here = await scene((elastic) => ({ ...elastic, ended: () => silent }));
    const { host, own, ec2, heldNow } = here;
    host.begin();
    await pass(here, 6 * SECOND);
    ec2.outage = new Error("no answer");
    await pass(here, 2 * MINUTE);
    assert.deepEqual(heldNow(), ["m1.example"], "the store says whose it is");
    assert.ok(here.messages().includes("lifecycle not read"));
    ec2.outage = null;
    own.end();
    await pass(here, 6 * SECOND);
    await done(here, host.leave());
    assert.equal(here.messages().at(-1), "end of the host not told in time");
  });
});
