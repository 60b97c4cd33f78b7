import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { deferred, NO_ROUTE } from "#shared/domain/outcome.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { Delivered, DeliverOptions } from "../../../sender/delivery/deliver.ts";
import type { Job } from "../../../sender/delivery/job.ts";
import type { SmtpSession } from "../../../sender/delivery/smtp-client.ts";
import { openLane } from "../../../sender/zone/lane.ts";
import type { Lane } from "../../../sender/zone/lane.ts";
import type { RateSource } from "../../../sender/zone/rate-source.ts";
import { address, anna, message, queueRow } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const REUSE = 3;
const zone = [
  ...parseConfig(
    { zones: { default: { connections: 100, connectionCache: { ttl: 5, reuseCount: REUSE } } } },
    { source: null, baseDir: "/" },
  ).zones.values(),
].find(({ name }) => name === "default") as Zone;

const delivered: Outcome = {
  kind: "delivered",
  reply: { code: 250, enhanced: null, text: "ok" },
  route: NO_ROUTE,
};

/** A delivery in progress that the test ends when it likes. */
interface Running {
  readonly job: Job;
  readonly reused: SmtpSession | null;
  readonly beforeDot: () => Promise<void> | null;
  readonly mayBegin: DeliverOptions["mayBegin"];
  end(result?: Partial<Delivered>): Promise<void>;
}

function harness({ siteLimit = 2, slotsFree = 100, throttles = [] as RateSource[] } = {}) {
  const clock = fakeClock();
  const running: Running[] = [];
  const state = {
    slotsFree,
    settled: [] as Job[],
    putOff: [] as { job: Job; dueAt: EpochMs }[],
    room: 0,
    lost: new Set<Lease>(),
    doubtful: new Set<Lease>(),
    confirmed: [] as Lease[],
    isOver: false,
    hasEgress: true,
    withdrawn: new Set<SmtpSession>(),
    surrendered: 0,
    step: 0,
    permits: 0,
    permitsAsked: 0,
    permitsFail: false,
    storeFails: false,
    storeIsBack: Promise.resolve(),
  };
  const givenBack: Lease[] = [];
  const errors: unknown[] = [];
  const lane: Lane = openLane({
    zone,
    site: "mx.site.example",
    siteLimit,
    clock,
    random: () => 0.5,
    slots: {
      acquire: async () => {
        if (state.storeFails) throw new Error("the store does not answer");
        if (state.slotsFree > 0 && state.slotsFree-- > 0) return { granted: true };
        return { granted: false, retryAt: clock.in(SECOND) };
      },
      release: async () => void state.slotsFree++,
      isOver: () => state.isOver,
      surrender: () => {
        state.surrendered++;
        state.isOver = true;
      },
    },
    pace: {
      get step() {
        return state.step;
      },
      takePermit: async () => {
        state.permitsAsked++;
        if (state.permitsFail) throw new Error("the store does not answer");
        if (state.permits > 0 && state.permits-- > 0) return { granted: true, retryAt: clock.now() };
        return { granted: false, retryAt: clock.in(MINUTE) };
      },
    },
    throttles,
    deliver: (job, reused, { beforeDot, mayBegin }) =>
      new Promise((resolve) => {
        running.push({
          job,
          reused,
          beforeDot,
          mayBegin,
          async end(result = {}) {
            running.splice(
              running.findIndex((one) => one.job === job),
              1,
            );
            resolve({ outcomes: job.leases.map(() => delivered), session: null, siteDown: false, ...result });
            await turn();
          },
        });
      }),
    settle: async (job) => {
      await state.storeIsBack;
      state.settled.push(job);
    },
    putOff: async (job, dueAt) => void state.putOff.push({ job, dueAt }),
    giveBack: async (leases) => void givenBack.push(...leases),
    mayStart: (lease) => !state.lost.has(lease) && !state.doubtful.has(lease),
    confirm: async (leases) => {
      state.confirmed.push(...leases);
      return !leases.some((lease) => state.lost.has(lease));
    },
    hasEgress: () => state.hasEgress,
    isWithdrawn: (session) => state.withdrawn.has(session),
    onRoom: () => void state.room++,
    onConnections: () => undefined,
    onError: (error) => void errors.push(error),
  });
  return { clock, lane, running, state, givenBack, errors };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function job(fields: Partial<Job> = {}, recipients = ["rcpt@one.example"]): Job {
  const mail = fields.message ?? message();
  const leases = recipients.map((recipient, i) => ({
    row: queueRow(mail, i + 1, { recipient: address(recipient) }),
    token: 1,
    worker: anna,
    until: 0 as EpochMs,
  }));
  return {
    zone,
    message: mail,
    leases,
    site: "mx.site.example",
    hosts: [],
    relay: null,
    http: null,
    way: null,
    skipSrs: false,
    sts: null,
    egressKey: "e1",
    ...fields,
  };
}

/** A session that closes when it is told to, and says so. */
function session(): SmtpSession & { transactions: number; closed: boolean } {
  let onClosed = (): void => undefined;
  const close = (): void => {
    fake.closed = true;
    fake.usable = false;
    onClosed();
  };
  const fake = {
    usable: true,
    transactions: 1,
    closed: false,
    quit: close,
    destroy: close,
    onClose(listener: () => void) {
      if (fake.closed) listener();
      else onClosed = listener;
    },
  };
  return fake as unknown as SmtpSession & { transactions: number; closed: boolean };
}

describe("a lane", () => {
  test("opens no more connections than its site may have, and starts the next job when one ends", async () => {
    const { lane, running } = harness({ siteLimit: 2 });
    for (let i = 0; i < 5; i++) lane.add(job());
    await turn();
    assert.equal(running.length, 2);
    await running[0]?.end();
    assert.equal(running.length, 2);
  });

  test("hands a connection that is free to the next job from the same egress address", async () => {
    const { lane, running } = harness({ siteLimit: 1 });
    const open = session();
    lane.add(job());
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    assert.equal(running[0]?.reused, open);
  });

  test("closes an idle connection of another egress address when the site allows no more", async () => {
    const { lane, running } = harness({ siteLimit: 1 });
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
    const { lane, running } = harness({ siteLimit: 5, slotsFree: 1 });
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
    const { lane, running } = harness({ siteLimit: 1 });
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
    const { lane, running, state } = harness({ siteLimit: 2 });
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

  test("gives its rows back while its zone has no address on this host, those that found none too", async () => {
    const { lane, running, state, givenBack } = harness({ siteLimit: 1 });
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

  test("closes a connection that carried as many transactions as it may", async () => {
    const { lane, running, state } = harness({ siteLimit: 1, slotsFree: 1 });
    const open = session();
    open.transactions = REUSE;
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    assert.equal(open.closed, true);
    assert.equal(state.slotsFree, 1, "and gave its slot back");
  });

  test("ends connections with the mail they carry while others may have their slots", async () => {
    const { lane, running, state } = harness({ siteLimit: 1, slotsFree: 1 });
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
    const { lane, running } = harness({ siteLimit: 1 });
    const open = session();
    open.transactions = REUSE;
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

  test("lets a connection end its next mail only when the outcome of the last one is written", async () => {
    const { lane, running, state } = harness({ siteLimit: 1 });
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
    const { lane, running, state } = harness({ siteLimit: 1 });
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
    const { lane, running, state } = harness({ siteLimit: 1 });
    const slow = job();
    lane.add(slow);
    await turn();
    assert.equal(running[0]?.beforeDot(), null);
    state.doubtful.add(slow.leases[0] as Lease);
    await running[0]?.beforeDot();
    assert.deepEqual(state.confirmed, slow.leases);
  });

  test("keeps a connection open until the outcome of its last mail is written", async () => {
    const { lane, running, state } = harness({ siteLimit: 1 });
    const back = Promise.withResolvers<void>();
    state.storeIsBack = back.promise;
    const open = session();
    open.transactions = REUSE;
    lane.add(job());
    await turn();
    await running[0]?.end({ session: open });
    assert.equal(open.closed, false);
    back.resolve();
    await turn();
    assert.equal(open.closed, true);
  });

  test("closes a connection that has been idle for longer than its zone keeps one", async () => {
    const { lane, running, clock, state } = harness({ siteLimit: 1, slotsFree: 1 });
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

  test("puts rows of one message for one site in one transaction, whatever their domains", async () => {
    const { lane, running } = harness({ siteLimit: 1 });
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
    const { lane, running, state } = harness({ siteLimit: 1 });
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
    const { lane, running, clock, state, givenBack } = harness({ slotsFree: 0 });
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
    const { lane, running, clock, state, givenBack } = harness({ slotsFree: 1 });
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
    const { lane, running, clock, state, givenBack } = harness();
    state.storeFails = true;
    lane.add(job());
    await turn();
    state.storeFails = false;
    await clock.advance(SECOND);
    assert.equal(running.length, 1);
    assert.deepEqual(givenBack, []);
  });

  test("does not start a job whose lease has run out, and sends the rest of it", async () => {
    const { lane, running, state, givenBack } = harness({ siteLimit: 1 });
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

  test("puts off what waits for a site that cannot be reached, and probes it later with one job", async () => {
    const { lane, running, clock, state } = harness({ siteLimit: 2 });
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
    const { lane, running, clock } = harness({ siteLimit: 2 });
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
    const { lane } = harness({ siteLimit: 1 });
    const domains = Array.from({ length: 10_001 }, (_, i) => `d${i}.example`);
    for (const domain of domains) lane.add(job({}, [`rcpt@${domain}`]));
    assert.equal(lane.domains.size, 10_000);
    assert.equal(lane.domains.has("d0.example" as Domain), false);
  });

  test("gives back at once what is added when it has been drained", async () => {
    const { lane, running, givenBack } = harness();
    await lane.drain();
    const late = job();
    lane.add(late);
    await turn();
    assert.deepEqual([givenBack, running.length, lane.isEmpty], [late.leases, 0, true]);
  });

  test("gives back what has not started when it is drained, and lets what is in flight finish", async () => {
    const { lane, running, givenBack, state } = harness({ siteLimit: 1 });
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

describe("a lane whose site asked for less mail", () => {
  test("gives its slots back once for each step, and opens half as many connections at each", async () => {
    const { lane, running, state } = harness({ siteLimit: 4 });
    state.step = 1;
    state.permits = 100;
    for (let i = 0; i < 6; i++) lane.add(job());
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.surrendered], [2, 1]);
    state.isOver = false;
    state.step = 2;
    await running[0]?.end();
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.surrendered], [1, 2]);
    state.isOver = false;
    state.step = 0;
    lane.tidy();
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.surrendered], [4, 2], "and all when it has recovered");
  });

  test("begins no mail without a permit, and asks for the next when there may be one", async () => {
    const { lane, running, state, clock } = harness({ siteLimit: 4 });
    state.step = 1;
    state.permits = 1;
    for (let i = 0; i < 3; i++) lane.add(job());
    for (let i = 0; i < 6; i++) await turn();
    assert.equal(running.length, 1);
    const asked = state.permitsAsked;
    await running[0]?.end();
    lane.tidy();
    for (let i = 0; i < 6; i++) await turn();
    assert.deepEqual([running.length, state.permitsAsked], [0, asked], "it waits for the time it was told");
    state.permits = 1;
    await clock.advance(MINUTE);
    for (let i = 0; i < 6; i++) await turn();
    assert.equal(running.length, 1);
    await running[0]?.end();
    await lane.drain();
  });

  test("needs none when the site has recovered meanwhile", async () => {
    const { lane, running, state } = harness({ siteLimit: 4 });
    state.step = 1;
    lane.add(job());
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(running.length, 0);
    state.step = 0;
    lane.tidy();
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(running.length, 1);
  });

  test("gives back what waits when it is drained, and waits for no permit then", async () => {
    const { lane, givenBack, state, clock } = harness();
    state.step = 1;
    const one = job();
    lane.add(one);
    await turn();
    assert.equal(clock.sleepers, 1);
    await lane.drain();
    await turn();
    assert.deepEqual([givenBack, clock.sleepers, lane.isEmpty], [one.leases, 0, true]);
  });

  test("goes on when the store that has the permits comes back", async () => {
    const { lane, running, state, clock, errors } = harness();
    state.step = 1;
    state.permitsFail = true;
    lane.add(job());
    await turn();
    assert.equal(errors.length, 1);
    state.permitsFail = false;
    state.permits = 1;
    await clock.advance(2 * SECOND);
    for (let i = 0; i < 3; i++) await turn();
    assert.equal(running.length, 1);
  });
});

/** A rate whose permits the test hands out. */
function rateByHand() {
  const state = { places: 100, permits: [] as number[], ended: [] as boolean[], told: [] as (() => void)[] };
  const source: RateSource = {
    hasPlace(onPlace) {
      if (state.places > 0) return true;
      state.told.push(onPlace);
      return false;
    },
    coming() {
      state.places--;
      return () => undefined;
    },
    take: async (want) => ({ count: Math.min(want, state.permits.shift() ?? 0), at: 0 as EpochMs }),
    begin: () => (isTaken) => void state.ended.push(isTaken),
  };
  return { source, state };
}

describe("a lane with a rate", () => {
  test("tries as many recipients as there are permits, and the rest first of all the next time", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running, state } = harness({ siteLimit: 1, throttles: [source] });
    const mail = job({}, ["a@one.example", "b@one.example", "c@one.example"]);
    lane.add(mail);
    lane.add(job({}, ["other@one.example"]));
    await turn();
    rate.permits = [2];
    assert.deepEqual(await running[0]?.mayBegin?.(mail.leases), mail.leases.slice(0, 2));
    await running[0]?.end({ outcomes: [delivered, delivered], session: session() });
    assert.deepEqual(
      state.settled.map(({ leases }) => leases),
      [mail.leases.slice(0, 2)],
    );
    assert.deepEqual(running[0]?.job.leases, mail.leases.slice(2));
    assert.deepEqual(rate.ended, [true]);
  });

  test("keeps the connection and the mail when there is no permit after all", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running, state } = harness({ siteLimit: 1, throttles: [source] });
    const mail = job();
    rate.places = 1;
    lane.add(mail);
    await turn();
    const open = session();
    assert.deepEqual(await running[0]?.mayBegin?.(mail.leases), []);
    await running[0]?.end({ outcomes: [], session: open });
    assert.deepEqual([state.settled.length, running.length, open.closed], [0, 0, false]);
    rate.places = 1;
    rate.told.at(-1)?.();
    await turn();
    assert.equal(running[0]?.reused, open);
  });

  test("waits for the permits of all that have begun when they go on with another host", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running } = harness({ siteLimit: 1, throttles: [source] });
    const mail = job({}, ["a@one.example", "b@one.example", "c@one.example"]);
    lane.add(mail);
    await turn();
    rate.permits = [3, 1, 2];
    const begun = await running[0]?.mayBegin?.(mail.leases);
    assert.equal(begun?.length, 3);
    assert.equal((await running[0]?.mayBegin?.(mail.leases))?.length, 3);
    assert.deepEqual(rate.permits, []);
    await running[0]?.end();
  });

  test("settles all of a job whose connection could not be opened, and tells nobody that it took long", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running, state } = harness({ siteLimit: 1, throttles: [source] });
    lane.add(job({}, ["a@one.example", "b@one.example"]));
    await turn();
    const refused = deferred("connect", "refused");
    await running[0]?.end({ outcomes: [refused, refused] });
    assert.equal(state.settled[0]?.leases.length, 2);
    assert.deepEqual(rate.ended, []);
  });

  test("opens nothing while its turn is far, and fills up", async () => {
    const { source, state: rate } = rateByHand();
    const { lane, running } = harness({ siteLimit: 1, throttles: [source] });
    rate.places = 0;
    for (let i = 0; i < 20; i++) lane.add(job());
    await turn();
    assert.deepEqual([running.length, lane.isFull], [0, true]);
    rate.places = 1;
    rate.told.at(-1)?.();
    await turn();
    assert.equal(running.length, 1);
  });
});
