/** Bulk operations over every backend: the same rows, the same reports. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { OperationWord } from "#shared/app/bulk.ts";
import { listMatching, operateMatching } from "#shared/app/bulk.ts";
import type { Address } from "#shared/domain/address.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { QueueRow, RowState } from "#shared/domain/queue-row.ts";
import { HOUR, MINUTE } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { awsQueueBackend } from "../../support/aws-queue.ts";
import type { OpenBackend } from "../../support/backend.ts";
import { acceptMail, embeddedBackend, takeRequest } from "../../support/backend.ts";
import { address, attempt, zoneA, zoneB } from "../../support/builders.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";

interface Mail {
  readonly from?: Address | null;
  readonly to: string;
  readonly row?: Partial<QueueRow>;
}

async function accept(backend: Backend, clock: FakeClock, { from, to, row }: Mail): Promise<QueueRow> {
  const recipient = address(to);
  const domain = recipient.slice(recipient.indexOf("@") + 1) as QueueRow["domain"];
  const { rows } = await acceptMail(backend, clock, {
    message: from === undefined ? {} : { returnPath: from },
    fields: { recipient, domain, ...row },
  });
  return rows[0] ?? assert.fail();
}

const refused = attempt({
  kind: "deferred",
  cause: "reply",
  reply: { code: 451, enhanced: "4.7.1", text: "Greylisted, come back" },
  detail: "451 4.7.1 Greylisted, come back",
  category: "greylist",
});

/** Rows to choose from, accepted a minute after one another. */
async function fill(backend: Backend, clock: FakeClock) {
  const later = { state: "deferred" as const, dueAt: clock.in(24 * HOUR) };
  const rows = new Map<string, QueueRow>();
  const add = async (name: string, mail: Mail): Promise<void> => {
    rows.set(name, await accept(backend, clock, mail));
    await clock.advance(MINUTE);
  };
  await add("plain", { to: "plain@one.example" });
  await add("deferred", { to: "deferred@one.example", row: { ...later, attempts: 1, lastAttempt: refused } });
  await add("zone b", { to: "b@two.example", row: { zone: zoneB } });
  await add("of shop", { to: "shop@two.example", from: address("News@shop.example") });
  await add("of nobody", { to: "nobody@two.example", from: null });
  const held = await accept(backend, clock, { to: "held@three.example" });
  rows.set("held", held);
  await backend.queue.operate("hold", [held.id]);
  return rows;
}

function suite(name: string, open: OpenBackend): void {
  describe(`bulk operations on ${name}`, () => {
    const conditions: [object, OperationWord, string[]][] = [
      [{ all: true }, "hold", ["plain", "deferred", "zone b", "of shop", "of nobody"]],
      [{ all: true }, "drop", ["plain", "deferred", "zone b", "of shop", "of nobody", "held"]],
      [{ all: true }, "release", ["held"]],
      [{ zone: "b" }, "hold", ["zone b"]],
      [{ sender: "news@SHOP.example" }, "hold", ["of shop"]],
      [{ sender: "shop.example" }, "drop", ["of shop"]],
      [{ sender: "<>" }, "hold", ["of nobody"]],
      [{ domain: "TWO.example", zone: "a" }, "hold", ["of shop", "of nobody"]],
      [{ recipient: "PLAIN@one.example" }, "retry", ["plain"]],
      [{ error: "greyLISTED" }, "retry", ["deferred"]],
      [{ error: "greylist" }, "retry", ["deferred"]],
      [{ olderThan: "4m" }, "hold", ["plain", "deferred"]],
      [{ domain: "nowhere.example" }, "drop", []],
    ];
    test("what matches is counted by a dry run, changed by the next, and nothing is left for a third", async () => {
      for (const [condition, operation, names] of conditions) {
        const clock = fakeClock();
        await using opened = await open(clock);
        const { backend } = opened;
        const rows = await fill(backend, clock);
        const deps = { queue: backend.queue, zones: new Map(), clock };
        const ask = (dryRun: boolean) => operateMatching(deps, operation, { ...condition, dryRun });
        const told = `${operation} ${JSON.stringify(condition)}`;
        const dry = await ask(true);
        assert.deepEqual([dry.matched, dry.changed, dry.cursor], [names.length, 0, null], told);
        const before = await states(backend, rows);
        const done = await ask(false);
        assert.deepEqual([done.matched, done.changed, done.busy], [names.length, names.length, 0], told);
        const after = await states(backend, rows);
        const outcome: Record<OperationWord, RowState> = {
          retry: "queued",
          hold: "held",
          release: "queued",
          drop: "dropped",
        };
        for (const row of rows.keys()) {
          assert.equal(
            after.get(row),
            names.includes(row) ? outcome[operation] : before.get(row),
            `${told}: ${row}`,
          );
        }
        if (operation !== "retry") assert.equal((await ask(false)).changed, 0, told);
      }
    });

    test("a row that is being sent is told of and left alone", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await accept(backend, clock, { to: "sent@one.example" });
      await backend.queue.take(takeRequest({ leaseMs: HOUR }));
      await accept(backend, clock, { to: "waits@one.example" });
      const deps = { queue: backend.queue, zones: new Map(), clock };
      const report = await operateMatching(deps, "drop", { domain: "one.example", dryRun: false });
      assert.deepEqual([report.matched, report.busy, report.changed], [1, 1, 1]);
    });

    test("a list tells sender and last reply, and its pages hold each match once", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { backend } = opened;
      await fill(backend, clock);
      const deps = { queue: backend.queue, zones: new Map(), clock };
      const [deferred] = (await listMatching(deps, { state: "deferred", order: "asc", pageSize: 5 })).list;
      assert.deepEqual(
        [deferred?.from, deferred?.response],
        ["sender@sender.example", "451 4.7.1 Greylisted, come back"],
      );
      const seen: string[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < 10; page++) {
        const answer = await listMatching(deps, {
          domain: "two.example",
          order: "desc",
          pageSize: 2,
          cursor,
        });
        seen.push(...answer.list.map(({ recipient }) => recipient));
        if (answer.cursor === null) break;
        ({ cursor } = answer);
      }
      assert.deepEqual(seen, ["nobody@two.example", "shop@two.example", "b@two.example"]);
    });
  });
}

async function states(backend: Backend, rows: ReadonlyMap<string, QueueRow>): Promise<Map<string, RowState>> {
  const found = new Map<string, RowState>();
  for (const [name, row] of rows) {
    const state = (await backend.queue.get(row.messageId))?.rows[0]?.state;
    found.set(name, state ?? assert.fail(name));
  }
  return found;
}

suite("LMDB", embeddedBackend);
stopLocalAwsAtEnd();
describe("on AWS", { skip: noLocalAws() }, () => suite("DynamoDB and SQS", awsQueueBackend));

describe("a pass over more rows than a call looks at", () => {
  /** Accept `count` messages of a hundred rows each. */
  async function many(backend: Backend, clock: FakeClock, messages: number): Promise<void> {
    for (let i = 0; i < messages; i++) await acceptMail(backend, clock, { rows: 100 });
  }

  test("goes on with the cursor, and leaves what came after it began", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    const { backend } = opened;
    await many(backend, clock, 60);
    const deps = { queue: backend.queue, zones: new Map(), clock };
    await clock.advance(1);
    const first = await operateMatching(deps, "hold", { domain: "one.example", dryRun: false });
    assert.deepEqual([first.examined, first.changed], [5_000, 5_000]);
    assert.ok(first.cursor !== null);
    await clock.advance(1);
    await many(backend, clock, 12);
    const next = { domain: "one.example", dryRun: false, cursor: first.cursor };
    const second = await operateMatching(deps, "hold", next);
    assert.deepEqual([second.changed, second.cursor], [1_000, null]);
    const counts = await backend.queue.counts();
    assert.deepEqual([counts[0]?.held, counts[0]?.queued], [6_000, 1_200]);
  });

  test("a call that takes too long ends after a step", async () => {
    const clock = fakeClock();
    await using opened = await embeddedBackend(clock);
    const { backend } = opened;
    await many(backend, clock, 12);
    const operate: Backend["queue"]["operate"] = async (...asked) => {
      await clock.advance(MINUTE);
      return backend.queue.operate(...asked);
    };
    const deps = { queue: { ...backend.queue, operate }, zones: new Map(), clock };
    const report = await operateMatching(deps, "hold", { all: true, dryRun: false });
    assert.equal(report.changed, 500);
    assert.ok(report.cursor !== null);
  });
});

describe("a request that says too little or nonsense", () => {
  const mistakes: [object, RegExp][] = [
    [{}, /say which rows are meant/],
    [{ all: true, zone: "a" }, /goes with no condition/],
    [{ olderThan: "soon" }, /olderThan: "soon" is no age/],
    [{ olderThan: "5" }, /is no age/],
    [{ sender: "@" }, /sender: "@" is not a mail address/],
    [{ domain: "one..example" }, /is not a domain name/],
    [{ zone: "a", cursor: "nonsense" }, /cursor/],
    [{ zone: "a", cursor: "1~nonsense" }, /cursor/],
  ];
  for (const [request, told] of mistakes) {
    test(`${JSON.stringify(request)} changes nothing`, async () => {
      const clock = fakeClock();
      await using opened = await embeddedBackend(clock);
      const { queue } = opened.backend;
      await acceptMail(opened.backend, clock);
      const asked = operateMatching({ queue, zones: new Map(), clock }, "drop", {
        dryRun: false,
        ...request,
      });
      await assert.rejects(asked, (error) => error instanceof DomainError && told.test(error.message));
      assert.equal((await queue.counts())[0]?.queued, 1);
      assert.equal((await queue.counts())[0]?.zone, zoneA);
    });
  }
});
