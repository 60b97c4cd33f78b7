/**
 * Budgets that all senders share, in DynamoDB: slots (limit-slots.ts), rates (limit-budgets.ts), counts (limit-counts.ts), and here
 * what is blocked or slowed:
 *
 *   l#b, <digest of address and site>               a blocked pair; one partition, for every sender reads all of them
 *   l#p, <digest of zone and site>                  a slowed site; one partition, as above
 *
 * What has lapsed goes by the TTL, and until then is not seen.
 */

import { DeleteItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import { DAY } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { BlockedEgress, LimitStore, SlowedSite } from "../ports/limit-store.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, getItem, itemsOf, marshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS } from "./keys.ts";
import { budgetsIn } from "./limit-budgets.ts";
import { countsIn } from "./limit-counts.ts";
import { digestOf } from "./limit-keys.ts";
import { slotsIn } from "./limit-slots.ts";

const BLOCKED = `${KINDS.limit}b`;
const SLOWED = `${KINDS.limit}p`;
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

export function dynamoLimitStore(deps: TableDeps): LimitStore {
  return { ...slotsIn(deps), ...budgetsIn(deps), ...blockedIn(deps), ...slowedIn(deps), ...countsIn(deps) };
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
