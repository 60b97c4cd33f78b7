/**
 * Suppressed addresses and domains in LMDB: entries by number, in the order they were added, and an index from what is looked up
 * to that number. Both are written in one transaction, so an index entry always has its entry.
 */

import assert from "node:assert/strict";

import * as z from "zod";

import type { Address, Domain } from "../domain/address.ts";
import type { Clock } from "../domain/clock.ts";
import { DomainError } from "../domain/errors.ts";
import type { SuppressionEntry } from "../domain/suppression.ts";
import { suppressionKeys } from "../domain/suppression.ts";
import type { EpochMs } from "../domain/units.ts";
import type { SuppressionStore } from "../ports/suppression-store.ts";
import type { EmbeddedDatabase } from "./database.ts";

const LAST_NUMBER = "suppressions.last-number";
/** Numbers as they are printed, so that no other text is taken for one. */
const NUMBER = /^[1-9]\d{0,14}$/;

const EntrySchema = z.object({
  address: z.string().nullable(),
  domain: z.string().nullable(),
  createdAt: z.number(),
  reason: z.string().nullable(),
});

export function embeddedSuppressionStore({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): SuppressionStore {
  const entries = database.table("suppressions");
  const index = database.table("suppressions-index");

  function entryOf(number: number, stored: unknown): SuppressionEntry {
    const { address, domain, createdAt, reason } = EntrySchema.parse(stored);
    return {
      id: String(number),
      address: address as Address | null,
      domain: domain as Domain | null,
      createdAt: createdAt as EpochMs,
      reason,
    };
  }

  function entryByKey(key: [string, string]): SuppressionEntry | null {
    const number = index.get(key);
    if (number === undefined) return null;
    assert.ok(typeof number === "number", "the index of suppressions leads to a number");
    return entryOf(number, entries.get(number));
  }

  return {
    async add(request) {
      return database.write((transaction) => {
        const key = indexKeyOf(request);
        const there = entryByKey(key);
        if (there) return there;
        const number = transaction.count(LAST_NUMBER, 1);
        const stored = {
          address: "address" in request ? request.address : null,
          domain: "domain" in request ? request.domain : null,
          createdAt: clock.now(),
          reason: request.reason,
        };
        entries.put(number, stored);
        index.put(key, number);
        return entryOf(number, stored);
      });
    },

    async remove(id) {
      if (!NUMBER.test(id)) return false;
      return database.write(() => {
        const stored = entries.get(Number(id));
        if (stored === undefined) return false;
        index.remove(indexKeyOf(entryOf(Number(id), stored)));
        entries.remove(Number(id));
        return true;
      });
    },

    async find(recipients) {
      return recipients.map((recipient) => {
        const { address, domain } = suppressionKeys(recipient);
        return entryByKey(["address", address]) ?? entryByKey(["domain", domain]);
      });
    },

    async list({ limit, cursor }) {
      const range = { start: numberOfCursor(cursor), exclusiveStart: true, limit: limit + 1 };
      const found = [...entries.entries(range)].map(({ key, value }) => entryOf(Number(key), value));
      const page = found.slice(0, limit);
      return { entries: page, cursor: found.length > limit ? (page.at(-1)?.id ?? null) : null };
    },
  };
}

function indexKeyOf(of: { address?: Address | null; domain?: Domain | null }): [string, string] {
  if (of.address) return ["address", suppressionKeys(of.address).address];
  assert.ok(of.domain, "a suppression is of an address or of a domain");
  return ["domain", of.domain];
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
