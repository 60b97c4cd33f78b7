/** What every QueueStore keeps to: taking, waiting for what can be taken, and leases. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { lineOf } from "#shared/domain/queue-row.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Domain } from "#shared/domain/address.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { MAX_ROWS_TOGETHER } from "#shared/ports/queue-store.ts";
import type { Taken } from "#shared/ports/queue-store.ts";
import { acceptMail, takeRequest } from "../support/backend.ts";
import type { OpenBackend } from "../support/backend.ts";
import {
  address,
  anna,
  attempt,
  ben,
  message,
  postWay,
  queueRow,
  relayWay,
  zoneA,
  zoneB,
} from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";
import type { FakeClock } from "../support/fake-clock.ts";

const delivered = { settled: { state: "delivered" }, attempt: attempt() } as const;

const one = "one.example" as Domain;
const two = "two.example" as Domain;

function idsOf(taken: readonly Taken[]): string[] {
  return taken.flatMap(({ leases }) => leases.map(({ row }) => row.id));
}

function domainsOf(taken: readonly Taken[]): string[] {
  return taken.flatMap(({ domain, leases }) => leases.map(() => domain));
}

async function acceptTo(backend: Backend, clock: FakeClock, domain: string, messages = 1): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < messages; i++) {
    const { rows } = await acceptMail(backend, clock, { fields: { recipient: address(`rcpt@${domain}`) } });
    ids.push(...rows.map(({ id }) => id));
  }
  return ids;
}

export function queueTakeContract(backendName: string, open: OpenBackend): void {
  describe(`QueueStore on ${backendName}: take`, () => {
    test("rows are leased with their message: state, worker, end and token are on the row", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message: accepted, rows } = await acceptMail(backend, clock, { rows: 2 });
      const [taken] = await backend.queue.take(takeRequest({ leaseMs: MINUTE }));
      assert.deepEqual(taken?.message, accepted);
      assert.equal(taken.domain, one);
      const until = clock.in(MINUTE);
      const leased = rows.map((row) => ({
        ...row,
        state: "leased",
        leaseToken: 1,
        leasedBy: anna,
        leasedUntil: until,
      }));
      assert.deepEqual(
        taken.leases,
        leased.map((row) => ({ row, token: 1, worker: anna, until })),
      );
      assert.deepEqual((await backend.queue.get(accepted.id))?.rows, leased);
    });

    test("only rows of the zone are taken", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptMail(backend, clock, { fields: { zone: zoneB } });
      assert.deepEqual(await backend.queue.take(takeRequest({ zone: zoneA })), []);
      assert.equal(idsOf(await backend.queue.take(takeRequest({ zone: zoneB }))).length, 1);
    });

    test("one domain's rows come oldest first", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const ids = await acceptTo(backend, clock, one, 3);
      await clock.advance(SECOND);
      ids.push(...(await acceptTo(backend, clock, one, 2)));
      assert.deepEqual(idsOf(await backend.queue.take(takeRequest({ max: 4 }))), ids.slice(0, 4));
      assert.deepEqual(idsOf(await backend.queue.take(takeRequest({ max: 4 }))), ids.slice(4));
    });

    test("a row is given to one worker only, however many ask at once", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const ids = await acceptTo(backend, clock, one, 40);
      const takes = Array.from({ length: 8 }, (_, i) =>
        backend.queue.take(takeRequest({ worker: i % 2 ? anna : ben, max: 10 })),
      );
      const taken = (await Promise.all(takes)).flatMap(idsOf);
      assert.deepEqual(taken.toSorted(), ids.toSorted());
    });

    test("a domain gives no more than its share, and the others are taken beside it", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptTo(backend, clock, one, 10);
      await acceptTo(backend, clock, two, 10);
      const taken = domainsOf(await backend.queue.take(takeRequest({ maxPerDomain: 3 })));
      assert.deepEqual(taken.toSorted(), [one, one, one, two, two, two]);
    });

    test("no domain starves another: takes that cannot have all go round the domains", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const domains = ["a.example", "b.example", "c.example", "d.example"];
      for (const domain of domains) await acceptTo(backend, clock, domain, 5);
      const served: string[] = [];
      for (let i = 0; i < 8; i++)
        served.push(...domainsOf(await backend.queue.take(takeRequest({ max: 1 }))));
      assert.deepEqual(served.slice(0, 4).toSorted(), domains);
      assert.deepEqual(served.slice(4).toSorted(), domains);
    });

    test("rows of one domain by different ways are lines of their own: one that is avoided hides no other", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const of = message({ acceptedAt: clock.now(), recipientCount: 3, ways: [relayWay, postWay] });
      const rows = [relayWay.id, null, postWay.id].map((way, i) => queueRow(of, i + 1, { way }));
      await backend.queue.accept(of, rows);
      const [byRelay, plain, posted] = rows as [QueueRow, QueueRow, QueueRow];
      const avoid = new Set([lineOf(byRelay)]);
      const taken = await backend.queue.take(takeRequest({ avoid }));
      assert.deepEqual(idsOf(taken).toSorted(), [plain.id, posted.id].toSorted());
      assert.ok(taken.every(({ leases }) => leases.length === 1));
      assert.deepEqual(idsOf(await backend.queue.take(takeRequest())), [byRelay.id]);
    });

    test("a long backlog of a domain to be avoided hides nothing behind it", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const full = message({ recipientCount: 3_000 });
      const recipient = address("rcpt@full.example");
      await backend.queue.accept(
        full,
        Array.from({ length: 3_000 }, (_, i) => queueRow(full, i + 1, { recipient })),
      );
      await clock.advance(SECOND);
      const behind = [
        ...(await acceptTo(backend, clock, "a.example")),
        ...(await acceptTo(backend, clock, "z.example")),
      ];
      const avoid = new Set(["full.example" as Domain]);
      assert.deepEqual(idsOf(await backend.queue.take(takeRequest({ avoid }))).toSorted(), behind.toSorted());
      assert.deepEqual(await backend.queue.take(takeRequest({ avoid })), []);
      assert.ok((await backend.queue.take(takeRequest({ max: 1 }))).length > 0);
    });

    test("rows of one message and domain stay together, up to the bound, whatever the maximum", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptMail(backend, clock, { rows: MAX_ROWS_TOGETHER + 20 });
      const sizes: number[] = [];
      for (let i = 0; i < 3; i++) {
        const taken = await backend.queue.take(takeRequest({ max: 1, maxPerDomain: 1 }));
        sizes.push(...taken.map(({ leases }) => leases.length));
      }
      assert.deepEqual(sizes, [MAX_ROWS_TOGETHER, 20]);
    });

    test("a take goes over its maximum by no more than the rows of one message", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      for (let i = 0; i < 3; i++) await acceptMail(backend, clock, { rows: 60 });
      const taken = await backend.queue.take(takeRequest({ max: 70, maxPerDomain: 70 }));
      assert.deepEqual(
        taken.map(({ leases }) => leases.length),
        [60, 60],
      );
    });

    test("rows of one message to two domains are two groups", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const mixed = message({ recipientCount: 4 });
      const rows = [one, two, one, two].map((domain, i) =>
        queueRow(mixed, i + 1, { recipient: address(`rcpt${i}@${domain}`) }),
      );
      await backend.queue.accept(mixed, rows);
      const taken = await backend.queue.take(takeRequest());
      assert.deepEqual(
        new Map(taken.map(({ domain, leases }) => [domain, leases.map(({ row }) => row.seq)])),
        new Map([
          [one, [1, 3]],
          [two, [2, 4]],
        ]),
      );
    });
  });

  describe(`QueueStore on ${backendName}: waiting`, () => {
    test("a waiting take gets what is accepted while it waits", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const waiting = backend.queue.take(takeRequest({ waitMs: MINUTE }));
      const ids = await acceptTo(backend, clock, one);
      await clock.advance(SECOND); // for an adapter that looks from time to time
      assert.deepEqual(idsOf(await waiting), ids);
    });

    test("a waiting take gets what comes due while it waits", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptMail(backend, clock, { fields: { state: "deferred", dueAt: clock.in(10 * SECOND) } });
      const waiting = backend.queue.take(takeRequest({ waitMs: MINUTE }));
      for (let i = 0; i < 11; i++) await clock.advance(SECOND);
      assert.equal(idsOf(await waiting).length, 1);
    });

    test("a take that waits in vain ends empty after its time, or when it is aborted", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const inVain = backend.queue.take(takeRequest({ waitMs: 10 * SECOND }));
      await clock.advance(10 * SECOND);
      assert.deepEqual(await inVain, []);
      const abort = new AbortController();
      const aborted = backend.queue.take(takeRequest({ waitMs: MINUTE, signal: abort.signal }));
      abort.abort();
      assert.deepEqual(await aborted, []);
      assert.equal(clock.sleepers, 0);
    });
  });

  describe(`QueueStore on ${backendName}: leases`, () => {
    test("a lapsed lease goes to the next worker, and what the late one writes changes nothing", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message: accepted } = await acceptMail(backend, clock);
      const [late] = await backend.queue.take(takeRequest({ worker: anna, leaseMs: 30 * SECOND }));
      assert.ok(late?.leases[0]);
      await clock.advance(30 * SECOND - 1);
      assert.deepEqual(await backend.queue.take(takeRequest({ worker: ben })), [], "anna still holds it");
      await clock.advance(1);
      const [current] = await backend.queue.take(takeRequest({ worker: ben }));
      assert.ok(current?.leases[0]);
      assert.ok(current.leases[0].token > late.leases[0].token);
      const before = await backend.queue.get(accepted.id);
      assert.deepEqual(await backend.queue.settle([{ lease: late.leases[0], ...delivered }]), [false]);
      assert.deepEqual(await backend.queue.renew(late.leases, clock.in(MINUTE)), [false]);
      assert.deepEqual(await backend.queue.release(late.leases, clock.now()), [false]);
      assert.deepEqual(await backend.queue.get(accepted.id), before);
      assert.deepEqual(await backend.queue.settle([{ lease: current.leases[0], ...delivered }]), [true]);
    });

    test("a renewed lease ends at its new time", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptMail(backend, clock);
      const [taken] = await backend.queue.take(takeRequest({ leaseMs: 30 * SECOND }));
      assert.ok(taken?.leases[0]);
      assert.deepEqual(await backend.queue.renew(taken.leases, clock.in(MINUTE)), [true]);
      await clock.advance(MINUTE - 1);
      assert.deepEqual(await backend.queue.take(takeRequest({ worker: ben })), []);
      await clock.advance(1);
      assert.equal(idsOf(await backend.queue.take(takeRequest({ worker: ben }))).length, 1);
    });

    test("released rows can be taken again at their time, untried", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      const { message: accepted } = await acceptMail(backend, clock, { rows: 2 });
      const [taken] = await backend.queue.take(takeRequest());
      const [first, second] = taken?.leases ?? [];
      assert.ok(first && second);
      assert.deepEqual(await backend.queue.release([first], clock.now()), [true]);
      assert.deepEqual(await backend.queue.release([second], clock.in(MINUTE)), [true]);
      assert.deepEqual(idsOf(await backend.queue.take(takeRequest())), [first.row.id]);
      await clock.advance(MINUTE);
      const later = await backend.queue.take(takeRequest());
      assert.ok(idsOf(later).includes(second.row.id));
      const row = (await backend.queue.get(accepted.id))?.rows[1];
      assert.equal(row?.attempts, 0);
      assert.equal(row.lastAttempt, null);
      assert.equal(row.dueAt, clock.now());
    });

    test("a lease that was given back or settled is over", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await acceptMail(backend, clock, { rows: 2 });
      const [taken] = await backend.queue.take(takeRequest());
      const [released, settled] = taken?.leases ?? [];
      assert.ok(released && settled);
      await backend.queue.release([released], clock.now());
      const deferral = { settled: { state: "deferred", dueAt: clock.now() }, attempt: attempt() } as const;
      assert.deepEqual(await backend.queue.settle([{ lease: settled, ...deferral }]), [true]);
      for (const lease of [released, settled]) {
        assert.deepEqual(await backend.queue.settle([{ lease, ...delivered }]), [false]);
        assert.deepEqual(await backend.queue.release([lease], clock.now()), [false]);
        assert.deepEqual(await backend.queue.renew([lease], clock.in(MINUTE)), [false]);
      }
    });
  });
}
