/**
 * Suppressed addresses and domains in DynamoDB, two items each, written and removed in one transaction:
 *
 *   s#a#<address> or s#d#<domain>, s   what `find` looks up: the whole entry
 *   s#list, <entry id>                 the same entry, in the order of adding; ids are ULIDs, so that they sort by time
 *
 * The list is one partition, which takes about 500 additions a second; an import that is faster is throttled and goes on.
 *
 * Lookups of mails that come at the same time share a call, and a recipient that was found free is taken to be so
 * for `FREE_FOR_MS`: an entry made by another process takes effect within that time. Entries of this process do at once.
 */

import { randomBytes } from "node:crypto";

import { QueryCommand } from "@aws-sdk/client-dynamodb";
import { LRUCache } from "lru-cache";
import * as z from "zod";

import type { Address, Domain } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import { messageIds, parseMessageId } from "../domain/ids.ts";
import type { SuppressionEntry } from "../domain/suppression.ts";
import { suppressionKeys } from "../domain/suppression.ts";
import type { EpochMs } from "../domain/units.ts";
import { SECOND } from "../domain/units.ts";
import type { SuppressionStore } from "../ports/suppression-store.ts";
import { transact } from "./conditions.ts";
import { gatherer } from "./gather.ts";
import type { TableDeps, Value } from "./items.ts";
import { getItem, getItems, marshal, MAX_BATCH_KEYS, MAX_TRIES, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS, PARTITION_KEY } from "./keys.ts";

const LIST = `${KINDS.suppression}list`;
const FREE_FOR_MS = 5 * SECOND;
/** Calls of full batches at once. */
const MAX_LOOKUPS = 8;
/** Partition keys remembered as free. */
const MAX_FREE = 20_000;

const EntrySchema = z.object({
  id: z.string(),
  address: z.string().nullable(),
  domain: z.string().nullable(),
  createdAt: z.number(),
  reason: z.string().nullable(),
});

export function dynamoSuppressionStore(deps: TableDeps): SuppressionStore {
  const { dynamo, table, clock } = deps;
  const newId = messageIds(() => clock.now(), randomBytes);
  /** Partition key to when it was seen to have no entry. */
  const free = new LRUCache<string, EpochMs>({ max: MAX_FREE });
  const lookUp = gatherer<string, SuppressionEntry | null>({
    maxItems: MAX_BATCH_KEYS,
    maxCalls: MAX_LOOKUPS,
    call: (keys) => entriesOf(deps, keys),
  });

  /** Entries added by this process, to tell a lookup that it may have been overtaken. */
  let added = 0;

  const isFree = (key: string): boolean => {
    const seen = free.get(key);
    return seen !== undefined && seen <= clock.now() && clock.now() - seen < FREE_FOR_MS;
  };

  /** The entry of each key that has one. */
  async function entriesOfKeys(keys: readonly string[]): Promise<ReadonlyMap<string, SuppressionEntry>> {
    const [now, addedBefore] = [clock.now(), added];
    const unknown = keys.filter((key) => !isFree(key));
    const entries = new Map<string, SuppressionEntry>();
    await Promise.all(
      unknown.map(async (key) => {
        const entry = await lookUp(key);
        if (entry) entries.set(key, entry);
        else if (added === addedBefore) free.set(key, now);
      }),
    );
    return entries;
  }

  return {
    /** 4 write units. */
    async add(request) {
      const entry: SuppressionEntry = {
        id: newId(),
        address: "address" in request ? request.address : null,
        domain: "domain" in request ? request.domain : null,
        createdAt: clock.now(),
        reason: request.reason,
      };
      for (let tried = 0; tried < MAX_TRIES; tried++) {
        const there = await putOrFind(deps, entry);
        if (!there) continue; // removed in between
        added++;
        free.delete(keyOf(entry));
        return there;
      }
      throw new Error("a suppression comes and goes too fast to be added");
    },

    /** 1 read unit, 4 write units. */
    async remove(id) {
      if (parseMessageId(id) !== id) return false;
      const listed = await getItem(deps, { PK: LIST, SK: id });
      if (!listed) return false;
      await transact(deps, [
        {
          Delete: {
            TableName: table,
            Key: marshal({ PK: LIST, SK: id }),
            ConditionExpression: "attribute_exists(PK)",
          },
        },
        { Delete: { TableName: table, Key: marshal({ ...itemKey(keyOf(entryOf(listed))) }) } },
      ]);
      return true; // refused: it went in between, by a rival or by this very write, whose answer was lost
    },

    /** Half a read unit for each address and each domain, unless it was looked up just before. */
    async find(recipients) {
      const wanted = recipients.map((recipient) => {
        const { address, domain } = suppressionKeys(recipient);
        return [addressKey(address), domainKey(domain)] as const;
      });
      const entries = await entriesOfKeys([...new Set(wanted.flat())]);
      return wanted.map(([address, domain]) => entries.get(address) ?? entries.get(domain) ?? null);
    },

    /** 1 read unit for each 4 KiB of entries. */
    async list({ limit, cursor }) {
      const { Items = [], LastEvaluatedKey } = await dynamo.send(
        new QueryCommand({
          TableName: table,
          ConsistentRead: true,
          KeyConditionExpression: "PK = :list AND SK > :after",
          ExpressionAttributeValues: marshal({ ":list": LIST, ":after": afterCursor(cursor) }),
          Limit: limit + 1, // one more tells whether there is a next page
        }),
      );
      const found = Items.map((item) => entryOf(unmarshal(item)));
      const entries = found.slice(0, limit);
      const isMore = found.length > limit || LastEvaluatedKey !== undefined; // a page ends at 1 MiB too
      return { entries, cursor: isMore ? (entries.at(-1)?.id ?? null) : null };
    },
  };
}

/** The entry, or the one that was there before. Null: one was there and is gone. */
async function putOrFind(deps: TableDeps, entry: SuppressionEntry): Promise<SuppressionEntry | null> {
  const key = itemKey(keyOf(entry));
  const result = await transact(deps, [
    {
      Put: {
        TableName: deps.table,
        Item: marshal({ ...key, ...entry }),
        ConditionExpression: "attribute_not_exists(PK)",
      },
    },
    { Put: { TableName: deps.table, Item: marshal({ PK: LIST, SK: entry.id, ...entry }) } },
  ]);
  if (result === "written") return entry;
  const there = await getItem(deps, key);
  return there && entryOf(there);
}

/** The entry of each key, in order. Not consistent: an entry made milliseconds ago may be missed, at half the cost. */
async function entriesOf(deps: TableDeps, keys: readonly string[]): Promise<(SuppressionEntry | null)[]> {
  const different = [...new Set(keys)].map(itemKey);
  const items = await getItems(deps, different, { consistent: false });
  const entries = new Map(items.map((item) => [item[PARTITION_KEY], entryOf(item)]));
  return keys.map((key) => entries.get(key) ?? null);
}

function entryOf(item: Readonly<Record<string, Value>>): SuppressionEntry {
  const { id, address, domain, createdAt, reason } = EntrySchema.parse(item);
  return {
    id,
    address: address as Address | null,
    domain: domain as Domain | null,
    createdAt: createdAt as EpochMs,
    reason,
  };
}

function keyOf({ address, domain }: SuppressionEntry): string {
  return address === null ? domainKey(domain as Domain) : addressKey(suppressionKeys(address).address);
}

const addressKey = (address: string): string => `${KINDS.suppression}a#${address}`;
const domainKey = (domain: Domain): string => `${KINDS.suppression}d#${domain}`;
const itemKey = (PK: string): ItemKey => ({ PK, SK: "s" });

function afterCursor(cursor: string | null): string {
  if (cursor === null) return " "; // sorts before every id: a sort key cannot be empty
  if (parseMessageId(cursor) === cursor) return cursor;
  throw new DomainError(
    "invalid-request",
    "cursor is not one of this list: leave it out to start over",
    "cursor",
  );
}
