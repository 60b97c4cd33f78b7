import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import { deferred } from "#shared/domain/outcome.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { message } from "../../support/builders.ts";
import { job, laneHarness, session, turn } from "../../support/lane-harness.ts";

describe("a lane", () => {
  test("puts rows of one message for one site in one transaction, whatever their domains", async () => {
    const { lane, running } = laneHarness({ siteLimit: 1 });
    const mail = message();
    lane.add(job());
    await turn();
    lane.add(job({ message: mail }, ["a@one.example"]));
    lane.add(job({ message: mail }, ["b@two.example"]));
    await running[0]?.end();
    assert.deepEqual(
      running[0]?.job.leases.map((lease) => lease.row.recipient),
      ["a@one.example", "b@two.example"],
    );
  });

  test("says that it is full, and that it is not any more when half of it is done", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 1 });
    for (let i = 0; i < 15; i++) lane.add(job());
    await turn();
    assert.equal(lane.isFull, true);
    for (let i = 0; i < 6; i++) await running[0]?.end();
    assert.equal(lane.isFull, true, "full until half empty");
    assert.equal(state.room, 0);
    await running[0]?.end();
    assert.equal(lane.isFull, false);
    assert.equal(state.room, 1);
  });

  test("leaves its rows at once to the processes that have all the slots, and wants more in a while", async () => {
    const { lane, running, clock, state, givenBack } = laneHarness({ slotsFree: 0 });
    const stuck = job();
    lane.add(stuck);
    await turn();
    assert.deepEqual(givenBack, stuck.leases);
    assert.equal(lane.isFull, true, "and takes no others meanwhile");
    const late = job(); // was on its way
    lane.add(late);
    await turn();
    assert.deepEqual(givenBack, [...stuck.leases, ...late.leases]);
    state.slotsFree = 1;
    await clock.advance(SECOND);
    assert.equal(lane.isFull, false);
    assert.equal(state.room, 1);
    lane.add(job());
    await turn();
    assert.equal(running.length, 1);
  });

  test("keeps its rows when it has a connection of its own, and asks again for a second slot", async () => {
    const { lane, running, clock, state, givenBack } = laneHarness({ slotsFree: 1 });
    lane.add(job());
    lane.add(job());
    await turn();
    assert.equal(running.length, 1);
    state.slotsFree = 1;
    await clock.advance(SECOND);
    assert.equal(running.length, 2);
    assert.deepEqual(givenBack, []);
  });

  test("keeps its rows while the store does not answer, and asks again", async () => {
    const { lane, running, clock, state, givenBack } = laneHarness();
    state.storeFails = true;
    lane.add(job());
    await turn();
    state.storeFails = false;
    await clock.advance(SECOND);
    assert.equal(running.length, 1);
    assert.deepEqual(givenBack, []);
  });

  test("gives its rows back while its zone has no address on this host, those that found none too", async () => {
    const { lane, running, state, givenBack } = laneHarness({ siteLimit: 1 });
    const untried = job();
    lane.add(untried);
    lane.add(job());
    await turn();
    state.hasEgress = false;
    await running[0]?.end({ outcomes: [], session: null });
    assert.equal(givenBack.length, 2);
    assert.ok(givenBack.includes(untried.leases[0] as Lease));
    lane.add(job());
    await turn();
    assert.deepEqual([givenBack.length, running.length, state.settled.length], [3, 0, 0]);
    state.hasEgress = true;
    lane.add(job());
    await turn();
    assert.equal(running.length, 1);
  });

  test("does not start a job whose lease has run out, and sends the rest of it", async () => {
    const { lane, running, state, givenBack } = laneHarness({ siteLimit: 1 });
    lane.add(job());
    await turn();
    const late = job({}, ["lost@one.example", "held@one.example"]);
    state.lost.add(late.leases[0] as Lease);
    lane.add(late);
    await running[0]?.end();
    assert.deepEqual(
      running[0]?.job.leases.map((lease) => lease.row.recipient),
      ["held@one.example"],
    );
    assert.deepEqual(givenBack, [late.leases[0]]);
  });

  test("lets a connection end its next mail only when the outcome of the last one is written", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 1 });
    const back = Promise.withResolvers<void>();
    state.storeIsBack = back.promise;
    lane.add(job());
    lane.add(job());
    await turn();
    assert.equal(running[0]?.beforeDot(), null, "nothing comes before the first mail");
    await running[0]?.end({ session: session() });
    assert.equal(running.length, 1, "the next one begins");
    const held = running[0]?.beforeDot();
    assert.ok(held, "and does not end yet");
    back.resolve();
    await held;
    await turn();
    assert.equal(state.settled.length, 1);
    assert.equal(running[0]?.beforeDot(), null);
  });

  test("lets no connection end a mail whose lease went to another worker meanwhile", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 1 });
    const back = Promise.withResolvers<void>();
    state.storeIsBack = back.promise;
    const late = job();
    lane.add(job());
    lane.add(late);
    await turn();
    await running[0]?.end({ session: session() });
    const held = running[0]?.beforeDot();
    state.lost.add(late.leases[0] as Lease); // while the store was down
    back.resolve();
    await assert.rejects(async () => await held, /another worker/);
  });

  test("renews a lease that may have lapsed before it lets the mail end", async () => {
    const { lane, running, state } = laneHarness({ siteLimit: 1 });
    const slow = job();
    lane.add(slow);
    await turn();
    assert.equal(running[0]?.beforeDot(), null);
    state.doubtful.add(slow.leases[0] as Lease);
    await running[0]?.beforeDot();
    assert.deepEqual(state.confirmed, slow.leases);
  });

  test("puts off what waits for a site that cannot be reached, and probes it later with one job", async () => {
    const { lane, running, clock, state } = laneHarness({ siteLimit: 2 });
    for (let i = 0; i < 4; i++) lane.add(job());
    await turn();
    const down = { siteDown: true, outcomes: [deferred("connect", "refused")] };
    await running[0]?.end(down);
    await running[0]?.end(down);
    assert.equal(running.length, 0);
    assert.equal(state.putOff.length, 2);
    assert.ok((state.putOff[0]?.dueAt ?? 0) > clock.now());
    lane.add(job());
    await turn();
    assert.equal(running.length, 0, "it is still down");
    await clock.advance(3 * MINUTE);
    lane.add(job());
    lane.add(job());
    await turn();
    assert.equal(running.length, 1, "one probe");
    await running[0]?.end();
    assert.equal(running.length, 1, "it is up: the next one goes");
  });

  test("remembers that its site was down for as long as the rows that were put off may come back", async () => {
    const { lane, running, clock } = laneHarness({ siteLimit: 2 });
    const down = { siteDown: true, outcomes: [deferred("connect", "refused")] };
    lane.add(job());
    await turn();
    await running[0]?.end(down);
    await clock.advance(2 * MINUTE);
    lane.tidy();
    assert.equal(lane.isEmpty, false);
    for (let i = 0; i < 3; i++) lane.add(job());
    await turn();
    assert.equal(running.length, 1, "one probe");
    await clock.advance(10 * MINUTE);
    await running[0]?.end();
    assert.equal(running.length, 2, "it is up: the others go");
  });

  test("forgets the domain it has not seen for longest when it has seen very many", async () => {
    const { lane } = laneHarness({ siteLimit: 1 });
    const domains = Array.from({ length: 10_001 }, (_, i) => `d${i}.example`);
    for (const domain of domains) lane.add(job({}, [`rcpt@${domain}`]));
    assert.equal(lane.domains.size, 10_000);
    assert.equal(lane.domains.has("d0.example" as Domain), false);
  });

  test("gives back at once what is added when it has been drained", async () => {
    const { lane, running, givenBack } = laneHarness();
    await lane.drain();
    const late = job();
    lane.add(late);
    await turn();
    assert.deepEqual([givenBack, running.length, lane.isEmpty], [late.leases, 0, true]);
  });

  test("gives back what has not started when it is drained, and lets what is in flight finish", async () => {
    const { lane, running, givenBack, state } = laneHarness({ siteLimit: 1 });
    lane.add(job());
    lane.add(job());
    await turn();
    await lane.drain();
    assert.equal(givenBack.length, 1);
    const open = session();
    await running[0]?.end({ session: open });
    assert.equal(state.settled.length, 1);
    assert.equal(open.closed, true);
    assert.equal(lane.isEmpty, true);
  });
});
