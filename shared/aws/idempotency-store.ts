/**
 * Records of repeatable requests in the table: one item for each key, which DynamoDB deletes some time after its end. A claim
 * costs one write unit, and so do `seal` and `finish`; all three are conditional on the fence, which rises with every claim.
 */

import { DeleteItemCommand, PutItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import type { MessageId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import { HOUR } from "../domain/units.ts";
import type {
  ClaimRequest,
  Claimed,
  IdempotencyClaim,
  IdempotencyRecord,
  IdempotencyStore,
} from "../ports/idempotency-store.ts";
import type { Written } from "./conditions.ts";
import { newMark, written } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, getItem, marshal, MAX_TRIES, pauseBefore } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS } from "./keys.ts";

const SORT = "i";
/** Past its end, for clocks that differ. */
const TTL_MARGIN_MS = HOUR;
const NOBODY = 0 as EpochMs;

const RecordShape = z.object({
  messageId: z.string(),
  fingerprint: z.string().nullable(),
  claimedUntil: z.number(),
  answer: z.string().nullable(),
  fence: z.number(),
  keepUntil: z.number(),
  /** Of the write that claimed it last. */
  mark: z.string(),
});

interface StoredRecord extends IdempotencyRecord {
  readonly fence: number;
  readonly keepUntil: EpochMs;
  readonly mark: string;
}

export function dynamoIdempotencyStore(deps: TableDeps): IdempotencyStore {
  const { dynamo, table, clock } = deps;

  /** The item that was in the way; null: there was none, and the record is made. */
  async function create(key: string, request: ClaimRequest, mark: string): Promise<StoredRecord | null> {
    const { messageId, fingerprint, until, keepUntil } = request;
    const record = { messageId, fingerprint, claimedUntil: until, answer: null, fence: 1, keepUntil, mark };
    const outcome = await written(
      dynamo.send(
        new PutItemCommand({
          TableName: table,
          Item: marshal({ ...keyOf(key), ...record, ...expiresAt(keepUntil, TTL_MARGIN_MS) }),
          ConditionExpression: "attribute_not_exists(PK) OR (keepUntil <= :now AND claimedUntil <= :now)",
          ExpressionAttributeValues: marshal({ ":now": clock.now() }),
          ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        }),
      ),
    );
    const found = foundBy(outcome);
    return found?.mark === mark ? null : found; // its own write, whose answer was lost
  }

  /** False: another was faster. */
  async function takeOver(
    found: StoredRecord,
    { key, request, mark }: { key: string; request: ClaimRequest; mark: string },
  ): Promise<boolean> {
    const outcome = await update(key, {
      set: "claimedUntil = :until, fence = :next, mark = :mark, fingerprint = :fingerprint",
      condition: "fence = :fence AND claimedUntil = :lapsed AND answer = :none",
      values: {
        ":until": request.until,
        ":next": found.fence + 1,
        ":mark": mark,
        ":fingerprint": found.fingerprint ?? request.fingerprint,
        ":fence": found.fence,
        ":lapsed": found.claimedUntil,
        ":none": null,
      },
    });
    return outcome.kind === "written" || foundBy(outcome)?.mark === mark;
  }

  function update(
    key: string,
    { set, condition, values }: { set: string; condition: string; values: Record<string, Value> },
  ): Promise<Written> {
    return written(
      dynamo.send(
        new UpdateItemCommand({
          TableName: table,
          Key: marshal({ ...keyOf(key) }),
          UpdateExpression: `SET ${set}`,
          ConditionExpression: condition,
          ExpressionAttributeValues: marshal(values),
          ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        }),
      ),
    );
  }

  return {
    async claim(key, request) {
      const mark = newMark();
      for (let tried = 1; tried <= MAX_TRIES; tried++) {
        const found = await create(key, request, mark);
        if (!found) return { kind: "claimed", claim: claimOf(key, request, null) };
        const taken = whyTaken(found, request, clock.now());
        if (taken) return { kind: taken, record: found };
        if (await takeOver(found, { key, request, mark })) {
          return { kind: "claimed", claim: claimOf(key, request, found) };
        }
        await pauseBefore(deps, tried); // then look at what the other made of it
      }
      throw new Error(`the claim on an idempotency key went to others ${MAX_TRIES} times`);
    },

    async seal(claim, fingerprint) {
      if (claim.fingerprint === fingerprint) return "sealed";
      if (claim.fingerprint !== null) return "other";
      const { kind } = await update(claim.key, {
        set: "fingerprint = :fingerprint",
        condition: "fence = :fence AND answer = :none",
        values: { ":fingerprint": fingerprint, ":fence": claim.token, ":none": null },
      });
      return kind === "written" ? "sealed" : "lost";
    },

    async finish(claim, answer) {
      const outcome = await update(claim.key, {
        set: "answer = :answer, claimedUntil = :nobody",
        condition: "fence = :fence AND answer = :none",
        values: { ":answer": answer, ":nobody": NOBODY, ":fence": claim.token, ":none": null },
      });
      if (outcome.kind === "written") return true;
      const found = foundBy(outcome);
      return found?.fence === claim.token && found.answer === answer; // its own write, whose answer was lost
    },

    async release(claim, how) {
      if (how === "retry") {
        const { kind } = await update(claim.key, {
          set: "claimedUntil = :nobody",
          condition: "fence = :fence AND answer = :none",
          values: { ":nobody": NOBODY, ":fence": claim.token, ":none": null },
        });
        return kind === "written";
      }
      const { kind } = await written(
        dynamo.send(
          new DeleteItemCommand({
            TableName: table,
            Key: marshal({ ...keyOf(claim.key) }),
            ConditionExpression: "fence = :fence AND answer = :none",
            ExpressionAttributeValues: marshal({ ":fence": claim.token, ":none": null }),
          }),
        ),
      );
      return kind === "written";
    },

    async get(key) {
      const item = await getItem(deps, keyOf(key));
      const record = item && recordOf(item);
      const over = record !== null && record.keepUntil <= clock.now() && record.claimedUntil <= clock.now();
      return over ? null : record;
    },
  };
}

function keyOf(key: string): ItemKey {
  return { PK: KINDS.idempotency + key, SK: SORT };
}

/** Null: the caller may claim it. */
function whyTaken(
  { answer, claimedUntil, fingerprint }: StoredRecord,
  request: ClaimRequest,
  now: EpochMs,
): Exclude<Claimed["kind"], "claimed"> | null {
  if (answer !== null) return "answered";
  if (claimedUntil > now) return "busy";
  const differs = fingerprint !== null && request.fingerprint !== null && fingerprint !== request.fingerprint;
  return differs ? "other" : null;
}

/** `found` is the record before it was taken over; null: there was none. */
function claimOf(key: string, request: ClaimRequest, found: StoredRecord | null): IdempotencyClaim {
  return {
    key,
    token: (found?.fence ?? 0) + 1,
    messageId: found?.messageId ?? request.messageId,
    fingerprint: found?.fingerprint ?? request.fingerprint,
    first: found === null,
  };
}

/** The item in the way of a write that was refused; null: it was written, or nothing is there. */
function foundBy(outcome: Written): StoredRecord | null {
  return outcome.kind === "refused" && outcome.item ? recordOf(outcome.item) : null;
}

function recordOf(item: Record<string, Value>): StoredRecord {
  const { messageId, claimedUntil, keepUntil, ...rest } = RecordShape.parse(item);
  return {
    ...rest,
    messageId: messageId as MessageId,
    claimedUntil: claimedUntil as EpochMs,
    keepUntil: keepUntil as EpochMs,
  };
}
