import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import type { Outcome, Route } from "#shared/domain/outcome.ts";
import { bounced, deferred, outcomeOfReply } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { HOUR, MINUTE } from "#shared/domain/units.ts";
import type { App } from "../../support/app.ts";
import { openApp, submission } from "../../support/app.ts";
import { address } from "../../support/builders.ts";

const route: Route = { mx: "mx.one.example", peer: "192.0.2.1", egress: "198.51.100.7" };
const said = (code: number, text: string): Outcome => outcomeOfReply(smtpReply(code, [text]), route);

/** Submit a mail, try it with this outcome, and give the row it left. */
async function tried(app: App, outcome: Outcome, options: { otherEgress?: boolean } = {}): Promise<QueueRow> {
  const { messageId } = await app.submit(submission());
  await app.settleAll(await app.take(), outcome, options);
  return (await app.backend.queue.get(messageId))?.rows[0] as QueueRow;
}

describe("settle", () => {
  test("a reply of 250 delivers and keeps what the peer said", async () => {
    await using app = await openApp();
    const row = await tried(app, said(250, "2.0.0 queued as 17"));
    assert.equal(row.state, "delivered");
    assert.equal(row.attempts, 1);
    assert.equal(row.lastAttempt?.detail, "250 2.0.0 queued as 17");
    assert.deepEqual(row.lastAttempt?.route, route);
  });

  test("a 4yz reply is tried again by the ladder until it is over, and then expires", async () => {
    await using app = await openApp({ queue: { deferTimes: [5 * MINUTE, HOUR] } });
    const { messageId } = await app.submit(submission());
    const states: string[] = [];
    for (let attempt = 1; attempt <= 3; attempt++) {
      await app.settleAll(await app.take(), said(451, "4.3.0 try later"));
      const row = (await app.backend.queue.get(messageId))?.rows[0] as QueueRow;
      states.push(row.state);
      if (row.state === "deferred") await app.clock.advance(row.dueAt - app.clock.now());
    }
    assert.deepEqual(states, ["deferred", "deferred", "expired"]);
    const row = (await app.backend.queue.get(messageId))?.rows[0] as QueueRow;
    assert.equal(row.attempts, 3);
    assert.equal(row.lastAttempt?.status, "5.4.7");
    assert.match(row.lastAttempt?.detail ?? "", /given up after 3 attempts.*451 4\.3\.0 try later/);
  });

  test("rows that were deferred together are due together, so that they travel in one transaction again", async () => {
    await using app = await openApp({}, undefined, Math.random);
    const recipients = ["a@one.example", "b@one.example", "c@one.example"].map(address);
    const { messageId } = await app.submit(submission({ recipients }));
    await app.settleAll(await app.take(), said(451, "4.3.0 try later"));
    const rows = (await app.backend.queue.get(messageId))?.rows ?? [];
    assert.equal(new Set(rows.map(({ dueAt }) => dueAt)).size, 1);
  });

  test("a 5yz reply about the recipient bounces at once", async () => {
    await using app = await openApp();
    const row = await tried(app, said(550, "5.1.1 no such user"));
    assert.equal(row.state, "bounced");
    assert.equal(row.lastAttempt?.category, "recipient");
    assert.equal(row.lastAttempt?.status, "5.1.1");
  });

  test("failures of ours and of the network wait and blame nobody", async () => {
    for (const cause of ["internal", "dns", "connect", "timeout", "protocol", "ambiguous"] as const) {
      await using app = await openApp();
      const row = await tried(app, deferred(cause, `it was ${cause}`));
      assert.equal(row.state, "deferred", cause);
      assert.match(row.lastAttempt?.status ?? "", /^4\./, cause);
    }
  });

  test("what can never be delivered bounces with the status of its cause", async () => {
    await using app = await openApp();
    const row = await tried(app, bounced("null-mx", "5.1.10", "the domain takes no mail"));
    assert.equal(row.state, "bounced");
    assert.equal(row.lastAttempt?.status, "5.1.10");
  });

  test("what a plugin says bounces, waits or is dropped, whatever its words are", async () => {
    await using app = await openApp({ zones: { default: {} } });
    const words = "Listed, blocked using bl.example; mailbox full; try again later";
    const refused = await tried(app, bounced("plugin", "5.7.1", `550 5.7.1 ${words}`, route), {
      otherEgress: true,
    });
    assert.deepEqual([refused.state, refused.lastAttempt?.cause], ["bounced", "plugin"]);
    const waits = await tried(app, deferred("plugin", `451 4.7.1 ${words}`, route), { otherEgress: true });
    assert.deepEqual([waits.state, waits.attempts, waits.dueAt > app.clock.now()], ["deferred", 1, true]);
    assert.deepEqual(await app.backend.limits.blocked(), []);

    const drop = { ...deferred("plugin", "seen before", route), ruling: { action: "drop", category: null } };
    const dropped = await tried(app, drop as Outcome);
    assert.equal(dropped.state, "dropped");
    assert.equal(dropped.lastAttempt?.detail, "dropped by a plugin: seen before");
    assert.equal(dropped.attempts, 0);
  });

  const listed = said(554, "5.7.1 Service unavailable; client host [198.51.100.7] blocked using bl.example");
  const pools = {
    out: [
      { address: "198.51.100.7", name: "a.sender.example" },
      { address: "198.51.100.8", name: "b.sender.example" },
    ],
  };

  test("a refusal of our address blocks it for the site and is tried again at once from another", async () => {
    await using app = await openApp({ pools, zones: { default: { pool: "out" } } });
    const row = await tried(app, listed, { otherEgress: true });
    assert.equal(row.state, "deferred");
    assert.equal(row.dueAt, app.clock.now());
    const blocked = await app.backend.limits.blocked();
    assert.deepEqual(
      blocked.map(({ address, site }) => [address, site]),
      [["198.51.100.7", "mx.example"]],
    );
    assert.match(blocked[0]?.response ?? "", /554 5\.7\.1/);
  });

  test("with no other address it waits as any deferral does", async () => {
    await using app = await openApp({ pools, zones: { default: { pool: "out" } } });
    const row = await tried(app, listed);
    assert.equal(row.state, "deferred");
    assert.ok(row.dueAt >= app.clock.in(4 * MINUTE));
  });

  test("the wildcard address is never blocked: that would stop the zone", async () => {
    await using app = await openApp();
    const row = await tried(app, listed);
    assert.equal(row.state, "deferred");
    assert.deepEqual(await app.backend.limits.blocked(), []);
  });

  test("an outcome that comes after the lease went to another worker writes nothing and is told", async () => {
    await using app = await openApp();
    const { messageId } = await app.submit(submission());
    const late = await app.take();
    await app.clock.advance(2 * MINUTE);
    const current = await app.take();
    assert.equal(current.length, 1);
    await app.settleAll(late, said(550, "5.1.1 no such user"));
    assert.equal((await app.backend.queue.get(messageId))?.rows[0]?.state, "leased");
    assert.equal(app.told.late.length, 1);
    await app.settleAll(current, said(250, "ok"));
    assert.equal((await app.backend.queue.get(messageId))?.rows[0]?.state, "delivered");
  });
});

describe("a reply that asks for less mail", () => {
  const slowDown = said(421, "4.7.0 Too many connections from your IP, slow down");

  test("is one complaint of the site to the zone, however many recipients heard it, and is tried again by the ladder", async () => {
    await using app = await openApp();
    const recipients = ["a@one.example", "b@one.example"].map(address);
    const { messageId } = await app.submit(submission({ recipients }));
    await app.settleAll(await app.take(), slowDown, { site: "mx.one.example" });
    assert.deepEqual(app.told.complaints, [
      {
        zone: "default",
        site: "mx.one.example",
        response: "421 4.7.0 Too many connections from your IP, slow down",
      },
    ]);
    const rows = (await app.backend.queue.get(messageId))?.rows ?? [];
    assert.deepEqual(
      rows.map(({ state, dueAt }) => [state, dueAt]),
      rows.map(() => ["deferred", app.clock.in(5 * MINUTE)]),
    );
  });

  test("is none when it only says later, refuses for good, or when nobody spoke", async () => {
    await using app = await openApp();
    for (const outcome of [
      said(451, "4.3.0 later"),
      said(550, "5.1.1 gone"),
      deferred("connect", "no connection"),
    ])
      await tried(app, outcome);
    assert.deepEqual(app.told.complaints, []);
  });
});

describe("own bounce rules", () => {
  test("decide what becomes of a row before ours do", async () => {
    const folder = await mkdtemp(join(tmpdir(), "zonefleet-settle-"));
    try {
      const bouncesFile = join(folder, "own.txt");
      await writeFile(bouncesFile, "no such user,defer,policy,They come back\nslow,slowdown,policy,Slowly\n");
      await using app = await openApp({ bouncesFile });
      const row = await tried(app, said(550, "5.1.1 No such user"));
      assert.deepEqual(
        [row.state, row.lastAttempt?.category, row.lastAttempt?.status],
        ["deferred", "policy", "4.1.1"],
      );
      await tried(app, said(450, "slow, please"));
      assert.equal(app.told.complaints.length, 1);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
