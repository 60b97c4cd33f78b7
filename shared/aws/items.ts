/**
 * Items of the one table as plain values, and the few ways in which all small stores read and write them.
 *
 * Reads are consistent unless said otherwise: what one sender has written the next one sees. What DynamoDB leaves undone of a
 * batch is asked for again here, a bounded number of times; the SDK repeats whole calls only.
 */

import { BatchGetItemCommand, GetItemCommand, QueryCommand } from "@aws-sdk/client-dynamodb";
import type { AttributeValue, DynamoDBClient } from "@aws-sdk/client-dynamodb";

import type { Clock } from "../domain/clock.ts";
import type { EpochMs } from "../domain/units.ts";
import { SECOND } from "../domain/units.ts";
import type { ItemKey } from "./keys.ts";
import { PARTITION_KEY, TTL_ATTRIBUTE } from "./keys.ts";

/** Where the items of a store are, and what its waits are made of. */
export interface TableDeps {
  readonly dynamo: DynamoDBClient;
  readonly table: string;
  readonly clock: Clock;
  /** For the jitter of waits: 0 to 1. */
  readonly random?: () => number;
}

export type Attributes = Record<string, AttributeValue>;
/** What an attribute can hold here. */
export type Value = string | number | boolean | null | readonly Value[] | { readonly [name: string]: Value };

/** DynamoDB takes as many keys in one call. */
export const MAX_BATCH_KEYS = 100;
/** Tries at what lost a race or was left undone. With the waits of `pauseBefore` they last about a second. */
export const MAX_TRIES = 8;
const FIRST_PAUSE_MS = 10;
const MAX_PAUSE_MS = 300;

export function marshal(values: Readonly<Record<string, Value>>): Attributes {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, attributeOf(value)]));
}

function attributeOf(value: Value): AttributeValue {
  if (value === null) return { NULL: true };
  if (typeof value === "string") return { S: value };
  if (typeof value === "number") return { N: String(value) };
  if (typeof value === "boolean") return { BOOL: value };
  if (isList(value)) return { L: value.map(attributeOf) };
  return { M: marshal(value) };
}

function isList(value: readonly Value[] | { readonly [name: string]: Value }): value is readonly Value[] {
  return Array.isArray(value);
}

/** Attributes of kinds that we never write are left out, so that an item a newer version has added to can be read. */
export function unmarshal(item: Attributes): Record<string, Value> {
  // By fromEntries, which makes a property of any name: an assignment to `__proto__` would change the object's prototype.
  return Object.fromEntries(
    Object.entries(item).flatMap(([name, attribute]) => {
      const value = valueOf(attribute);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function valueOf(attribute: AttributeValue): Value | undefined {
  if (attribute.S !== undefined) return attribute.S;
  if (attribute.N !== undefined) return Number(attribute.N);
  if (attribute.BOOL !== undefined) return attribute.BOOL;
  if (attribute.NULL !== undefined) return null;
  if (attribute.L !== undefined) return attribute.L.map(valueOf).filter((value) => value !== undefined);
  if (attribute.M !== undefined) return unmarshal(attribute.M);
  return undefined;
}

/** Null: there is none. 1 read unit for each 4 KiB. */
export async function getItem(
  { dynamo, table }: TableDeps,
  key: ItemKey,
): Promise<Record<string, Value> | null> {
  const { Item } = await dynamo.send(
    new GetItemCommand({ TableName: table, Key: marshal({ ...key }), ConsistentRead: true }),
  );
  return Item ? unmarshal(Item) : null;
}

/**
 * The items of up to `MAX_BATCH_KEYS` different keys, in any order; those that are not there are missing.
 * 1 read unit for each item (or missing key) of up to 4 KiB, half of one when the read need not be consistent.
 */
export async function getItems(
  deps: TableDeps,
  keys: readonly ItemKey[],
  { consistent }: { consistent: boolean },
): Promise<Record<string, Value>[]> {
  const found: Record<string, Value>[] = [];
  let wanted: Attributes[] = keys.map((key) => marshal({ ...key }));
  for (let tried = 0; wanted.length > 0; tried++) {
    if (tried === MAX_TRIES) throw new Error(`DynamoDB left ${wanted.length} keys unread in ${tried} calls`);
    if (tried > 0) await pauseBefore(deps, tried);
    const { Responses, UnprocessedKeys } = await deps.dynamo.send(
      new BatchGetItemCommand({
        RequestItems: { [deps.table]: { Keys: wanted, ConsistentRead: consistent } },
      }),
    );
    found.push(...(Responses?.[deps.table] ?? []).map(unmarshal));
    wanted = UnprocessedKeys?.[deps.table]?.Keys ?? [];
  }
  return found;
}

/** DynamoDB deletes the item some day after `keptMs` past `at`. */
export function expiresAt(at: EpochMs, keptMs: number): Record<string, Value> {
  return { [TTL_ATTRIBUTE]: Math.ceil((at + keptMs) / SECOND) };
}

/** All items of a partition in the order of their sort keys, a page of up to 1 MiB a call. 1 read unit for each 4 KiB of them. */
export async function* itemsOf(
  { dynamo, table }: TableDeps,
  PK: string,
): AsyncGenerator<Record<string, Value>> {
  let start: Attributes | undefined;
  do {
    const page = await dynamo.send(
      new QueryCommand({
        TableName: table,
        ConsistentRead: true,
        KeyConditionExpression: `${PARTITION_KEY} = :pk`,
        ExpressionAttributeValues: { ":pk": { S: PK } },
        ExclusiveStartKey: start,
      }),
    );
    for (const item of page.Items ?? []) yield unmarshal(item);
    start = page.LastEvaluatedKey;
  } while (start);
}

/** Wait before try number `tried` (from 1), longer each time, and not as long as others that lost the same race. */
export async function pauseBefore({ clock, random = Math.random }: TableDeps, tried: number): Promise<void> {
  const longest = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (tried - 1));
  await clock.sleep(longest * (0.5 + random() / 2));
}
