/**
 * Reported bounces in the table: one item for each in one partition (`b#`), in order of time, which DynamoDB deletes some time after
 * its day. So a report is one write and no read, and only what is asked for is bounded by number.
 */

import { PutItemCommand, QueryCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import type { EpochMs } from "../domain/units.ts";
import { later } from "../domain/units.ts";
import type { BounceSink, ReportedBounce } from "../ports/bounce-sink.ts";
import { MAX_REPORTED, REPORTED_KEPT_MS } from "../ports/bounce-sink.ts";
import { newMark } from "./conditions.ts";
import type { Attributes, TableDeps } from "./items.ts";
import { expiresAt, marshal, unmarshal } from "./items.ts";
import { KINDS, PARTITION_KEY, SORT_KEY, timeDigits } from "./keys.ts";

const ItemShape = z.object({ receivedAt: z.number(), fields: z.record(z.string(), z.string()) });

export function dynamoBounceSink({ dynamo, table, clock }: TableDeps): BounceSink {
  return {
    /** 1 write unit for each KiB. */
    async add({ receivedAt, fields }) {
      await dynamo.send(
        new PutItemCommand({
          TableName: table,
          Item: marshal({
            [PARTITION_KEY]: KINDS.bounce,
            [SORT_KEY]: `${timeDigits(receivedAt)}#${newMark()}`,
            receivedAt,
            fields,
            ...expiresAt(receivedAt, REPORTED_KEPT_MS),
          }),
        }),
      );
    },

    /** 1 read unit for each 4 KiB. */
    async list() {
      const since = later(clock.now(), -REPORTED_KEPT_MS);
      const found: ReportedBounce[] = [];
      let start: Attributes | undefined;
      do {
        const page = await dynamo.send(
          new QueryCommand({
            TableName: table,
            ConsistentRead: true,
            KeyConditionExpression: `${PARTITION_KEY} = :kind AND ${SORT_KEY} > :since`,
            ExpressionAttributeValues: marshal({ ":kind": KINDS.bounce, ":since": `${timeDigits(since)}~` }),
            ScanIndexForward: false,
            Limit: MAX_REPORTED - found.length,
            ExclusiveStartKey: start,
          }),
        );
        found.push(...(page.Items ?? []).flatMap(readItem));
        start = page.LastEvaluatedKey;
      } while (start && found.length < MAX_REPORTED);
      return found.toReversed();
    },
  };
}

function readItem(item: Attributes): ReportedBounce[] {
  const stored = ItemShape.safeParse(unmarshal(item)).data;
  return stored ? [{ receivedAt: stored.receivedAt as EpochMs, fields: stored.fields }] : [];
}
