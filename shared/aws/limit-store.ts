/**
 * Budgets that all senders share, in DynamoDB: slots (limit-slots.ts), rates (limit-budgets.ts), and here what is blocked and
 * how much of its warm-up an egress address has had:
 *
 *   l#b, <digest of address and site>               a blocked pair; one partition, for every sender reads all of them
 *   l#p, <digest of zone and site>                  a slowed site; one partition, as above
 *   l#w#<day>#<digest of address and site>, s       count of a day
 *
 * What has lapsed goes by the TTL, and until then is not seen.
 */

import { DeleteItemCommand, PutItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import { DAY } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { BlockedEgress, LimitStore, SlowedSite } from "../ports/limit-store.ts";
import { newMark, writtenAt } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, getItem, itemsOf, marshal, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS, TTL_ATTRIBUTE } from "./keys.ts";
import { budgetsIn } from "./limit-budgets.ts";
import { digestOf, limitKey } from "./limit-keys.ts";
import { slotsIn } from "./limit-slots.ts";

const BLOCKED = `${KINDS.limit}b`;
const SLOWED = `${KINDS.limit}p`;
/** Only today's counts matter; the days before are for an operator who looks. */
const WARMUP_KEPT_MS = 30 * DAY;
const KEPT_MS = DAY;

const BlockedSchema = z.object({
  address: z.string(),
  site: z.string(),
  until: z.number(),
  createdAt: z.number(),
  response: z.string(),
});
const SlowedSchema = z.object({
  zone: z.string(),
  site: z.string(),
  step: z.number(),
  raisedAt: z.number(),
  complainedAt: z.number(),
  until: z.number(),
  response: z.string(),
});
const WarmupSchema = z.object({ sent: z.number(), mark: z.string() });

export function dynamoLimitStore(deps: TableDeps): LimitStore {
  return { ...slotsIn(deps), ...budgetsIn(deps), ...blockedIn(deps), ...slowedIn(deps), ...warmupIn(deps) };
}

function blockedIn(deps: TableDeps): Pick<LimitStore, "block" | "unblock" | "blocked"> {
  const { dynamo, table, clock } = deps;
  const keyOf = (address: string, site: string): ItemKey => ({
    PK: BLOCKED,
    SK: digestOf([address, site]),
  });
  return {
    /** 1 write unit for each KiB of what the peer said. */
    async block({ address, site, until, createdAt, response }) {
      const entry = { address, site, until, createdAt, response };
      const Item = marshal({ ...keyOf(address, site), ...entry, ...expiresAt(until, KEPT_MS) });
      await dynamo.send(new PutItemCommand({ TableName: table, Item }));
    },

    /** 1 read and 1 write unit. Read first, so that a deletion whose answer was lost is not taken for "there was none". */
    async unblock(address, site) {
      const key = keyOf(address, site);
      const item = await getItem(deps, key);
      if (!item) return false;
      await dynamo.send(new DeleteItemCommand({ TableName: table, Key: marshal({ ...key }) }));
      return blockedOf(item).until > clock.now();
    },

    /** 1 read unit for each 4 KiB, that is for about 15 pairs. */
    async blocked() {
      const now = clock.now();
      const entries = (await Array.fromAsync(itemsOf(deps, BLOCKED))).map(blockedOf);
      return entries.filter(({ until }) => until > now);
    },
  };
}

function blockedOf(item: Readonly<Record<string, Value>>): BlockedEgress {
  const { until, createdAt, ...rest } = BlockedSchema.parse(item);
  return { ...rest, until: until as EpochMs, createdAt: createdAt as EpochMs };
}

function slowedIn(deps: TableDeps): Pick<LimitStore, "slow" | "slowed"> {
  const { dynamo, table, clock } = deps;
  return {
    /** 1 write unit for each KiB of what the peer said. */
    async slow({ zone, site, step, raisedAt, complainedAt, until, response }) {
      const key = { PK: SLOWED, SK: digestOf([zone, site]) };
      const entry = { zone, site, step, raisedAt, complainedAt, until, response };
      const Item = marshal({ ...key, ...entry, ...expiresAt(until, KEPT_MS) });
      await dynamo.send(new PutItemCommand({ TableName: table, Item }));
    },

    /** 1 read unit for each 4 KiB. */
    async slowed() {
      const now = clock.now();
      const entries = (await Array.fromAsync(itemsOf(deps, SLOWED))).map(
        (item) => SlowedSchema.parse(item) as SlowedSite,
      );
      return entries.filter(({ until }) => until > now);
    },
  };
}

function warmupIn(deps: TableDeps): Pick<LimitStore, "countWarmup"> {
  const { dynamo, table } = deps;
  return {
    /**
     * 1 write unit; to ask for the count alone (0 to add) 1 read unit. A count whose answer was lost is not added again, unless
     * another sender counted in between: then there is one too many, and never one too few.
     */
    async countWarmup({ address, site, day }, count) {
      const key = limitKey("w", `${day}#${digestOf([address, site])}`);
      if (count === 0) {
        const item = await getItem(deps, key);
        return item ? WarmupSchema.parse(item).sent : 0;
      }
      const mark = newMark();
      let item: Record<string, Value> | null = null;
      const adding = dynamo.send(
        new UpdateItemCommand({
          TableName: table,
          Key: marshal({ ...key }),
          UpdateExpression: "ADD #sent :count SET #mark = :mark, #ttl = :ttl",
          ConditionExpression: "attribute_not_exists(#mark) OR #mark <> :mark",
          ExpressionAttributeNames: { "#sent": "sent", "#mark": "mark", "#ttl": TTL_ATTRIBUTE },
          ExpressionAttributeValues: marshal({
            ":count": count,
            ":mark": mark,
            ":ttl": expiresAt(Date.parse(day) as EpochMs, WARMUP_KEPT_MS)[TTL_ATTRIBUTE] ?? null,
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
      return WarmupSchema.parse(result.kind === "written" ? item : result.item).sent;
    },
  };
}
