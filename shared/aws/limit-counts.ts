/**
 * Counts that all senders share, in DynamoDB:
 *
 *   l#w#<day>#<digest of address and site>, s       warm-up of an egress address on a day
 *   l#c#<digest of key, length, end>, s             what is counted under a key in a window
 *
 * What is past goes by the TTL. A count whose answer was lost is not added again, unless another sender counted in between: then there
 * is one too many, and never one too few.
 */

import { UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import { windowEndAfter } from "../domain/count-window.ts";
import { DAY, HOUR } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import { newMark, writtenAt } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, getItem, marshal, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { TTL_ATTRIBUTE } from "./keys.ts";
import { digestOf, limitKey } from "./limit-keys.ts";

/** Only today's counts matter; the days before are for an operator who looks. */
const WARMUP_KEPT_MS = 30 * DAY;
/** For clocks that are late. */
const WINDOW_KEPT_MS = HOUR;

const CountSchema = z.object({ sent: z.number(), mark: z.string() });

export function countsIn(deps: TableDeps): Pick<LimitStore, "countWarmup" | "countInWindow"> {
  return {
    /** 1 write unit; to ask for the count alone (0 to add) 1 read unit. */
    async countWarmup({ address, site, day }, count) {
      const key = limitKey("w", `${day}#${digestOf([address, site])}`);
      if (count === 0) {
        const item = await getItem(deps, key);
        return item ? CountSchema.parse(item).sent : 0;
      }
      return add(deps, key, { count, expiry: expiresAt(Date.parse(day) as EpochMs, WARMUP_KEPT_MS) });
    },

    /** 1 write unit. */
    async countInWindow(name, windowMs) {
      const end = windowEndAfter(deps.clock.now(), windowMs);
      const key = limitKey("c", digestOf([name, String(windowMs), String(end)]));
      return add(deps, key, { count: 1, expiry: expiresAt(end, WINDOW_KEPT_MS) });
    },
  };
}

/** The new count. */
async function add(
  deps: TableDeps,
  key: ItemKey,
  { count, expiry }: { count: number; expiry: Readonly<Record<string, Value>> },
): Promise<number> {
  const mark = newMark();
  let item: Record<string, Value> | null = null;
  const adding = deps.dynamo.send(
    new UpdateItemCommand({
      TableName: deps.table,
      Key: marshal({ ...key }),
      UpdateExpression: "ADD #sent :count SET #mark = :mark, #ttl = :ttl",
      ConditionExpression: "attribute_not_exists(#mark) OR #mark <> :mark",
      ExpressionAttributeNames: { "#sent": "sent", "#mark": "mark", "#ttl": TTL_ATTRIBUTE },
      ExpressionAttributeValues: marshal({
        ":count": count,
        ":mark": mark,
        ":ttl": expiry[TTL_ATTRIBUTE] ?? null,
      }),
      ReturnValues: "ALL_NEW",
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    }),
  );
  const result = await writtenAt(
    deps,
    key,
    adding.then(({ Attributes }) => {
      item = unmarshal(Attributes ?? {});
    }),
  );
  return CountSchema.parse(result.kind === "written" ? item : result.item).sent;
}
