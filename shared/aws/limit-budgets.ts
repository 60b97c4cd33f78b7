/**
 * Rates that all senders share: `l#r#<key>`, `last` is the time of the last permit (`domain/rate-schedule.ts`). A grant replaces it
 * on the condition that it is the one that was seen; who comes too late looks again. Exact as far as the clocks of the senders
 * agree: one that is ahead sees permits come that much early.
 *
 * A schedule that was seen has no permit before its `retryAt`, whoever else asks, so that until then this process refuses without
 * a call. When the table does not answer, the call fails; a grant whose answer is lost counts, and is not used.
 */

import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import { LRUCache } from "lru-cache";
import * as z from "zod";

import type { ScheduleRequest } from "../domain/rate-schedule.ts";
import { scheduleOverAt, takeFromSchedule } from "../domain/rate-schedule.ts";
import type { Rate } from "../domain/throttle.ts";
import type { EpochMs } from "../domain/units.ts";
import { DAY } from "../domain/units.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import { newMark, writtenAt } from "./conditions.ts";
import type { TableDeps } from "./items.ts";
import { expiresAt, getItem, marshal, MAX_TRIES, pauseBefore } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { PARTITION_KEY } from "./keys.ts";
import { limitKey } from "./limit-keys.ts";
import { oneAtATime } from "./one-at-a-time.ts";

const MAX_REMEMBERED = 5_000;
/** A schedule is of no use when its last permit holds no other back; the day is for an operator who looks. */
const KEPT_MS = DAY;

interface Schedule {
  /** Of the write that made it; null: there is none yet. */
  readonly mark: string | null;
  readonly last: number | null;
}

interface Taken {
  readonly permits: readonly EpochMs[];
  readonly retryAt: EpochMs;
}

const NO_SCHEDULE: Schedule = { mark: null, last: null };
const ScheduleSchema = z.object({ mark: z.string(), last: z.number().nullable().catch(null) });

export function budgetsIn(deps: TableDeps): Pick<LimitStore, "takeBudget"> {
  const { clock } = deps;
  const remembered = new LRUCache<string, Schedule>({ max: MAX_REMEMBERED });
  const inTurn = oneAtATime();

  async function read(key: ItemKey): Promise<Schedule> {
    const item = await getItem(deps, key);
    return item ? ScheduleSchema.parse(item) : NO_SCHEDULE;
  }

  async function take(key: ItemKey, request: Omit<ScheduleRequest, "now">): Promise<Taken> {
    let seen = remembered.get(key.PK) ?? (await read(key));
    for (let tried = 1; tried <= MAX_TRIES; tried++) {
      const { permits, retryAt, last } = takeFromSchedule(seen.last, { ...request, now: clock.now() });
      if (last === null || last === seen.last) {
        remembered.set(key.PK, seen);
        return { permits, retryAt };
      }
      const next = { mark: newMark(), last };
      const there = await replace(deps, key, { seen, next, rate: request.rate });
      if (there === null) {
        remembered.set(key.PK, next);
        return { permits, retryAt };
      }
      seen = there;
      if (tried > 1) await pauseBefore(deps, tried);
    }
    remembered.delete(key.PK);
    throw new Error(`too many senders take from the rate ${key.PK} at once`);
  }

  return {
    /** 1 write unit for a grant, none for a refusal; 1 read unit when the schedule is not known here. */
    takeBudget(name, { want, rate, aheadMs = 0, laterMs = 0 }) {
      const key = limitKey("r", name);
      return inTurn(key.PK, () => take(key, { want, rate, aheadMs, laterMs }));
    },
  };
}

/** Null: the schedule is `next` now. Else it is what it says, and nothing was written. */
async function replace(
  deps: TableDeps,
  key: ItemKey,
  { seen, next, rate }: { seen: Schedule; next: { mark: string; last: number }; rate: Rate },
): Promise<Schedule | null> {
  const result = await writtenAt(
    deps,
    key,
    deps.dynamo.send(
      new PutItemCommand({
        TableName: deps.table,
        Item: marshal({ ...key, ...next, ...expiresAt(scheduleOverAt(next.last, rate), KEPT_MS) }),
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        ...(seen.mark === null
          ? { ConditionExpression: `attribute_not_exists(${PARTITION_KEY})` }
          : {
              ConditionExpression: "#mark = :mark",
              ExpressionAttributeNames: { "#mark": "mark" },
              ExpressionAttributeValues: marshal({ ":mark": seen.mark }),
            }),
      }),
    ),
  );
  if (result.kind === "written") return null;
  const there = result.item ? ScheduleSchema.parse(result.item) : NO_SCHEDULE;
  return there.mark === next.mark ? null : there;
}
