/**
 * Events kept for receivers that are in trouble, in the table:
 *
 *   e#<consumer>   0                           the receiver's pause and who works on its backlog
 *   e#<consumer>   1#<place>#<part>#<mark>     a part: events, as JSON
 *
 * A part is written once under a key that no other write has, and removed by the holder of the claim when it was told. So what a
 * Lambda has kept before it died, and the next one keeps again, is told twice, and nothing is overwritten that nobody has told.
 *
 * All of it expires by itself when nobody asks for it any more: a receiver that was taken out of the configuration.
 */

import { DeleteItemCommand, QueryCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import type { MailEvent } from "../domain/event.ts";
import { EVENT_TYPES } from "../domain/event.ts";
import type { EpochMs } from "../domain/units.ts";
import { DAY, KIB } from "../domain/units.ts";
import type { BacklogClaim, EventBacklog, KeptEvents, Pause, PlacedEvent } from "../ports/event-backlog.ts";
import { writeBatches } from "./batch-write.ts";
import { newMark, written, writtenAt } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, marshal, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS, TTL_ATTRIBUTE } from "./keys.ts";

const STATE_SORT = "0";
const PART_PREFIX = "1#";
/** Sorts behind all parts. */
const AFTER_PARTS = "2";
/** Sequence numbers of streams have up to 40 digits. */
const PLACE_DIGITS = 40;
const PART_DIGITS = 6;
/** An item has 400 KB at most. An event has some hundred bytes; one whose server said much has a few thousand. */
const MAX_PART_CHARS = 100 * KIB;
/** Receivers are told within a day or not at all; the rest is time for us to be down ourselves. */
const KEPT_MS = 7 * DAY;
const PARTS_PER_READ = 100;
const NOBODY = 0 as EpochMs;

const StateSchema = z.object({
  failures: z.number().default(0),
  behind: z.string().nullable().default(null),
  mark: z.string().optional(),
});
const PartSchema = z.object({ events: z.string() });
/** What telling of an event needs; a newer version may have written more. */
const EventsSchema = z.array(
  z.looseObject({
    type: z.enum(EVENT_TYPES),
    at: z.number(),
    messageId: z.string(),
    rowId: z.string().nullable(),
    attempts: z.number(),
  }),
);

export function dynamoEventBacklog(deps: TableDeps): EventBacklog {
  const { dynamo, table, clock } = deps;
  const expiry = (): Record<string, Value> => expiresAt(clock.now(), KEPT_MS);

  return {
    /** 1 read unit. */
    async isOpen(consumer) {
      const { Count = 0 } = await dynamo.send(
        new QueryCommand({
          TableName: table,
          ConsistentRead: true,
          Limit: 1,
          Select: "COUNT",
          KeyConditionExpression: "PK = :pk",
          ExpressionAttributeValues: { ":pk": { S: partitionOf(consumer) } },
        }),
      );
      return Count > 0;
    },

    /** 1 write unit. */
    async open(consumer, { failures, retryAt }) {
      await dynamo.send(
        new UpdateItemCommand({
          TableName: table,
          Key: marshal({ ...stateKey(consumer) }),
          UpdateExpression:
            "SET failures = if_not_exists(failures, :failures), retryAt = if_not_exists(retryAt, :retryAt), #ttl = :ttl",
          ExpressionAttributeNames: { "#ttl": TTL_ATTRIBUTE },
          ExpressionAttributeValues: marshal({
            ":failures": failures,
            ":retryAt": retryAt,
            ":ttl": expiry()[TTL_ATTRIBUTE] ?? null,
          }),
        }),
      );
    },

    /** 1 write unit for each KiB of each part. */
    async keep(consumer, events, perPart) {
      const PK = partitionOf(consumer);
      await writeBatches(
        deps,
        partsOf(events, perPart).map(({ place, json }, i) => ({
          PutRequest: { Item: marshal({ PK, SK: partSort(place, i), events: json, ...expiry() }) },
        })),
      );
    },

    /** 1 write unit. */
    async claim(consumer, until) {
      const token = newMark();
      const key = stateKey(consumer);
      let state = StateSchema.parse({});
      const result = await writtenAt(
        deps,
        key,
        dynamo
          .send(
            new UpdateItemCommand({
              TableName: table,
              Key: marshal({ ...key }),
              UpdateExpression: "SET claimedUntil = :until, mark = :mark, #ttl = :ttl",
              ConditionExpression:
                "(attribute_not_exists(claimedUntil) OR claimedUntil <= :now) AND (attribute_not_exists(retryAt) OR retryAt <= :now)",
              ExpressionAttributeNames: { "#ttl": TTL_ATTRIBUTE },
              ExpressionAttributeValues: marshal({
                ":until": until,
                ":mark": token,
                ":now": clock.now(),
                ":ttl": expiry()[TTL_ATTRIBUTE] ?? null,
              }),
              ReturnValues: "ALL_NEW",
              ReturnValuesOnConditionCheckFailure: "ALL_OLD",
            }),
          )
          .then(({ Attributes }) => {
            state = StateSchema.parse(unmarshal(Attributes ?? {}));
          }),
      );
      // Refused on its own effect: the answer was lost, and the SDK sent it again.
      const there = result.kind === "written" ? state : result.item && StateSchema.parse(result.item);
      if (result.kind === "refused" && there?.mark !== token) return null;
      return { consumer, token, failures: there?.failures ?? 0, behind: there?.behind ?? null };
    },

    /** Up to 1 MiB of parts; 1 read unit for each 4 KiB. */
    async read({ consumer }, behind) {
      const { Items = [] } = await dynamo.send(
        new QueryCommand({
          TableName: table,
          ConsistentRead: true,
          Limit: PARTS_PER_READ,
          KeyConditionExpression: "PK = :pk AND SK BETWEEN :first AND :last",
          ExpressionAttributeValues: marshal({
            ":pk": partitionOf(consumer),
            ":first": PART_PREFIX,
            ":last": AFTER_PARTS,
          }),
          ...(behind === null
            ? {}
            : { ExclusiveStartKey: marshal({ PK: partitionOf(consumer), SK: behind }) }),
        }),
      );
      return Items.map((item) => keptOf(unmarshal(item)));
    },

    /** As many write units as the parts have cost. */
    async remove({ consumer }, parts) {
      const PK = partitionOf(consumer);
      await writeBatches(
        deps,
        parts.map(({ key: SK }) => ({ DeleteRequest: { Key: marshal({ PK, SK }) } })),
      );
    },

    /** 1 write unit. */
    async pause({ consumer, token }, { failures, retryAt, behind = null }: Pause) {
      await written(
        dynamo.send(
          new UpdateItemCommand({
            TableName: table,
            Key: marshal({ ...stateKey(consumer) }),
            UpdateExpression:
              "SET failures = :failures, retryAt = :retryAt, behind = :behind, claimedUntil = :nobody",
            ConditionExpression: "mark = :mark",
            ExpressionAttributeValues: marshal({
              ":failures": failures,
              ":retryAt": retryAt,
              ":behind": behind,
              ":nobody": NOBODY,
              ":mark": token,
            }),
          }),
        ),
      );
    },

    /** 1 write unit. */
    async close({ consumer, token }: BacklogClaim) {
      await written(
        dynamo.send(
          new DeleteItemCommand({
            TableName: table,
            Key: marshal({ ...stateKey(consumer) }),
            ConditionExpression: "mark = :mark",
            ExpressionAttributeValues: marshal({ ":mark": token }),
          }),
        ),
      );
    },
  };
}

function partitionOf(consumer: string): string {
  return KINDS.event + consumer;
}

function stateKey(consumer: string): ItemKey {
  return { PK: partitionOf(consumer), SK: STATE_SORT };
}

/** `part` keeps the order of those that one record of the stream has filled. */
function partSort(place: string, part: number): string {
  const digits = place.padStart(PLACE_DIGITS, "0");
  return `${PART_PREFIX}${digits}#${String(part).padStart(PART_DIGITS, "0")}#${newMark()}`;
}

interface Part {
  readonly place: string;
  readonly json: string;
}

/** At least one event in each, however long it is. */
function partsOf(events: readonly PlacedEvent[], perPart: number): Part[] {
  const parts: { place: string; texts: string[]; chars: number }[] = [];
  for (const { place, event } of events) {
    const text = JSON.stringify(event);
    const last = parts.at(-1);
    if (last && last.texts.length < perPart && last.chars + text.length <= MAX_PART_CHARS) {
      last.texts.push(text);
      last.chars += text.length;
    } else parts.push({ place, texts: [text], chars: text.length });
  }
  return parts.map(({ place, texts }) => ({ place, json: `[${texts.join(",")}]` }));
}

function keptOf(item: Readonly<Record<string, Value>>): KeptEvents {
  const key = z.string().parse(item["SK"]);
  try {
    const events = EventsSchema.parse(JSON.parse(PartSchema.parse(item).events));
    return { key, events: events as unknown as readonly MailEvent[] };
  } catch {
    return { key, events: null };
  }
}
