import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { job, laneHarness, REUSE_COUNT, session, turn } from "../../support/lane-harness.ts";

describe("the connections of a lane", () => {
  test("opens no more connections than its site may have, and starts the next job when one ends", async () => {
    const { lane, running } = laneHarness({ siteLimit: 2 });
    for (let i = 0; i < 5; i++) lane.add(job());
    await turn();
    assert.equal(running.length, 2);
    await running[0]?.end();
    assert.equal(running.length, 2);
  });

  test("hands a connection that is free to the next job from the same egress address", async () => {
    const { lane, running } = laneHarness({ siteLimit: 1 });
    const open = session();
    lane.add(job());
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    assert.equal(running[0]?.reused, open);
  });

  test("closes an idle connection of another egress address when the site allows no more", async () => {
    const { lane, running } = laneHarness({ siteLimit: 1 });
    const open = session();
    lane.add(job({ egressKey: "e1" }));
    await turn();
    await running[0]?.end({ session: open });
    lane.add(job({ egressKey: "e2" }));
    await turn();
    assert.equal(running[0]?.reused, null);
    assert.equal(open.closed, true);
  });

  test("closes an idle connection of another egress address when other processes have the rest of the slots", async () => {
    const { lane, running } = laneHarness({ siteLimit: 5, slotsFree: 1 });
    lane.add(job({ egressKey: "e1" }));
    await turn();
    const own = session();
    await running[0]?.end({ session: own });
    lane.add(job({ egressKey: "e2" }));
    await turn();
    assert.equal(own.closed, true);
    assert.deepEqual(
      running.map(({ job: { egressKey }, reused }) => [egressKey, reused]),
      [["e2", null]],
      "at once, without waiting for a slot",
    );
  });

  test("carries what it can on a connection before it closes it for another egress address", async () => {
    const { lane, running } = laneHarness({ siteLimit: 1 });
    lane.add(job({ egressKey: "e1" }));
    await turn();
    lane.add(job({ egressKey: "e2" }));
    lane.add(job({ egressKey: "e1" }));
    const own = session();
    await running[0]?.end({ session: own });
    assert.deepEqual(
      running.map(({ job: { egressKey }, reused }) => [egressKey, reused]),
      [["e1", own]],
    );
    await running[0]?.end({ session: own });
    assert.deepEqual(
      running.map(({ job: { egressKey }, reused }) => [egressKey, reused]),
      [["e2", null]],
    );
  });

  test("carries no more mail on a connection from an address that is another host's by now", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 2 });
    const [idle, busy] = [session(), session()];
    lane.add(job());
    lane.add(job());
    await turn();
    await running[0]?.end({ session: idle });
    for (const each of [idle, busy]) state.withdrawn.add(each);
    lane.add(job());
    await turn();
    assert.equal(running.at(-1)?.reused, null, "it has a connection of its own");
    await running[0]?.end({ session: busy });
    assert.equal(busy.closed, true);
    lane.tidy();
    assert.equal(idle.closed, true);
  });

  test("closes a connection that carried as many transactions as it may", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 1, slotsFree: 1 });
    const open = session();
    open.transactions = REUSE_COUNT;
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    assert.equal(open.closed, true);
    assert.equal(state.slotsFree, 1, "and gave its slot back");
  });

  test("ends connections with the mail they carry while others may have their slots", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 1, slotsFree: 1 });
    const open = session();
    lane.add(job());
    lane.add(job());
    await turn();
    state.isOver = true;
    await running[0]?.end({ session: open });
    assert.equal(open.closed, true);
    await turn();
    assert.equal(running[0]?.reused, null, "the next mail has a connection with a slot of its own");
    assert.equal(state.slotsFree, 0);
  });

  test("opens no connection in place of another before that one is closed", async () => {
    const { lane, running } = laneHarness({ siteLimit: 1 });
    const open = session();
    open.transactions = REUSE_COUNT;
    let close = (): void => undefined;
    open.onClose = (listener) => void (close = listener);
    lane.add(job());
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    assert.equal(running.length, 0, "the peer has not closed yet");
    close();
    await turn();
    assert.equal(running.length, 1);
    assert.equal(running[0]?.reused, null);
  });

  test("keeps a connection open until the outcome of its last mail is written", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 1 });
    const back = Promise.withResolvers<void>();
    state.storeIsBack = back.promise;
    const open = session();
    open.transactions = REUSE_COUNT;
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    assert.equal(open.closed, false);
    back.resolve();
    await turn();
    assert.equal(open.closed, true);
  });

  test("closes a connection that has been idle for longer than its zone keeps one", async () => {
    const { lane, running, clock, state } = laneHarness({ siteLimit: 1, slotsFree: 1 });
    const open = session();
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    await clock.advance(4 * SECOND);
    lane.tidy();
    assert.equal(open.closed, false);
    await clock.advance(SECOND);
    lane.tidy();
    assert.equal(open.closed, true);
    assert.equal(state.slotsFree, 1);
    assert.equal(lane.isEmpty, true);
  });
});
