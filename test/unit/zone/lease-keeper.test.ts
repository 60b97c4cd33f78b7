/** What is held is renewed in time, and a store that fails is asked again soon. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Lease } from "#shared/domain/queue-row.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { QueueStore } from "#shared/ports/queue-store.ts";
import { leaseKeeper } from "../../../sender/zone/lease-keeper.ts";
import { anna, message, queueRow } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const LEASE_MS = 120 * SECOND;

function heldLeases(count: number) {
  const clock = fakeClock();
  const errors: unknown[] = [];
  const asked: number[] = [];
  /** The store: which of the leases it renews, or that it fails. */
  const store: { renews: (lease: Lease) => boolean } = { renews: () => true };
  const queue = {
    async renew(leases: readonly Lease[]): Promise<boolean[]> {
      asked.push(leases.length);
      return await Promise.resolve(leases.map((lease) => store.renews(lease)));
    },
  } as unknown as QueueStore;
  const keeper = leaseKeeper({ queue, clock, leaseMs: LEASE_MS, onError: (error) => errors.push(error) });
  const mail = message({ recipientCount: count });
  const leases: Lease[] = Array.from({ length: count }, (_, i) => ({
    row: queueRow(mail, i + 1),
    token: 1,
    worker: anna,
    until: clock.in(LEASE_MS),
  }));
  keeper.hold(leases);
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { clock, keeper, leases, store, asked, errors, [Symbol.asyncDispose]: end };
}

describe("the leases that are held", () => {
  test("are renewed in thirds of their time, and last", async () => {
    await using held = heldLeases(2);
    await held.clock.advance(LEASE_MS);
    assert.deepEqual(held.asked, [2, 2, 2]);
    assert.ok(held.leases.every((lease) => held.keeper.mayStart(lease)));
  });

  test("are tried again each second while the store fails, and are good again when it is back", async () => {
    await using held = heldLeases(1);
    held.store.renews = () => assert.fail("throttled");
    await held.clock.advance(LEASE_MS);
    const [lease] = held.leases;
    assert.ok(lease);
    assert.equal(held.keeper.mayStart(lease), false, "it may have lapsed");
    assert.equal(held.errors.length, 1 + (LEASE_MS * 2) / 3 / SECOND);
    held.store.renews = () => true;
    await held.clock.advance(SECOND);
    assert.equal(held.keeper.mayStart(lease), true);
  });

  test("are renewed though others, in another call, cannot be", async () => {
    await using held = heldLeases(600);
    const [first] = held.leases;
    held.store.renews = (lease) => (lease === first ? assert.fail("a hot partition") : true);
    await held.clock.advance(LEASE_MS);
    const good = held.leases.filter((lease) => held.keeper.mayStart(lease));
    assert.equal(good.length, 100, "those of the second call");
  });

  test("are not asked for again when they went to another worker", async () => {
    await using held = heldLeases(2);
    held.store.renews = (lease) => lease !== held.leases[0];
    await held.clock.advance(LEASE_MS);
    assert.deepEqual(held.asked, [2, 1, 1]);
    assert.deepEqual(
      held.leases.map((lease) => held.keeper.mayStart(lease)),
      [false, true],
    );
  });

  test("are renewed at once when one must be sure of them, and only those that may have lapsed", async () => {
    await using held = heldLeases(2);
    held.store.renews = () => assert.fail("throttled");
    await held.clock.advance(LEASE_MS);
    held.store.renews = (lease) => lease === held.leases[0];
    held.asked.length = 0;
    const [lives, lost] = held.leases;
    assert.ok(lives && lost);
    assert.equal(await held.keeper.confirm([lives]), true);
    assert.equal(held.keeper.mayStart(lives), true);
    assert.equal(await held.keeper.confirm([lives]), true);
    assert.deepEqual(held.asked, [1], "it is sure of it");
    assert.equal(await held.keeper.confirm([lives, lost]), false);
    assert.equal(await held.keeper.confirm([lost]), false);
    assert.deepEqual(held.asked, [1, 1], "what was lost stays lost");
  });

  test("are not sure while the store does not answer", async () => {
    await using held = heldLeases(1);
    held.store.renews = () => assert.fail("throttled");
    await held.clock.advance(LEASE_MS);
    await assert.rejects(held.keeper.confirm(held.leases), /throttled/);
  });
});
