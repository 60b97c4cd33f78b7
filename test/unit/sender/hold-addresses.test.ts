import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { WorkerId } from "#shared/domain/ids.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { FleetStore } from "#shared/ports/fleet-store.ts";
import { addressHolder, ROUND_MS } from "../../../sender/addresses/hold-addresses.ts";
import type { AddressHolder, Trouble } from "../../../sender/addresses/hold-addresses.ts";
import { embeddedBackend } from "../../support/backend.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeEc2 } from "../../support/fake-ec2.ts";
import { fakeEc2 } from "../../support/fake-ec2.ts";

const NAMES = ["m1.example", "m2.example", "m3.example", "m4.example"];
const BEAT_MS = MINUTE;

interface Host {
  readonly name: string;
  readonly holder: AddressHolder;
  readonly troubles: [Trouble, string | null][];
  isDead: boolean;
}

interface Scene extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly ec2: FakeEc2;
  readonly fleet: FleetStore;
  addHost(name: string, places?: number): Host;
  /** Rounds of all that live, a second of clock between any two looks at who uses what. */
  pass(ms: number): Promise<void>;
  /** Names by host. */
  heldBy(): Record<string, string[]>;
  /** Addresses that two hosts used in the same second. */
  readonly usedTwice: ReadonlySet<string>;
}

async function scene(names: readonly string[] = NAMES): Promise<Scene> {
  const clock = fakeClock();
  const store = await embeddedBackend(clock);
  const { fleet } = store.backend;
  const ec2 = fakeEc2({ clock, names });
  const hosts: Host[] = [];
  const usedTwice = new Set<string>();
  const living = () => hosts.filter(({ isDead }) => !isDead);

  function watch(): void {
    const users = hosts.flatMap(({ holder }) => holder.held().map(({ name }) => name)); // the dead too: a hung one sends on
    for (const [i, name] of users.entries()) if (users.indexOf(name) !== i) usedTwice.add(name);
    for (const { name: host, holder } of living())
      for (const { name } of holder.held()) assert.equal(ec2.placeOf(name), host, "it is where it is used");
  }

  return {
    clock,
    ec2,
    fleet,
    usedTwice,
    addHost(name, places = 4) {
      const troubles: Host["troubles"] = [];
      const holder = addressHolder({
        fleet,
        elastic: ec2.host(name, places),
        clock,
        host: name,
        onHeld: () => undefined,
        onTrouble: (what, _error, address) => void troubles.push([what, address]),
      });
      const host = { name, holder, troubles, isDead: false };
      hosts.push(host);
      return host;
    },
    async pass(ms) {
      for (let passed = 0; passed < ms; passed += SECOND) {
        const isRound = clock.now() % ROUND_MS < SECOND;
        for (const { name, holder } of isRound ? living() : []) {
          await fleet.beat(memberOf(name, clock));
          await holder.round();
        }
        watch();
        await clock.advance(SECOND);
        watch();
      }
    },
    heldBy: () =>
      Object.fromEntries(living().map(({ name, holder }) => [name, holder.held().map((each) => each.name)])),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

function memberOf(hostname: string, clock: FakeClock) {
  const now = clock.now();
  const until = (now + BEAT_MS) as EpochMs;
  return { worker: `w-${hostname}` as WorkerId, hostname, pid: 1, startedAt: now, until, addresses: [] };
}

function sizes(held: Record<string, string[]>): Record<string, number> {
  return Object.fromEntries(Object.entries(held).map(([host, names]) => [host, names.length]));
}

describe("Elastic IPs", () => {
  test("are all held by one host while it is alone, and have its names in reverse DNS", async () => {
    await using at = await scene();
    at.addHost("one");
    await at.pass(30 * SECOND);
    assert.deepEqual(at.heldBy(), { one: NAMES });
    for (const name of NAMES) assert.equal(at.ec2.reverseNameOf(name), name);
  });

  test("are shared with a host that comes later, one at a time, and never used by both", async () => {
    await using at = await scene();
    at.addHost("one");
    await at.pass(30 * SECOND);
    at.addHost("two");
    await at.pass(5 * MINUTE);
    assert.deepEqual(sizes(at.heldBy()), { one: 2, two: 2 });
    assert.deepEqual([...at.usedTwice], []);
    const { length } = at.ec2.moves;
    await at.pass(5 * MINUTE);
    assert.equal(at.ec2.moves.length, length, "nothing moves without need");
  });

  test("of a host that dies send again from another within a minute, and never from both", async () => {
    await using at = await scene();
    const dies = at.addHost("dies");
    at.addHost("lives");
    await at.pass(6 * MINUTE);
    assert.deepEqual(sizes(at.heldBy()), { dies: 2, lives: 2 });
    dies.isDead = true;
    await at.pass(MINUTE);
    assert.deepEqual(at.heldBy()["lives"]?.toSorted(), NAMES);
    assert.deepEqual([...at.usedTwice], []);
  });

  test("are taken by the others at once when a host gives them back", async () => {
    await using at = await scene();
    const goes = at.addHost("goes");
    at.addHost("stays");
    await at.pass(6 * MINUTE);
    goes.isDead = true; // it has no more rounds
    const stop = new AbortController();
    stop.abort();
    await goes.holder.run(stop.signal);
    await at.pass(20 * SECOND);
    assert.deepEqual(at.heldBy()["stays"]?.toSorted(), NAMES);
    assert.deepEqual([...at.usedTwice], []);
  });

  test("are used for as long as their leases last while the store does not answer", async () => {
    await using at = await scene();
    const host = at.addHost("one");
    await at.pass(15 * SECOND);
    const { fleet } = at;
    const holdAddress = fleet.holdAddress.bind(fleet);
    fleet.holdAddress = () => Promise.reject(new Error("the table does not answer"));
    await at.pass(10 * SECOND);
    assert.equal(host.holder.held().length, NAMES.length);
    await at.pass(20 * SECOND);
    assert.deepEqual(host.holder.held(), []);
    assert.ok(host.troubles.some(([what]) => what === "hold"));
    fleet.holdAddress = holdAddress;
    await at.pass(30 * SECOND);
    assert.equal(host.holder.held().length, NAMES.length);
  });

  test("stay with who has room when the other has none, and do not go to and fro", async () => {
    await using at = await scene();
    at.addHost("roomy");
    at.addHost("full", 1);
    await at.pass(7 * MINUTE);
    const { length } = at.ec2.moves;
    await at.pass(8 * MINUTE);
    assert.deepEqual(sizes(at.heldBy()), { roomy: 3, full: 1 });
    assert.ok(at.ec2.moves.length - length <= 2, `${at.ec2.moves.length - length} moves`);
  });

  test("come back when somebody has moved one away by hand", async () => {
    await using at = await scene();
    const { holder } = at.addHost("one");
    await at.pass(15 * SECOND);
    await at.ec2.host("by hand", 1).associate("eipalloc-0", "10.25.0.10");
    assert.equal(at.ec2.placeOf("m1.example"), "by hand");
    await holder.round();
    assert.equal(at.ec2.placeOf("m1.example"), "one");
  });

  test("are asked again for a reverse name that was refused", async () => {
    await using at = await scene(["m1.example"]);
    at.ec2.published.clear();
    const host = at.addHost("one");
    await at.pass(30 * SECOND);
    assert.deepEqual(host.troubles, [["reverse-name", "m1.example"]]);
    at.ec2.published.add("m1.example");
    await at.pass(11 * MINUTE);
    assert.equal(at.ec2.reverseNameOf("m1.example"), "m1.example");
  });

  test("that take their time to come are taken in several rounds, so that none lapses meanwhile", async () => {
    const names = Array.from({ length: 12 }, (_, i) => `m${i + 10}.example`);
    await using at = await scene(names);
    const elastic = at.ec2.host("one", names.length);
    const holder = addressHolder({
      fleet: at.fleet,
      elastic: {
        ...elastic,
        async associate(id, privateAddress) {
          await at.clock.advance(3 * SECOND);
          await elastic.associate(id, privateAddress);
        },
      },
      clock: at.clock,
      host: "one",
      onHeld: () => undefined,
      onTrouble: (_what, error) => assert.fail(String(error)),
    });
    const here = () => names.filter((name) => at.ec2.placeOf(name) === "one");
    for (let round = 0; here().length < names.length; round++) {
      assert.ok(round < names.length, "each brings one at least");
      await holder.round();
      await at.clock.advance(ROUND_MS);
      assert.deepEqual(
        holder.held().map(({ name }) => name),
        here(),
        "at the end of the wait for the next round",
      );
    }
  });

  test("that EC2 does not move here are given back, and not used", async () => {
    await using at = await scene(["m1.example"]);
    const host = at.addHost("one");
    at.ec2.outage = new Error("RequestLimitExceeded");
    await at.pass(20 * SECOND);
    assert.deepEqual(host.holder.held(), []);
    at.ec2.outage = null;
    await at.pass(20 * SECOND);
    assert.equal(host.holder.held().length, 1);
  });
});
