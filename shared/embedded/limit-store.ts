/**
 * Budgets that the processes of this machine share, in LMDB. Exact, because each is read and written under the one write lock.
 *
 * 1. A slot counts as long as its holder is alive. `holders` says until when that is, once for all slots of a holder, so that a
 *    renewal is one small write however many slots there are.
 * 2. Slots of a holder whose time is over stay in the row of their key until somebody else asks there. A holder that was only
 *    late (a stopped process, a suspended machine) thus gets back by renewing exactly those slots that nobody took.
 * 3. A holder that was dropped and comes again has a new tenure: its old slots stay gone.
 * 4. What lapsed is forgotten a few rows a write (`sweepSome`), so that no table grows with the domains ever written to.
 */

import { createHash } from "node:crypto";

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import { windowEndAfter } from "../domain/count-window.ts";
import { scheduleOverAt, takeFromSchedule } from "../domain/rate-schedule.ts";
import { DAY } from "../domain/units.ts";
import type { BlockedEgress, LimitStore, SlowedSite } from "../ports/limit-store.ts";
import type { EmbeddedDatabase, Table, TableKey } from "./database.ts";

const LAST_TENURE = "limits.last-tenure";
/** The first tenure is 1. */
const NO_TENURE = 0;
/** Rows looked at for having lapsed, each time one is written: two, so that a table shrinks faster than it grows. */
const SWEPT_A_WRITE = 2;
/** How long a holder whose time is over may still come back for its slots. */
const HOLDER_KEPT_MS = DAY;
/** Only today's counts matter; the days before are for an operator who looks. */
const WARMUP_KEPT_MS = 30 * DAY;
/** LMDB takes keys of 1,978 bytes in all; what is longer goes by its hash. */
const MAX_KEY_PART_BYTES = 400;

// A record that cannot be read counts as none: a limit may be passed for once, and no site stands still.
const HolderSchema = z
  .object({ tenure: z.number(), until: z.number() })
  .catch({ tenure: NO_TENURE, until: 0 });
const SlotsSchema = z
  .array(z.object({ holder: z.string(), tenure: z.number(), count: z.number() }))
  .catch([]);
const BudgetSchema = z
  .object({
    /** When the last permit holds no other back. */
    until: z.number(),
    last: z.number().nullable(),
  })
  .catch({ until: 0, last: null });
const BlockedSchema = z
  .object({
    address: z.string(),
    site: z.string(),
    until: z.number(),
    createdAt: z.number(),
    response: z.string(),
  })
  .catch({ address: "", site: "", until: 0, createdAt: 0, response: "" });
const CountSchema = z.number().catch(0);

const SlowedSchema = z.object({
  zone: z.string(),
  site: z.string(),
  step: z.number(),
  raisedAt: z.number(),
  complainedAt: z.number(),
  until: z.number(),
  response: z.string(),
});

type Slots = z.infer<typeof SlotsSchema>;

export function embeddedLimitStore(deps: { database: EmbeddedDatabase; clock: Clock }): LimitStore {
  return {
    ...slotsIn(deps),
    ...budgetsIn(deps),
    ...blockedIn(deps),
    ...slowedIn(deps),
    ...warmupIn(deps),
    ...windowsIn(deps),
  };
}

type SlotMethods = Pick<LimitStore, "acquireSlots" | "releaseSlots" | "renewSlots" | "dropHolder">;

function slotsIn({ database, clock }: { database: EmbeddedDatabase; clock: Clock }): SlotMethods {
  const slotRows = database.table("limits-slots");
  const holderRows = database.table("limits-holders");
  const sweepSlots = sweepSome(slotRows, (row) => !SlotsSchema.parse(row).some(isHeld));
  const sweepHolders = sweepSome(
    holderRows,
    (row) => HolderSchema.parse(row).until + HOLDER_KEPT_MS <= clock.now(),
  );

  const slotsOf = (key: TableKey): Slots => SlotsSchema.parse(slotRows.get(key) ?? []);
  const holderOf = (holder: string) => HolderSchema.nullable().parse(holderRows.get(holder) ?? null);

  /** True: the holder's tenure goes on, though its time may be over. */
  function isHeld({ holder, tenure }: Slots[number]): boolean {
    return holderOf(holder)?.tenure === tenure;
  }

  /** Slots that `asker` has to leave alone, and its own, which nobody took. */
  function countedFor(asker: string, slots: Slots): Slots {
    const now = clock.now();
    return slots
      .filter(isHeld)
      .filter(({ holder }) => holder === asker || (holderOf(holder)?.until ?? 0) > now);
  }

  function putSlots(key: TableKey, slots: Slots): void {
    const taken = slots.filter(({ count }) => count > 0);
    if (taken.length > 0) slotRows.put(key, taken);
    else if (slotRows.has(key)) slotRows.remove(key);
  }

  return {
    async acquireSlots(name, { holder, want, limit, until }) {
      const key = keyPart(name);
      const counted = (): Slots => countedFor(holder, slotsOf(key));
      const grantable = (slots: Slots): number => Math.max(0, Math.min(want, limit - countOf(slots)));
      if (grantable(counted()) === 0) return 0; // what is refused needs no write lock
      return database.write((transaction) => {
        const there = holderOf(holder);
        const slots = counted();
        const granted = grantable(slots);
        if (granted === 0) return 0;
        const tenure = there?.tenure || transaction.count(LAST_TENURE, 1);
        const mine = slots.find((of) => of.holder === holder);
        const others = slots.filter((of) => of.holder !== holder);
        holderRows.put(holder, { tenure, until: Math.max(there?.until ?? 0, until) });
        putSlots(key, [...others, { holder, tenure, count: (mine?.count ?? 0) + granted }]);
        sweepSlots();
        return granted;
      });
    },

    async releaseSlots(name, { holder, count }) {
      const key = keyPart(name);
      await database.write(() => {
        const slots = slotsOf(key);
        if (!slots.some((of) => of.holder === holder)) return;
        putSlots(
          key,
          slots.map((of) => (of.holder === holder ? { ...of, count: of.count - count } : of)),
        );
      });
    },

    async renewSlots(holder, until) {
      return database.write(() => {
        const there = holderOf(holder);
        if (there) holderRows.put(holder, { ...there, until: Math.max(there.until, until) });
        sweepHolders();
        return there !== null && there.until > clock.now();
      });
    },

    async dropHolder(holder) {
      await database.write(() => {
        if (holderRows.has(holder)) holderRows.remove(holder);
      });
    },
  };
}

function countOf(slots: Slots): number {
  return slots.reduce((sum, { count }) => sum + count, 0);
}

function budgetsIn({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): Pick<LimitStore, "takeBudget"> {
  const rows = database.table("limits-budgets");
  const sweep = sweepSome(rows, (row) => BudgetSchema.parse(row).until <= clock.now());

  return {
    async takeBudget(name, { want, rate, aheadMs = 0, laterMs = 0 }) {
      const key = keyPart(name);
      const take = () => {
        const row = rows.get(key);
        const last = row === undefined ? null : BudgetSchema.parse(row).last;
        return {
          before: last,
          ...takeFromSchedule(last, { want, rate, aheadMs, laterMs, now: clock.now() }),
        };
      };
      const seen = take();
      if (seen.last === seen.before) return { permits: seen.permits, retryAt: seen.retryAt }; // a refusal needs no write lock
      return database.write(() => {
        const { permits, retryAt, last } = take();
        if (last !== null) rows.put(key, { until: scheduleOverAt(last, rate), last });
        sweep();
        return { permits, retryAt };
      });
    },
  };
}

type BlockedMethods = Pick<LimitStore, "block" | "unblock" | "blocked">;

function blockedIn({ database, clock }: { database: EmbeddedDatabase; clock: Clock }): BlockedMethods {
  const rows = database.table("limits-blocked");
  const sweep = sweepSome(rows, (row) => BlockedSchema.parse(row).until <= clock.now());
  return {
    async block({ address, site, until, createdAt, response }) {
      await database.write(() => {
        sweep();
        rows.put([keyPart(address), keyPart(site)], { address, site, until, createdAt, response });
      });
    },

    async unblock(address, site) {
      const key = [keyPart(address), keyPart(site)];
      return database.write(() => {
        const row = rows.get(key);
        if (row === undefined) return false;
        rows.remove(key);
        return BlockedSchema.parse(row).until > clock.now();
      });
    },

    async blocked() {
      const now = clock.now();
      return [...rows.entries({})]
        .map(({ value }) => BlockedSchema.parse(value) as BlockedEgress)
        .filter((entry) => entry.until > now);
    },
  };
}

function slowedIn({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): Pick<LimitStore, "slow" | "slowed"> {
  const rows = database.table("limits-slowed");
  const sweep = sweepSome(rows, (row) => SlowedSchema.parse(row).until <= clock.now());
  return {
    async slow({ zone, site, step, raisedAt, complainedAt, until, response }) {
      await database.write(() => {
        sweep();
        rows.put([zone, keyPart(site)], { zone, site, step, raisedAt, complainedAt, until, response });
      });
    },

    async slowed() {
      const now = clock.now();
      return [...rows.entries({})]
        .map(({ value }) => SlowedSchema.parse(value) as SlowedSite)
        .filter((entry) => entry.until > now);
    },
  };
}

function warmupIn({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): Pick<LimitStore, "countWarmup"> {
  const rows = database.table("limits-warmup");

  return {
    async countWarmup({ address, site, day }, count) {
      const key = [day, keyPart(address), keyPart(site)];
      return database.write(() => {
        const firstKept = new Date(clock.now() - WARMUP_KEPT_MS).toISOString().slice(0, "2026-11-20".length);
        return countIn(rows, { key, count, firstKept }); // days sort by their text
      });
    },
  };
}

function windowsIn({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): Pick<LimitStore, "countInWindow"> {
  const rows = database.table("limits-windows");

  return {
    async countInWindow(name, windowMs) {
      return database.write(() => {
        const now = clock.now();
        const key = [windowEndAfter(now, windowMs), windowMs, keyPart(name)];
        return countIn(rows, { key, count: 1, firstKept: now + 1 });
      });
    },
  };
}

/** Add to the count at `key`, and forget a few of those whose keys begin with less than `firstKept`. To be called in a work. */
function countIn(
  rows: Table<unknown>,
  { key, count, firstKept }: { key: TableKey; count: number; firstKept: string | number },
): number {
  const total = CountSchema.parse(rows.get(key) ?? 0) + count;
  rows.put(key, total);
  const old = [...rows.keys({ end: [firstKept], limit: SWEPT_A_WRITE })]; // read out before it is changed
  for (const one of old) rows.remove(one);
  return total;
}

/** A function that looks at the next few rows of a table, round and round, and removes those that lapsed; to be called in a work. */
function sweepSome(rows: Table<unknown>, hasLapsed: (row: unknown) => boolean): () => void {
  let lastKey: TableKey | null = null;
  return () => {
    const from = lastKey === null ? {} : { start: lastKey, exclusiveStart: true };
    const next = [...rows.entries({ ...from, limit: SWEPT_A_WRITE })];
    lastKey = next.at(-1)?.key ?? null;
    for (const { key, value } of next) if (hasLapsed(value)) rows.remove(key);
  };
}

/** Text of any length and kind as part of a key. */
function keyPart(text: string): string {
  if (Buffer.byteLength(text) <= MAX_KEY_PART_BYTES && !text.includes("\0") && text.isWellFormed())
    return text;
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
