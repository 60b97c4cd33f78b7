/**
 * Connection slots that all senders share: one item for each key, `l#s#<key>`, `s`:
 *
 *   used                    slots out, the sum of what follows
 *   h:<holder>:<tenure>     `<count>:<mark>` of one holder (limit-holders.ts says who lives)
 *
 * L1  A grant is one write on the condition that `used` leaves room, that the holder's own part is as it was seen, and that the
 *     parts of dead holders that it takes over are. So the limit is exact, and senders that take slots of one key at the same
 *     time are not in each other's way until it is reached.
 * L2  The row as it was after the last write is remembered, so that most grants and releases need no read. It may be old: the
 *     condition finds that out, and nobody gets less than he wants before the row was read anew.
 * L3  When the table does not answer, the call fails, and the caller has what it had. A grant whose answer is lost may leave
 *     slots out that nobody uses, until their holder's time is over; never more than the limit.
 */

import { UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { LRUCache } from "lru-cache";

import type { EpochMs } from "../domain/units.ts";
import { DAY } from "../domain/units.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import { newMark, writtenAt } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, getItem, marshal, MAX_TRIES, pauseBefore, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { TTL_ATTRIBUTE } from "./keys.ts";
import { limitKey } from "./limit-keys.ts";
import type { Holder, HolderId } from "./limit-holders.ts";
import { holderId, holdersIn } from "./limit-holders.ts";
import { oneAtATime } from "./one-at-a-time.ts";

/** No connection lives as long; a row that nobody wrote for this time has no slots out. */
const ROW_KEPT_MS = 7 * DAY;
const MAX_REMEMBERED = 5_000;
/** Parts of dead holders that one write takes over: expressions are bounded. */
const MAX_DEAD = 40;
const PART = /^h:([\w-]+):([\w-]+)$/;

/** What one holder has of a key. */
interface Part {
  /** Of the attribute. */
  readonly name: string;
  readonly holder: HolderId;
  readonly tenure: string;
  readonly count: number;
  /** As it is stored. */
  readonly text: string;
}

interface SlotRow {
  readonly used: number;
  readonly parts: readonly Part[];
}

const NO_SLOTS: SlotRow = { used: 0, parts: [] };

type SlotMethods = Pick<LimitStore, "acquireSlots" | "releaseSlots" | "renewSlots" | "dropHolder">;

export function slotsIn(deps: TableDeps): SlotMethods {
  const { clock } = deps;
  const holders = holdersIn(deps);
  const remembered = new LRUCache<string, SlotRow>({ max: MAX_REMEMBERED });
  const inTurn = oneAtATime();

  async function read(key: ItemKey): Promise<SlotRow> {
    const item = await getItem(deps, key);
    return item ? rowOf(item) : NO_SLOTS;
  }

  /** Parts that `asker` may take over: of holders whose time is over, and of tenures that ended. */
  async function deadParts(row: SlotRow, asker: HolderId): Promise<Part[]> {
    const found = await holders.find([...new Set([...row.parts.map(({ holder }) => holder), asker])]);
    const now = clock.now();
    const lives = ({ holder, tenure }: Part): boolean => {
      const there = found.get(holder);
      return there?.tenure === tenure && (holder === asker || there.until > now);
    };
    return row.parts.filter((part) => !lives(part)).slice(0, MAX_DEAD);
  }

  async function grant(key: ItemKey, { row, isFresh }: SeenRow, request: SlotRequest): Promise<Granting> {
    const { id, want, limit, until } = request;
    const dead = await deadParts(row, id);
    const taken = countOf(dead);
    const granted = Math.max(0, Math.min(want, limit - (row.used - taken)));
    if (granted < want && !isFresh) return { kind: "look-again" };
    if (granted === 0) return { kind: "full" };
    const holder = await holders.enter(id, until);
    const mine = row.parts.find((part) => isOf(part, id, holder) && !dead.includes(part)) ?? null;
    const next = newPart(id, holder.tenure, (mine?.count ?? 0) + granted);
    const change: Change = {
      mine,
      next,
      // A dead part of this very tenure is written over, not taken away.
      dead: dead.filter(({ name }) => name !== next.name),
      seen: dead.filter(({ name }) => name === next.name),
      delta: granted - taken,
      room: limit - granted + taken,
      now: clock.now(),
    };
    return { kind: "tried", granted, ...(await write(deps, key, change)) };
  }

  async function acquire(key: ItemKey, request: SlotRequest): Promise<number> {
    let row = remembered.get(key.PK) ?? null;
    let isFresh = false;
    for (let tried = 1; tried <= MAX_TRIES; tried++) {
      isFresh ||= row === null;
      row ??= await read(key);
      const granting = await grant(key, { row, isFresh }, request);
      if (granting.kind === "full") return 0;
      if (granting.kind === "look-again") {
        row = null;
        continue;
      }
      if (granting.row) remembered.set(key.PK, granting.row);
      else remembered.delete(key.PK);
      if (granting.isDone) return granting.granted;
      row = granting.row;
      isFresh = row !== null;
      if (tried > 1) await pauseBefore(deps, tried);
    }
    throw new Error(`too many senders change the slots of ${key.PK} at once`);
  }

  async function release(key: ItemKey, id: HolderId, count: number): Promise<void> {
    let row = remembered.get(key.PK) ?? null;
    for (let tried = 1; tried <= MAX_TRIES; tried++) {
      const isFresh = row === null;
      row ??= await read(key);
      const mine = partOf(row, id, holders.lastSeen(id));
      if (!mine) {
        if (isFresh) return;
        row = null;
        continue;
      }
      const left = Math.max(0, mine.count - count);
      const next = left === 0 ? null : newPart(id, mine.tenure, left);
      const delta = left - mine.count;
      const result = await write(deps, key, {
        mine,
        next,
        dead: [],
        seen: [],
        delta,
        room: null,
        now: clock.now(),
      });
      if (result.row) remembered.set(key.PK, result.row);
      else remembered.delete(key.PK);
      if (result.isDone) return;
      row = result.row;
      if (tried > 1) await pauseBefore(deps, tried);
    }
    throw new Error(`too many senders change the slots of ${key.PK} at once`);
  }

  return {
    /** 1 write unit for each KiB of the row (about 25 holders), and 1 for the holder; 1 read unit when the row has to be read. */
    acquireSlots(name, { holder, want, limit, until }) {
      const key = limitKey("s", name);
      return inTurn(key.PK, () => acquire(key, { id: holderId(holder), want, limit, until }));
    },

    /** 1 write unit for each KiB of the row. */
    releaseSlots(name, { holder, count }) {
      const key = limitKey("s", name);
      return inTurn(key.PK, () => release(key, holderId(holder), count));
    },

    renewSlots: (holder, until) => holders.renew(holderId(holder), until),
    dropHolder: (holder) => holders.drop(holderId(holder)),
  };
}

interface SlotRequest {
  readonly id: HolderId;
  readonly want: number;
  readonly limit: number;
  readonly until: EpochMs;
}

/** What is remembered may be old: others have given back since. */
interface SeenRow {
  readonly row: SlotRow;
  readonly isFresh: boolean;
}

type Granting =
  | { readonly kind: "full" }
  | { readonly kind: "look-again" }
  | ({ readonly kind: "tried"; readonly granted: number } & WriteResult);

interface Change {
  /** The holder's part as it was seen; null: it had none. */
  readonly mine: Part | null;
  /** Its part from now on; null: none. */
  readonly next: Part | null;
  readonly dead: readonly Part[];
  readonly seen: readonly Part[];
  readonly delta: number;
  /** The most that may be used before; null: it does not matter. */
  readonly room: number | null;
  readonly now: EpochMs;
}

interface WriteResult {
  /** False: the row was not as it was seen. */
  readonly isDone: boolean;
  /** As it is now; null: not known. */
  readonly row: SlotRow | null;
}

async function write(deps: TableDeps, key: ItemKey, change: Change): Promise<WriteResult> {
  const { dynamo, table } = deps;
  let after: SlotRow | null = null;
  const result = await writtenAt(
    deps,
    key,
    dynamo
      .send(
        new UpdateItemCommand({
          TableName: table,
          Key: marshal({ ...key }),
          ...expressionsOf(change),
          ReturnValues: "ALL_NEW",
          ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        }),
      )
      .then(({ Attributes }) => {
        after = Attributes ? rowOf(unmarshal(Attributes)) : null;
      }),
  );
  if (result.kind === "written") return { isDone: true, row: after };
  const row = result.item && rowOf(result.item);
  return { isDone: row !== null && isThere(change, row), row };
}

/** The write was done before and its answer was lost: our mark lies there, or what we took away is gone. */
function isThere({ mine, next }: Change, row: SlotRow): boolean {
  const name = (next ?? mine)?.name;
  return row.parts.find((part) => part.name === name)?.text === next?.text;
}

function expressionsOf(change: Change) {
  const { mine, next, dead, seen, delta, room, now } = change;
  const names: Record<string, string> = { "#used": "used", "#ttl": TTL_ATTRIBUTE };
  const values: Record<string, Value> = {
    ":zero": 0,
    ":delta": delta,
    ":ttl": expiresAt(now, ROW_KEPT_MS)[TTL_ATTRIBUTE] ?? null,
  };
  const sets = ["#used = if_not_exists(#used, :zero) + :delta", "#ttl = :ttl"];
  const removes: string[] = [];
  const conditions: string[] = [];
  const own = (next ?? mine) as Part;
  names["#own"] = own.name;
  const before = mine ?? seen[0] ?? null;
  if (before) values[":before"] = before.text;
  conditions.push(before ? "#own = :before" : "attribute_not_exists(#own)");
  if (next) {
    sets.push("#own = :next");
    values[":next"] = next.text;
  } else removes.push("#own");
  for (const [i, part] of dead.entries()) {
    names[`#dead${i}`] = part.name;
    values[`:dead${i}`] = part.text;
    removes.push(`#dead${i}`);
    conditions.push(`#dead${i} = :dead${i}`);
  }
  if (room !== null) {
    values[":room"] = room;
    conditions.push("(attribute_not_exists(#used) OR #used <= :room)");
  }
  return {
    UpdateExpression: [
      `SET ${sets.join(", ")}`,
      ...(removes.length > 0 ? [`REMOVE ${removes.join(", ")}`] : []),
    ].join(" "),
    ConditionExpression: conditions.join(" AND "),
    ExpressionAttributeNames: names,
    ExpressionAttributeValues: marshal(values),
  };
}

function rowOf(item: Readonly<Record<string, Value>>): SlotRow {
  const parts: Part[] = [];
  for (const [name, value] of Object.entries(item)) {
    const [, holder, tenure] = PART.exec(name) ?? [];
    if (holder === undefined || tenure === undefined || typeof value !== "string") continue;
    parts.push({ name, holder, tenure, count: Number.parseInt(value, 10), text: value });
  }
  return { used: Number(item["used"] ?? 0), parts };
}

function newPart(holder: HolderId, tenure: string, count: number): Part {
  return { name: `h:${holder}:${tenure}`, holder, tenure, count, text: `${count}:${newMark()}` };
}

/** The part of the living tenure when that is known, else any: an ended tenure has nothing to release. */
function partOf(row: SlotRow, id: HolderId, seen: Holder | null): Part | null {
  const mine = row.parts.filter(({ holder }) => holder === id);
  return mine.find(({ tenure }) => tenure === seen?.tenure) ?? mine[0] ?? null;
}

function isOf(part: Part, id: HolderId, { tenure }: Holder): boolean {
  return part.holder === id && part.tenure === tenure;
}

function countOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { count }) => sum + count, 0);
}
