/** Puts and deletes without conditions, many in a call. What DynamoDB leaves undone is sent again, a bounded number of times. */

import { BatchWriteItemCommand } from "@aws-sdk/client-dynamodb";
import type { WriteRequest } from "@aws-sdk/client-dynamodb";

import type { TableDeps } from "./items.ts";
import { MAX_TRIES, pauseBefore } from "./items.ts";

/** DynamoDB takes as many in one call. */
const MAX_BATCH_WRITES = 25;

/** Of different items. When it rejects, some may have been done. */
export async function writeBatches(deps: TableDeps, requests: readonly WriteRequest[]): Promise<void> {
  for (let i = 0; i < requests.length; i += MAX_BATCH_WRITES)
    await writeBatch(deps, requests.slice(i, i + MAX_BATCH_WRITES));
}

async function writeBatch(deps: TableDeps, requests: WriteRequest[]): Promise<void> {
  let left = requests;
  for (let tried = 0; left.length > 0; tried++) {
    if (tried === MAX_TRIES) throw new Error(`DynamoDB left ${left.length} writes undone in ${tried} calls`);
    if (tried > 0) await pauseBefore(deps, tried);
    const { UnprocessedItems } = await deps.dynamo.send(
      new BatchWriteItemCommand({ RequestItems: { [deps.table]: left } }),
    );
    left = UnprocessedItems?.[deps.table] ?? [];
  }
}
