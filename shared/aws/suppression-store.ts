/**
 * Suppressed addresses and domains in DynamoDB, two items each, written and removed in one transaction:
 *
 *   s#a#<address> or s#d#<domain>, s[#<scope>]   what `find` looks up: the whole entry
 *   s#list, <entry id>                           the same entry, in the order of adding; ids are ULIDs, so that they sort by time
 *   s#scope#<scope>, s                           entries of this scope were made once: without it, none is looked for
 *
 * The list is one partition, which takes about 500 additions a second; an import that is faster is throttled and goes on.
 *
 * Lookups of mails that come at the same time share a call, and a recipient (or a scope) that was found free is taken to be so
 * for `FREE_FOR_MS`: an entry made by another process takes effect within that time. Entries of this process do at once.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import { QueryCommand } from "@aws-sdk/client-dynamodb";
import type { TransactWriteItemsCommandInput } from "@aws-sdk/client-dynamodb";
import { LRUCache } from "lru-cache";
import * as z from "zod";

import type { Address, Domain } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import { messageIds, parseMessageId } from "../domain/ids.ts";
import type { SuppressionEntry, SuppressionScope } from "../domain/suppression.ts";
import {
  endsLater,
  GLOBAL_SCOPE,
  scopeOf,
  isExpired,
  scopeKey,
  scopesOf,
  suppressionKeys,
} from "../domain/suppression.ts";
import type { EpochMs } from "../domain/units.ts";
import { SECOND } from "../domain/units.ts";
import type { SuppressionRequest, SuppressionStore, SuppressionSubject } from "../ports/suppression-store.ts";
import { MAX_ADDED } from "../ports/suppression-store.ts";
import { transact } from "./conditions.ts";
import { gatherer } from "./gather.ts";
import type { TableDeps, Value } from "./items.ts";
import {
  expiresAt as ttlOf,
  getItem,
  getItems,
  marshal,
  MAX_BATCH_KEYS,
  MAX_TRIES,
  unmarshal,
} from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS } from "./keys.ts";
import { keyOf } from "./row-item.ts";

const LIST = `${KINDS.suppression}list`;
const SORT = "s";
const FREE_FOR_MS = 5 * SECOND;
/** Calls of full batches at once. */
const MAX_LOOKUPS = 8;
/** Keys remembered as free, and scopes remembered as used. */
const MAX_REMEMBERED = 20_000;
/** Additions at once of one `addAll`. */
const ADDED_AT_ONCE = 25;

type TransactItem = NonNullable<TransactWriteItemsCommandInput["TransactItems"]>[number];
type Item = Readonly<Record<string, Value>>;

/** An entry of the first version has neither scope nor end. */
const EntrySchema = z.object({
  id: z.string(),
  address: z.string().nullable(),
  domain: z.string().nullable(),
  sender: z.string().optional(),
  user: z.string().optional(),
  createdAt: z.number(),
  expiresAt: z.number().nullable().default(null),
  reason: z.string().nullable(),
});

export function dynamoSuppressionStore(deps: TableDeps): SuppressionStore {
  const { dynamo, table, clock } = deps;
  const newId = messageIds(() => clock.now(), randomBytes);
  /** Name of a key to when it was seen to have no item. */
  const free = new LRUCache<string, EpochMs>({ max: MAX_REMEMBERED });
  /** Scopes that have had entries. */
  const used = new LRUCache<string, true>({ max: MAX_REMEMBERED });
  const lookUp = gatherer<ItemKey, Item | null>({
    maxItems: MAX_BATCH_KEYS,
    maxCalls: MAX_LOOKUPS,
    call: (keys) => itemsAt(deps, keys),
  });

  /** Entries added by this process, to tell a lookup that it may have been overtaken. */
  let added = 0;

  const isFree = (name: string): boolean => {
    const seen = free.get(name);
    return seen !== undefined && seen <= clock.now() && clock.now() - seen < FREE_FOR_MS;
  };

  /** The item of each key that has one, by the key's name. */
  async function itemsOfKeys(keys: readonly ItemKey[]): Promise<ReadonlyMap<string, Item>> {
    const [now, addedBefore] = [clock.now(), added];
    const different = new Map(keys.map((key) => [nameOf(key), key]));
    const items = new Map<string, Item>();
    await Promise.all(
      [...different]
        .filter(([name]) => !isFree(name))
        .map(async ([name, key]) => {
          const item = await lookUp(key);
          if (item) items.set(name, item);
          else if (added === addedBefore) free.set(name, now);
        }),
    );
    return items;
  }

  /** Those of the scopes that may have entries. */
  async function usedScopes(scopes: readonly SuppressionScope[]): Promise<SuppressionScope[]> {
    const unknown = scopes.filter((scope) => scope.kind !== "global" && !used.has(scopeKey(scope)));
    const found = await itemsOfKeys(unknown.map(markKey));
    for (const scope of unknown) if (found.has(nameOf(markKey(scope)))) used.set(scopeKey(scope), true);
    return scopes.filter((scope) => scope.kind === "global" || used.has(scopeKey(scope)));
  }

  async function addOne(request: SuppressionRequest): Promise<{ entry: SuppressionEntry; added: boolean }> {
    const entry = entryOfRequest(request, { id: newId(), createdAt: clock.now() });
    for (let tried = 0; tried < MAX_TRIES; tried++) {
      const result = await putOrFind(deps, entry);
      if (!result) continue; // it changed in between
      added++;
      free.delete(nameOf(entryKey(entry)));
      free.delete(nameOf(markKey(entry.scope)));
      return { entry: result, added: result.id === entry.id };
    }
    throw new Error("a suppression comes and goes too fast to be added");
  }

  /** Looks first: most of a list that is taken in again is there already, and a write that is refused costs as much as one that is done. */
  async function addSome(
    requests: readonly SuppressionRequest[],
  ): Promise<{ entry: SuppressionEntry; added: boolean }[]> {
    const keys = new Map(requests.map((request) => [nameOf(subjectKey(request)), subjectKey(request)]));
    const items = await getItems(deps, [...keys.values()], { consistent: true });
    const found = new Map(items.map((item) => [nameOf(keyOf(item)), item]));
    return await Promise.all(
      requests.map(async (request) => {
        const there = live(found, subjectKey(request));
        const isLonger = there && endsLater(request.expiresAt ?? null, there.expiresAt);
        return there && !isLonger ? { entry: there, added: false } : await addOne(request);
      }),
    );
  }

  /** The entry with that end, of an address or a domain in a scope; null: none, or its time is over. */
  const live = (items: ReadonlyMap<string, Item>, key: ItemKey): SuppressionEntry | null => {
    const item = items.get(nameOf(key));
    const entry = item && entryOf(item);
    return entry && !isExpired(entry, clock.now()) ? entry : null;
  };

  return {
    /** 4 write units, in a scope 6. */
    async add(request) {
      return (await addOne(request)).entry;
    },

    /** 1 read unit for each, and the write units of `add` for those that are new. */
    async addAll(requests) {
      assert.ok(requests.length <= MAX_ADDED, `at most ${MAX_ADDED} are added at once`);
      const results: { entry: SuppressionEntry; added: boolean }[] = [];
      for (let at = 0; at < requests.length; at += ADDED_AT_ONCE) {
        results.push(...(await addSome(requests.slice(at, at + ADDED_AT_ONCE))));
      }
      return results;
    },

    /** 1 read unit, 4 write units. */
    async remove(id) {
      if (parseMessageId(id) !== id) return false;
      const listed = await getItem(deps, { PK: LIST, SK: id });
      if (!listed) return false;
      const entry = entryOf(listed);
      await transact(deps, [
        {
          Delete: {
            TableName: table,
            Key: marshal({ PK: LIST, SK: id }),
            ConditionExpression: "attribute_exists(PK)",
          },
        },
        { Delete: { TableName: table, Key: marshal({ ...entryKey(entry) }) } },
      ]);
      // refused: it went in between, by a rival or by this very write, whose answer was lost
      return !isExpired(entry, clock.now());
    },

    /** 1 read unit. */
    async get(subject) {
      const item = await getItem(deps, subjectKey(subject));
      const entry = item && entryOf(item);
      return entry && !isExpired(entry, clock.now()) ? entry : null;
    },

    /** Half a read unit for each address and each domain, and each of them in a scope that has entries, unless it was looked up just before. */
    async find(recipients, owner) {
      const wanted = recipients.map(suppressionKeys);
      const keysIn = (scope: SuppressionScope): ItemKey[] =>
        wanted.flatMap(({ address, domain }) => [addressKey(address, scope), domainKey(domain, scope)]);
      const narrow = usedScopes(scopesOf(owner)); // asked for together with the global ones
      const [global, scopes] = await Promise.all([itemsOfKeys(keysIn(GLOBAL_SCOPE)), narrow]);
      const narrower = scopes.filter(({ kind }) => kind !== "global");
      const items = new Map([...global, ...(await itemsOfKeys(narrower.flatMap(keysIn)))]);
      return wanted.map(({ address, domain }) => {
        const keys = [
          ...scopes.map((scope) => addressKey(address, scope)),
          ...scopes.map((scope) => domainKey(domain, scope)),
        ];
        return keys.map((key) => live(items, key)).find((entry) => entry !== null) ?? null;
      });
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
      const page = found.slice(0, limit);
      const isMore = found.length > limit || LastEvaluatedKey !== undefined; // a page ends at 1 MiB too
      const entries = page.filter((entry) => !isExpired(entry, clock.now()));
      return { entries, cursor: isMore ? (page.at(-1)?.id ?? null) : null };
    },
  };
}

/** The entry as it is there now, the one that was there before with the later end. Null: what is there changed in between. */
async function putOrFind(deps: TableDeps, entry: SuppressionEntry): Promise<SuppressionEntry | null> {
  const marks = entry.scope.kind === "global" ? [] : [put(deps, itemOfMark(entry.scope))];
  const fresh = await transact(deps, [
    put(deps, itemOf(entryKey(entry), entry), { when: "attribute_not_exists(PK)" }),
    put(deps, itemOf(listKey(entry), entry)),
    ...marks,
  ]);
  if (fresh === "written") return entry;
  const item = await getItem(deps, entryKey(entry));
  if (!item) return null;
  const there = entryOf(item);
  if (there.id === entry.id) return there;
  if (isExpired(there, deps.clock.now())) return replace(deps, there, entry);
  if (!endsLater(entry.expiresAt, there.expiresAt)) return there;
  return replace(deps, there, { ...there, expiresAt: entry.expiresAt });
}

/** Null: the entry before is not there any more. */
async function replace(
  deps: TableDeps,
  before: SuppressionEntry,
  after: SuppressionEntry,
): Promise<SuppressionEntry | null> {
  const gone = { TableName: deps.table, Key: marshal({ ...listKey(before) }) };
  const result = await transact(deps, [
    put(deps, itemOf(entryKey(after), after), { when: "id = :id", id: before.id }),
    put(deps, itemOf(listKey(after), after)),
    ...(before.id === after.id ? [] : [{ Delete: gone }]),
  ]);
  return result === "written" ? after : null;
}

function put({ table }: TableDeps, item: Item, condition?: { when: string; id?: string }): TransactItem {
  const values =
    condition?.id === undefined ? {} : { ExpressionAttributeValues: marshal({ ":id": condition.id }) };
  return {
    Put: {
      TableName: table,
      Item: marshal(item),
      ...(condition ? { ConditionExpression: condition.when, ...values } : {}),
    },
  };
}

/** The item of each key, in order. Not consistent: an entry made milliseconds ago may be missed, at half the cost. */
async function itemsAt(deps: TableDeps, keys: readonly ItemKey[]): Promise<(Item | null)[]> {
  const different = new Map(keys.map((key) => [nameOf(key), key]));
  const items = await getItems(deps, [...different.values()], { consistent: false });
  const found = new Map(items.map((item) => [nameOf(keyOf(item)), item]));
  return keys.map((key) => found.get(nameOf(key)) ?? null);
}

function entryOfRequest(
  request: SuppressionRequest,
  made: Pick<SuppressionEntry, "id" | "createdAt">,
): SuppressionEntry {
  return {
    ...made,
    address: "address" in request ? request.address : null,
    domain: "domain" in request ? request.domain : null,
    scope: request.scope ?? GLOBAL_SCOPE,
    expiresAt: request.expiresAt ?? null,
    reason: request.reason,
  };
}

function entryOf(item: Item): SuppressionEntry {
  const { id, address, domain, sender, user, createdAt, expiresAt, reason } = EntrySchema.parse(item);
  return {
    id,
    address: address as Address | null,
    domain: domain as Domain | null,
    scope: scopeOf(sender, user),
    createdAt: createdAt as EpochMs,
    expiresAt: expiresAt as EpochMs | null,
    reason,
  };
}

/** DynamoDB forgets an entry some day after its end. */
function itemOf(key: ItemKey, { scope, ...entry }: SuppressionEntry): Item {
  return {
    ...key,
    ...entry,
    ...(scope.kind === "sender" ? { sender: scope.domain } : {}),
    ...(scope.kind === "user" ? { user: scope.user } : {}),
    ...(entry.expiresAt === null ? {} : ttlOf(entry.expiresAt, 0)),
  };
}

function itemOfMark(scope: SuppressionScope): Item {
  return { ...markKey(scope) };
}

function subjectKey(subject: SuppressionSubject): ItemKey {
  const { scope = GLOBAL_SCOPE } = subject;
  return "address" in subject
    ? addressKey(suppressionKeys(subject.address).address, scope)
    : domainKey(subject.domain, scope);
}

function entryKey({ address, domain, scope }: SuppressionEntry): ItemKey {
  return address === null
    ? domainKey(domain as Domain, scope)
    : addressKey(suppressionKeys(address).address, scope);
}

const listKey = ({ id }: SuppressionEntry): ItemKey => ({ PK: LIST, SK: id });
const markKey = (scope: SuppressionScope): ItemKey => ({
  PK: `${KINDS.suppression}scope#${scopeKey(scope)}`,
  SK: SORT,
});
const addressKey = (address: string, scope: SuppressionScope): ItemKey => ({
  PK: `${KINDS.suppression}a#${address}`,
  SK: sortOf(scope),
});
const domainKey = (domain: Domain, scope: SuppressionScope): ItemKey => ({
  PK: `${KINDS.suppression}d#${domain}`,
  SK: sortOf(scope),
});
const sortOf = (scope: SuppressionScope): string =>
  scope.kind === "global" ? SORT : `${SORT}#${scopeKey(scope)}`;
/** No key has a line break. */
const nameOf = ({ PK, SK }: ItemKey): string => `${PK}\n${SK}`;

function afterCursor(cursor: string | null): string {
  if (cursor === null) return " "; // sorts before every id: a sort key cannot be empty
  if (parseMessageId(cursor) === cursor) return cursor;
  throw new DomainError(
    "invalid-request",
    "cursor is not one of this list: leave it out to start over",
    "cursor",
  );
}
