/** Records that cannot be read: the mail beside them goes on, and they are kept and told of once. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { DAY, MINUTE } from "#shared/domain/units.ts";
import { openDatabase } from "#shared/embedded/database.ts";
import type { TableKey } from "#shared/embedded/database.ts";
import type { SetAsideRecord } from "#shared/embedded/set-aside.ts";
import { acceptMail, embeddedBackend, takeRequest } from "../../support/backend.ts";
import { address, anna, attempt, zoneA } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";

const QUERY = {
  zone: null,
  states: ["queued", "leased", "deferred", "held"],
  order: "oldest-first",
  limit: 100,
  cursor: null,
} as const;

/** A backend whose records a test can damage. */
async function damageable(clock: FakeClock) {
  const told: SetAsideRecord[] = [];
  const onSetAside = (record: SetAsideRecord): void => void told.push(record);
  const opened = await embeddedBackend(clock, { historyMs: DAY, onSetAside });
  const database = openDatabase(opened.dataDir);
  return {
    backend: opened.backend,
    told,
    /** JSON of a shape that no record has. */
    async misshape(table: string, key: TableKey) {
      await database.write(() => database.table(table).put(key, { garbage: [7] }));
    },
    /** Bytes that are no JSON. */
    async scramble(table: string, key: TableKey) {
      await database.write(() => database.bytesTable(table).put(key, Buffer.from('{"id": "01\u0000')));
    },
    keysOf: (table: string) => [...database.table(table).keys({})],
    kept: () => [...database.table("unreadable").entries({})],
    counted: () => database.counters("unreadable "),
    async [Symbol.asyncDispose]() {
      await database.close();
      await opened[Symbol.asyncDispose]();
    },
  };
}

async function takenIds(backend: Awaited<ReturnType<typeof damageable>>["backend"]): Promise<string[]> {
  const taken = await backend.queue.take(takeRequest());
  return taken.flatMap(({ leases }) => leases.map(({ row }) => row.id));
}

for (const how of ["misshape", "scramble"] as const) {
  test(`a row that cannot be read (${how}) leaves its zone to the others, and is kept and told of once`, async () => {
    const clock = fakeClock();
    await using store = await damageable(clock);
    const { backend } = store;
    const bad = (await acceptMail(backend, clock)).rows[0]?.id ?? "";
    const good = (await acceptMail(backend, clock)).rows[0]?.id;
    await store[how]("rows", bad);
    assert.deepEqual(await takenIds(backend), [good]);
    assert.deepEqual(await takenIds(backend), [], "and goes on");
    await acceptMail(backend, clock);
    assert.deepEqual(
      store.kept().map(({ key }) => key),
      [["rows", bad]],
    );
    assert.deepEqual(store.counted(), new Map([["unreadable rows", 1]]));
    const [told, ...more] = store.told;
    assert.deepEqual([told?.table, told?.key, told?.at, more.length], ["rows", bad, clock.now(), 0]);
    assert.match(told?.error ?? "", new RegExp(`cannot read row ${bad}`));
    assert.deepEqual(store.keysOf("ready").length, 1, "what named it is gone; the third mail waits");
    assert.deepEqual(await backend.queue.counts(), [
      { zone: zoneA, queued: 1, leased: 1, deferred: 0, held: 0 },
    ]);
  });

  test(`a message that cannot be read (${how}) is set aside with its rows, and its zone goes on`, async () => {
    const clock = fakeClock();
    await using store = await damageable(clock);
    const { backend } = store;
    const bad = await acceptMail(backend, clock, { rows: 2 });
    const good = (await acceptMail(backend, clock)).rows[0]?.id;
    await store[how]("messages", bad.message.id);
    assert.deepEqual(await takenIds(backend), [good]);
    assert.equal(await backend.queue.get(bad.message.id), null);
    await backend.queue.sweep(); // a write: what was to be moved has been
    assert.deepEqual(
      store.kept().map(({ key }) => key),
      [["messages", bad.message.id], ...bad.rows.map(({ id }) => ["rows", id])],
    );
    assert.equal(store.told.length, 3);
    assert.deepEqual(await backend.queue.counts(), [
      { zone: zoneA, queued: 0, leased: 1, deferred: 0, held: 0 },
    ]);
    assert.deepEqual(store.keysOf("ready"), []);
  });
}

test("rows that cannot be read when they come due, lapse or are recovered are set aside too", async () => {
  const clock = fakeClock();
  await using store = await damageable(clock);
  const { backend } = store;
  const deferred = { state: "deferred", dueAt: clock.in(MINUTE) } as const;
  const later = await acceptMail(backend, clock, { fields: deferred });
  const lapsing = await acceptMail(backend, clock);
  const good = await acceptMail(backend, clock, { fields: deferred });
  const [group] = await backend.queue.take(takeRequest());
  const lease = group?.leases[0];
  assert.ok(lease);
  for (const { rows } of [later, lapsing]) await store.misshape("rows", rows[0]?.id ?? "");
  const delivered = { settled: { state: "delivered" }, attempt: attempt() } as const;
  assert.deepEqual(await backend.queue.settle([{ lease, ...delivered }]), [false]);
  assert.equal(await backend.recover(new Set([anna])), 0);
  await clock.advance(MINUTE);
  assert.deepEqual(await takenIds(backend), [good.rows[0]?.id]);
  await backend.queue.sweep();
  assert.equal(store.kept().length, 2);
  for (const table of ["waiting", "ready"]) assert.deepEqual(store.keysOf(table), [], table);
  assert.equal(store.keysOf("leases").length, 1, "of the good one");
});

test("lists, looks at a message and operations leave out what cannot be read", async () => {
  const clock = fakeClock();
  await using store = await damageable(clock);
  const { backend } = store;
  const mail = await acceptMail(backend, clock, { rows: 3 });
  const [bad, ...good] = mail.rows.map(({ id }) => id);
  assert.ok(bad);
  await store.scramble("rows", bad);
  const { rows } = await backend.queue.list(QUERY);
  assert.deepEqual(
    rows.map(({ id }) => id),
    good,
  );
  assert.deepEqual(
    (await backend.queue.get(mail.message.id))?.rows.map(({ id }) => id),
    good,
  );
  assert.deepEqual(await backend.queue.operate("hold", [bad, ...good]), good);
  assert.deepEqual(await backend.queue.counts(), [
    { zone: zoneA, queued: 0, leased: 0, deferred: 0, held: 2 },
  ]);
});

test("events that cannot be read, themselves or their rows, are passed over by their reader", async () => {
  const clock = fakeClock();
  await using store = await damageable(clock);
  const { backend } = store;
  const bounced = { settled: { state: "bounced" }, attempt: attempt({ kind: "bounced" }) } as const;
  const mails = [];
  for (let i = 0; i < 3; i++) {
    mails.push(await acceptMail(backend, clock));
    const leases = (await backend.queue.take(takeRequest())).flatMap((taken) => taken.leases);
    await backend.queue.settle(leases.map((lease) => ({ lease, ...bounced })));
  }
  await store.misshape("events", 1);
  await store.scramble("events", 2);
  await store.scramble("rows", mails[1]?.rows[0]?.id ?? "");
  const events = await backend.events.read(0, 3);
  assert.deepEqual(
    events.map(({ type, number }) => [type, number]),
    [
      ["reception", 3],
      ["reception", 5],
      ["bounce", 6],
    ],
    "as many as were asked for, of those that can be read",
  );
  await backend.queue.sweep();
  assert.deepEqual(
    store.kept().map(({ key }) => key),
    [
      ["events", 1],
      ["events", 2],
      ["rows", mails[1]?.rows[0]?.id],
    ],
  );
  await clock.advance(DAY + 1);
  await backend.queue.sweep();
  assert.deepEqual(store.keysOf("events"), []);
  assert.deepEqual(store.keysOf("messages"), [], "its history ends as that of others does");
  assert.equal(store.kept().length, 3, "what was set aside stays");
});

for (const how of ["misshape", "scramble"] as const) {
  test(`a consumer of events whose record cannot be read (${how}) begins anew`, async () => {
    const clock = fakeClock();
    await using store = await damageable(clock);
    const { events, queue } = store.backend;
    await acceptMail(store.backend, clock);
    const claim = await events.claim("dsn", anna, clock.in(MINUTE));
    assert.ok(claim);
    await events.advance(claim, 1);
    await store[how]("event-consumers", "dsn");
    await queue.sweep();
    await events.dropReader(anna);
    assert.equal(await events.advance(claim, 1), false);
    assert.equal((await events.claim("dsn", anna, clock.in(MINUTE)))?.position, 0);
  });
}

test("a store whose records are all unreadable answers as an empty one", async () => {
  const clock = fakeClock();
  await using store = await damageable(clock);
  const { backend } = store;
  const all: string[] = [];
  for (let i = 0; i < 20; i++) {
    const to = address(`rcpt@d${i % 3}.example`);
    all.push((await acceptMail(backend, clock, { fields: { recipient: to } })).rows[0]?.id ?? "");
  }
  for (const id of all) await store.misshape("rows", id);
  assert.deepEqual(await takenIds(backend), []);
  await backend.queue.sweep();
  assert.deepEqual((await backend.queue.list(QUERY)).rows, []);
  assert.deepEqual(await backend.queue.counts(), []);
  assert.equal(store.told.length, 20);
});
