/** The one table as CreateTable takes it: for the bootstrap of local installations, for tests, and as the model of the deployed one. */

import type { CreateTableCommandInput } from "@aws-sdk/client-dynamodb";

import { INDEXES, PARTITION_KEY, SORT_KEY } from "./keys.ts";

/** The changed items, as they are after the change: all that readers of events need. */
const STREAM_VIEW = "NEW_IMAGE";

/** `stream` false: without the stream of changes, which slows a local server down. */
export function tableInput(name: string, { stream }: { stream: boolean }): CreateTableCommandInput {
  const attributes = [
    PARTITION_KEY,
    SORT_KEY,
    ...INDEXES.flatMap(({ partition, sort }) => [partition, sort]),
  ];
  return {
    TableName: name,
    BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: attributes.map((attribute) => ({
      AttributeName: attribute,
      AttributeType: "S" as const,
    })),
    KeySchema: keySchema(PARTITION_KEY, SORT_KEY),
    GlobalSecondaryIndexes: INDEXES.map(({ name: index, partition, sort }) => ({
      IndexName: index,
      KeySchema: keySchema(partition, sort),
      Projection: { ProjectionType: "KEYS_ONLY" as const },
    })),
    ...(stream ? { StreamSpecification: { StreamEnabled: true, StreamViewType: STREAM_VIEW } } : {}),
  };
}

function keySchema(partition: string, sort: string) {
  return [
    { AttributeName: partition, KeyType: "HASH" as const },
    { AttributeName: sort, KeyType: "RANGE" as const },
  ];
}
