/** What only the limits in LMDB have to keep to: exact over processes, and no table that grows for ever. */

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import type { WorkerId } from "#shared/domain/ids.ts";
import { DAY, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EmbeddedDatabase } from "#shared/embedded/database.ts";
import { openDatabase } from "#shared/embedded/database.ts";
import { embeddedLimitStore } from "#shared/embedded/limit-store.ts";
import type { RaceResult } from "../../support/slot-racer.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const RACER = join(import.meta.dirname, "../../support/slot-racer.ts");

async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-limits-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test("two processes that race for slots and permits never have more than the limit", async () => {
  await using folder = await scratch();
  await mkdir(join(folder.path, "held"));
  const limit = 3;
  const racing = ["anna", "ben"].map(async (name) => {
    const racer = fork(RACER, [folder.path, name, String(limit)], { timeout: 30 * SECOND });
    const [message, exit] = await Promise.all([once(racer, "message"), once(racer, "exit")]);
    assert.deepEqual(exit, [0, null]);
    return message[0] as RaceResult;
  });
  const results = await Promise.all(racing);
  assert.deepEqual(
    results.map(({ mostHeld }) => mostHeld).filter((held) => held > limit),
    [],
  );
  assert.ok(Math.max(...results.map(({ mostHeld }) => mostHeld)) > 1, "slots were held at the same time");
  for (const { slots } of results) assert.ok(slots > 0, "each process had its turn");
  const permits = results.reduce((sum, result) => sum + result.permits, 0);
  assert.equal(permits, 1, "of one an hour, over both processes");
});

test("rows of dead holders, spent budgets, past blocks and old days go away while others are written", async () => {
  await using folder = await scratch();
  const clock = fakeClock();
  const database = openDatabase(folder.path);
  try {
    const store = embeddedLimitStore({ database, clock });
    const write = async (round: string): Promise<void> => {
      const day = new Date(clock.now()).toISOString().slice(0, 10);
      const holder = `worker of ${round}` as WorkerId;
      for (let i = 0; i < 50; i++) {
        const site = `${round}${i}.example`;
        await store.acquireSlots(site, { holder, want: 1, limit: 1, until: clock.in(MINUTE) });
        await store.takeBudget(site, { want: 1, rate: { count: 1, perMs: SECOND } });
        await store.block({
          address: "::1",
          site,
          createdAt: clock.now(),
          until: clock.in(SECOND),
          response: "",
        });
        await store.countWarmup({ address: "::1", site, day }, 1);
        await store.countInWindow(site, MINUTE);
        await store.renewSlots(holder, clock.in(MINUTE));
      }
    };
    for (const round of ["first", "second", "third", "fourth"]) {
      await write(round);
      await clock.advance(40 * DAY);
    }
    for (const table of ["slots", "holders", "budgets", "blocked", "warmup", "windows"]) {
      assert.ok(
        rowsIn(database, `limits-${table}`) <= 100,
        `limits-${table} has two rounds of 50 rows at most`,
      );
    }
  } finally {
    await database.close();
  }
});

test("limits that cannot be read count as none, and stop nobody", async () => {
  const clock = fakeClock();
  await using folder = await scratch();
  const database = openDatabase(folder.path);
  try {
    const store = embeddedLimitStore({ database, clock });
    const holder = "worker" as WorkerId;
    const block = { address: "::1", site: "mx", createdAt: clock.now(), until: clock.in(DAY), response: "" };
    const use = async (): Promise<unknown[]> => [
      await store.acquireSlots("mx", { holder, want: 1, limit: 1, until: clock.in(MINUTE) }),
      (await store.takeBudget("mx", { want: 1, rate: { count: 1, perMs: DAY } })).permits.length,
      await store.block(block),
      await store.countWarmup({ address: "::1", site: "mx", day: "2026-01-02" }, 1),
      await store.countInWindow("a:b", DAY),
      await store.renewSlots(holder, clock.in(MINUTE)),
    ];
    const fresh = await use();
    for (const table of ["slots", "holders", "budgets", "blocked", "warmup", "windows"]) {
      const rows = database.table(`limits-${table}`);
      await database.write(() => {
        const keys = [...rows.keys({})]; // all of them, before the first is written
        for (const key of keys) rows.put(key, { garbage: [7] });
      });
    }
    assert.deepEqual(await store.blocked(), []);
    assert.deepEqual(await use(), fresh);
  } finally {
    await database.close();
  }
});

function rowsIn(database: EmbeddedDatabase, table: string): number {
  return [...database.table(table).keys({})].length;
}
