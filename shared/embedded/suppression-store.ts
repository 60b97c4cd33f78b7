/**
 * Suppressed addresses and domains in LMDB: entries by number, in the order they were added; an index from what is looked up
 * to that number; and another by the time an entry ends. All are written in one transaction, so an index entry always has its entry.
 */

import assert from "node:assert/strict";

import * as z from "zod";

import type { Address, Domain } from "../domain/address.ts";
import type { Clock } from "../domain/clock.ts";
import { DomainError } from "../domain/errors.ts";
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
import type { SuppressionRequest, SuppressionStore, SuppressionSubject } from "../ports/suppression-store.ts";
import { MAX_ADDED } from "../ports/suppression-store.ts";
import type { EmbeddedDatabase } from "./database.ts";
import type { WriteTransaction } from "./group-commit.ts";

const LAST_NUMBER = "suppressions.last-number";
/** Numbers as they are printed, so that no other text is taken for one. */
const NUMBER = /^[1-9]\d{0,14}$/;
/** Entries past their end that each addition takes away. */
const SWEPT_A_WRITE = 10;

/** An entry of the first version has neither scope nor end. */
const EntrySchema = z.object({
  address: z.string().nullable(),
  domain: z.string().nullable(),
  sender: z.string().optional(),
  user: z.string().optional(),
  createdAt: z.number(),
  expiresAt: z.number().nullable().default(null),
  reason: z.string().nullable(),
});

/** Address or domain, what it is, and the scope unless it is global. */
type IndexKey = string[];

export function embeddedSuppressionStore({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): SuppressionStore {
  const entries = database.table("suppressions");
  const index = database.table("suppressions-index");
  const ends = database.table("suppressions-ends");

  /** Null: none, or its time is over. */
  function entryByKey(key: IndexKey): SuppressionEntry | null {
    const entry = storedByKey(key);
    return entry && !isExpired(entry, clock.now()) ? entry : null;
  }

  function storedByKey(key: IndexKey): SuppressionEntry | null {
    const number = index.get(key);
    if (number === undefined) return null;
    assert.ok(typeof number === "number", "the index of suppressions leads to a number");
    return entryOf(number, entries.get(number));
  }

  function write(entry: SuppressionEntry): void {
    const number = Number(entry.id);
    entries.put(number, shortEntry(entry));
    index.put(indexKeyOf(entry), number);
    if (entry.expiresAt !== null) ends.put([entry.expiresAt, number], 0);
  }

  function forget(entry: SuppressionEntry): void {
    const number = Number(entry.id);
    entries.remove(number);
    index.remove(indexKeyOf(entry));
    if (entry.expiresAt !== null) ends.remove([entry.expiresAt, number]);
  }

  /** Take away some of what is past its end. */
  function sweep(): void {
    const over = [...ends.keys({ end: [clock.now() + 1], limit: SWEPT_A_WRITE })]; // read out before it is changed
    for (const key of over) {
      const number = Array.isArray(key) ? Number(key[1]) : Number.NaN;
      const stored = entries.get(number);
      if (stored === undefined) ends.remove(key);
      else forget(entryOf(number, stored));
    }
  }

  function addOne(
    transaction: WriteTransaction,
    request: SuppressionRequest,
  ): { entry: SuppressionEntry; added: boolean } {
    const { reason, expiresAt = null, scope = GLOBAL_SCOPE } = request;
    const there = storedByKey(indexKeyOf(request));
    if (there && !isExpired(there, clock.now())) {
      if (!endsLater(expiresAt, there.expiresAt)) return { entry: there, added: false };
      const longer = { ...there, expiresAt };
      forget(there);
      write(longer);
      return { entry: longer, added: false };
    }
    if (there) forget(there);
    const entry: SuppressionEntry = {
      id: String(transaction.count(LAST_NUMBER, 1)),
      address: "address" in request ? request.address : null,
      domain: "domain" in request ? request.domain : null,
      scope,
      createdAt: clock.now(),
      expiresAt,
      reason,
    };
    write(entry);
    return { entry, added: true };
  }

  async function addAll(requests: readonly SuppressionRequest[]) {
    assert.ok(requests.length <= MAX_ADDED, `at most ${MAX_ADDED} are added at once`);
    return database.write((transaction) => {
      sweep();
      return requests.map((request) => addOne(transaction, request));
    });
  }

  return {
    addAll,

    async add(request) {
      const [result] = await addAll([request]);
      assert.ok(result, "each addition has a result");
      return result.entry;
    },

    async remove(id) {
      if (!NUMBER.test(id)) return false;
      return database.write(() => {
        const stored = entries.get(Number(id));
        if (stored === undefined) return false;
        const entry = entryOf(Number(id), stored);
        forget(entry);
        return !isExpired(entry, clock.now());
      });
    },

    async get(subject) {
      return entryByKey(indexKeyOf(subject));
    },

    async find(recipients, owner) {
      const scopes = scopesOf(owner);
      return recipients.map((recipient) => {
        const { address, domain } = suppressionKeys(recipient);
        for (const scope of scopes) {
          const entry = entryByKey(indexKey("address", address, scope));
          if (entry) return entry;
        }
        for (const scope of scopes) {
          const entry = entryByKey(indexKey("domain", domain, scope));
          if (entry) return entry;
        }
        return null;
      });
    },

    async list({ limit, cursor }) {
      const range = { start: numberOfCursor(cursor), exclusiveStart: true, limit: limit + 1 };
      const found = [...entries.entries(range)].map(({ key, value }) => entryOf(Number(key), value));
      const page = found.slice(0, limit);
      const live = page.filter((entry) => !isExpired(entry, clock.now()));
      return { entries: live, cursor: found.length > limit ? (page.at(-1)?.id ?? null) : null };
    },
  };
}

function entryOf(number: number, stored: unknown): SuppressionEntry {
  const { address, domain, sender, user, createdAt, expiresAt, reason } = EntrySchema.parse(stored);
  return {
    id: String(number),
    address: address as Address | null,
    domain: domain as Domain | null,
    scope: scopeOf(sender, user),
    createdAt: createdAt as EpochMs,
    expiresAt: expiresAt as EpochMs | null,
    reason,
  };
}

function shortEntry(entry: SuppressionEntry): object {
  const { address, domain, scope, createdAt, expiresAt, reason } = entry;
  return {
    address,
    domain,
    createdAt,
    expiresAt,
    reason,
    ...(scope.kind === "sender" ? { sender: scope.domain } : {}),
    ...(scope.kind === "user" ? { user: scope.user } : {}),
  };
}

function indexKeyOf(of: SuppressionEntry | SuppressionSubject): IndexKey {
  const { scope = GLOBAL_SCOPE } = of;
  if ("address" in of && of.address !== null) {
    return indexKey("address", suppressionKeys(of.address).address, scope);
  }
  assert.ok("domain" in of && of.domain !== null, "a suppression is of an address or of a domain");
  return indexKey("domain", of.domain, scope);
}

function indexKey(kind: "address" | "domain", of: string, scope: SuppressionScope): IndexKey {
  return scope.kind === "global" ? [kind, of] : [kind, of, scopeKey(scope)];
}

function numberOfCursor(cursor: string | null): number {
  if (cursor === null) return 0;
  if (NUMBER.test(cursor)) return Number(cursor);
  throw new DomainError(
    "invalid-request",
    "cursor is not one of this list: leave it out to start over",
    "cursor",
  );
}
