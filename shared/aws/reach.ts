/**
 * Can the parts of a deployment be used from here, with the credentials that are found here? One question to each, which changes
 * nothing and is among those that senders may ask.
 */

import { GetItemCommand } from "@aws-sdk/client-dynamodb";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { GetQueueUrlCommand } from "@aws-sdk/client-sqs";

import { SECOND } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { AwsClients } from "./clients.ts";
import { KINDS, PARTITION_KEY, SORT_KEY } from "./keys.ts";
import type { AwsNames } from "./names.ts";
import { queueName } from "./names.ts";

export interface Part {
  readonly what: string;
  /** Rejects when it cannot be used. */
  ask(): Promise<void>;
}

/** A call with all its tries. */
const CALL_MS = 12 * SECOND;

export function partsOf(
  { dynamo, s3, sqs }: AwsClients,
  names: AwsNames,
  zones: readonly ZoneName[],
): Part[] {
  const abort = () => ({ abortSignal: AbortSignal.timeout(CALL_MS) });
  const noItem = { [PARTITION_KEY]: { S: `${KINDS.message}doctor` }, [SORT_KEY]: { S: "m" } };
  return [
    {
      what: `table ${names.table}`,
      async ask() {
        await dynamo.send(new GetItemCommand({ TableName: names.table, Key: noItem }), abort());
      },
    },
    {
      what: `bucket ${names.bucket}`,
      async ask() {
        await s3.send(new ListObjectsV2Command({ Bucket: names.bucket, MaxKeys: 1 }), abort());
      },
    },
    ...zones.map((zone) => queueOf(queueName(names.queuePrefix, zone))),
  ];

  function queueOf(QueueName: string): Part {
    return {
      what: `queue ${QueueName}`,
      async ask() {
        await sqs.send(new GetQueueUrlCommand({ QueueName }), abort());
      },
    };
  }
}
