/**
 * Takes away what tests have made on a local AWS that outlives them: tables, buckets with all they hold, and queues. Servers of the
 * tests' own end with the file and need none of it.
 */

import { DeleteTableCommand } from "@aws-sdk/client-dynamodb";
import {
  AbortMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
} from "@aws-sdk/client-s3";
import type { S3Client } from "@aws-sdk/client-s3";
import { DeleteQueueCommand, ListQueuesCommand } from "@aws-sdk/client-sqs";
import type { SQSClient } from "@aws-sdk/client-sqs";

import type { AwsClients } from "#shared/aws/clients.ts";
import type { AwsNames } from "#shared/aws/names.ts";

/** Installations that are taken away at the same time. */
const AT_ONCE = 4;
/** A bucket of a test has a few hundred objects at most. */
const MAX_PAGES = 10;

/** What cannot be taken away is left, for a test is not about it. Resolves with why, for each that was left. */
export async function cleanUpAws(clients: AwsClients, made: readonly AwsNames[]): Promise<Error[]> {
  const left = [...made];
  const failures: Error[] = [];
  const worker = async (): Promise<void> => {
    for (let names = left.pop(); names; names = left.pop()) {
      const removals = [
        clients.dynamo.send(new DeleteTableCommand({ TableName: names.table })),
        removeBucket(clients.s3, names.bucket),
        removeQueues(clients.sqs, names.queuePrefix),
      ];
      for (const removed of await Promise.allSettled(removals)) {
        if (removed.status === "rejected" && !wasNotThere(removed.reason))
          failures.push(removed.reason as Error);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return failures;
}

/** Not every test makes all that it has a name for. */
function wasNotThere(error: unknown): boolean {
  const { name } = error as Error;
  return name === "ResourceNotFoundException" || name === "NoSuchBucket";
}

async function removeBucket(s3: S3Client, Bucket: string): Promise<void> {
  const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
  for (const { Key, UploadId } of Uploads)
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
  for (let page = 0; page < MAX_PAGES; page++) {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
    if (Contents.length === 0) break;
    for (const { Key } of Contents) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  }
  await s3.send(new DeleteBucketCommand({ Bucket }));
}

async function removeQueues(sqs: SQSClient, QueueNamePrefix: string): Promise<void> {
  const { QueueUrls = [] } = await sqs.send(new ListQueuesCommand({ QueueNamePrefix }));
  for (const QueueUrl of QueueUrls) await sqs.send(new DeleteQueueCommand({ QueueUrl }));
}
