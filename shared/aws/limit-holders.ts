/**
 * Who holds slots, and until when: `l#h#<digest of the holder>`, `s`. One item for all slots of a holder, so that a renewal is one
 * small write however many slots there are. Where slots are kept a holder goes by its digest and its tenure: one that was dropped
 * and comes again has a new tenure, and its old slots stay gone.
 *
 * That a holder lives is believed for `BELIEVED_MS` without asking again. That is on the safe side: what it has counts. That one
 * does not live is never believed, but read.
 */

import { createHash } from "node:crypto";

import { DeleteItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { LRUCache } from "lru-cache";
import * as z from "zod";

import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import { DAY, SECOND } from "../domain/units.ts";
import { newMark, writtenAt } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, getItems, marshal, MAX_BATCH_KEYS, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS, TTL_ATTRIBUTE } from "./keys.ts";

/** Digest of a holder: short, for it stands in the row of every key that the holder has slots of. */
export type HolderId = string;

export interface Holder {
  readonly tenure: string;
  readonly until: EpochMs;
}

export interface Holders {
  /** Those that are there, whether their time is over or not. 1 read unit for each that was not read just before. */
  find(ids: readonly HolderId[]): Promise<ReadonlyMap<HolderId, Holder>>;
  /** Live at least until then. 1 write unit, or none when that is known already. */
  enter(id: HolderId, until: EpochMs): Promise<Holder>;
  /** As `enter`, for one that is there. False: there is none, or its time was over. 1 write unit, or 2 when it comes late. */
  renew(id: HolderId, until: EpochMs): Promise<boolean>;
  /** 1 write unit. */
  drop(id: HolderId): Promise<void>;
  /** What was read last; null: nothing. */
  lastSeen(id: HolderId): Holder | null;
}

const ID_CHARS = 12;
const TENURE_CHARS = 8;
const BELIEVED_MS = 5 * SECOND;
const MAX_BELIEVED = 5_000;
/** How long a holder whose time is over may still come back for its slots. */
const KEPT_MS = DAY;

const KeySchema = z.object({ PK: z.string() });
const HolderSchema = z.object({ tenure: z.string(), until: z.number() });

interface Seen {
  readonly holder: Holder;
  readonly at: EpochMs;
}

export function holderId(worker: WorkerId): HolderId {
  return createHash("sha256").update(worker).digest("base64url").slice(0, ID_CHARS);
}

export function holdersIn(deps: TableDeps): Holders {
  const { dynamo, table, clock } = deps;
  const seen = new LRUCache<HolderId, Seen>({ max: MAX_BELIEVED });

  function see(item: Readonly<Record<string, Value>>): Holder {
    const { tenure, until } = HolderSchema.parse(item);
    const holder: Holder = { tenure, until: until as EpochMs };
    seen.set(idOf(item), { holder, at: clock.now() });
    return holder;
  }

  /** Null: it has to be read. */
  function believed(id: HolderId): Holder | null {
    const last = seen.get(id);
    const now = clock.now();
    return last && last.holder.until > now && Math.abs(now - last.at) < BELIEVED_MS ? last.holder : null;
  }

  async function write(
    id: HolderId,
    until: EpochMs,
    { condition, values = {} }: { condition: string; values?: Record<string, Value> },
  ): Promise<Holder | null> {
    let item: Record<string, Value> | null = null;
    const result = await writtenAt(
      deps,
      keyOf(id),
      dynamo
        .send(
          new UpdateItemCommand({
            TableName: table,
            Key: marshal({ ...keyOf(id) }),
            UpdateExpression: "SET #until = :until, #ttl = :ttl, #tenure = if_not_exists(#tenure, :tenure)",
            ConditionExpression: condition,
            ExpressionAttributeNames: { "#until": "until", "#ttl": TTL_ATTRIBUTE, "#tenure": "tenure" },
            ExpressionAttributeValues: marshal({
              ":until": until,
              ":ttl": expiresAt(until, KEPT_MS)[TTL_ATTRIBUTE] ?? null,
              ":tenure": newMark().slice(0, TENURE_CHARS),
              ...values,
            }),
            ReturnValues: "ALL_NEW",
            ReturnValuesOnConditionCheckFailure: "ALL_OLD",
          }),
        )
        .then(({ Attributes }) => {
          item = unmarshal(Attributes ?? {});
        }),
    );
    // Refused: it lives at least as long by another write, or by this one, sent again after its answer was lost.
    const there = result.kind === "written" ? item : result.item;
    return there && see(there);
  }

  return {
    async find(ids) {
      const found = new Map<HolderId, Holder>();
      const unknown: HolderId[] = [];
      for (const id of ids) {
        const holder = believed(id);
        if (holder) found.set(id, holder);
        else unknown.push(id);
      }
      for (let i = 0; i < unknown.length; i += MAX_BATCH_KEYS) {
        const keys = unknown.slice(i, i + MAX_BATCH_KEYS).map(keyOf);
        for (const item of await getItems(deps, keys, { consistent: true })) found.set(idOf(item), see(item));
      }
      return found;
    },

    async enter(id, until) {
      const known = believed(id);
      if (known && known.until >= until) return known;
      const holder = await write(id, until, {
        condition: "attribute_not_exists(#until) OR #until < :until",
      });
      if (!holder) throw new Error("DynamoDB refused a holder of slots and did not say why");
      return holder;
    },

    async renew(id, until) {
      seen.delete(id);
      const values = { ":now": clock.now() };
      const there = await write(id, until, { condition: "#until > :now AND #until < :until", values });
      if (!there || there.until >= until) return there !== null;
      await write(id, until, { condition: "attribute_exists(#until) AND #until < :until" });
      return false;
    },

    async drop(id) {
      seen.delete(id);
      await dynamo.send(new DeleteItemCommand({ TableName: table, Key: marshal({ ...keyOf(id) }) }));
      seen.delete(id); // whoever read it meanwhile
    },

    lastSeen: (id) => seen.get(id)?.holder ?? null,
  };
}

const PREFIX = `${KINDS.limit}h#`;
const keyOf = (id: HolderId): ItemKey => ({ PK: PREFIX + id, SK: "s" });

function idOf(item: Readonly<Record<string, Value>>): HolderId {
  return KeySchema.parse(item).PK.slice(PREFIX.length);
}
