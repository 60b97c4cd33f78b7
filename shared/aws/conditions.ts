/**
 * What a write with a condition came to. A condition that fails is an answer, not a fault; it comes with the item as it is, when
 * the command asks for it (`ReturnValuesOnConditionCheckFailure: "ALL_OLD"`).
 *
 * A write whose answer was lost is sent again by the SDK and then fails on its own effect. Writes therefore carry a mark of
 * their own (`newMark`), and who finds his mark in the item that is there has written it.
 */

import { randomBytes } from "node:crypto";

import { ConditionalCheckFailedException, TransactionCanceledException } from "@aws-sdk/client-dynamodb";
import type { TransactWriteItemsCommandInput } from "@aws-sdk/client-dynamodb";
import { TransactWriteItemsCommand } from "@aws-sdk/client-dynamodb";

import type { TableDeps, Value } from "./items.ts";
import { getItem, MAX_TRIES, pauseBefore, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";

export type Written =
  | { readonly kind: "written" }
  /** `item`: what is there; null: nothing is, or the command did not ask for it. */
  | { readonly kind: "refused"; readonly item: Record<string, Value> | null };

const MARK_BYTES = 9;

/** A text that no other write has. */
export function newMark(): string {
  return randomBytes(MARK_BYTES).toString("base64url");
}

export async function written(writing: Promise<unknown>): Promise<Written> {
  try {
    await writing;
    return { kind: "written" };
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
    return { kind: "refused", item: error.Item ? unmarshal(error.Item) : null };
  }
}

/**
 * As `written`, of the item of that key, which the refusal is to come with. A server that does not give it is asked for it: one of
 * those that stand in for AWS, and AWS itself when there is no item.
 */
export async function writtenAt(deps: TableDeps, key: ItemKey, writing: Promise<unknown>): Promise<Written> {
  const result = await written(writing);
  if (result.kind === "written" || result.item) return result;
  return { kind: "refused", item: await getItem(deps, key) };
}

/**
 * Write all or nothing; `refused`: a condition failed. One that met another transaction, or a throttle, is tried again a bounded
 * number of times. The SDK gives the command a token, so that the same write sent twice
 * within ten minutes is done once. 2 write units for each KiB of each item.
 */
export async function transact(
  deps: TableDeps,
  items: NonNullable<TransactWriteItemsCommandInput["TransactItems"]>,
): Promise<Written["kind"]> {
  for (let tried = 1; ; tried++) {
    try {
      await deps.dynamo.send(new TransactWriteItemsCommand({ TransactItems: items }));
      return "written";
    } catch (error) {
      if (!(error instanceof TransactionCanceledException)) throw error;
      const reasons = error.CancellationReasons ?? [];
      if (reasons.some(({ Code }) => Code === "ConditionalCheckFailed")) return "refused";
      if (tried === MAX_TRIES || !reasons.some(({ Code }) => isPassing(Code))) throw error;
    }
    await pauseBefore(deps, tried);
  }
}

function isPassing(code: string | undefined): boolean {
  return ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"].includes(code ?? "");
}
