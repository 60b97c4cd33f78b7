/**
 * Reads the table's stream of changes as Lambda does on AWS: each shard in order, four times a second, in batches of the records
 * that the reader wants, again from the first one that it could not use. For local servers only: they look at no signature, so that the stream needs no client of its own.
 *
 * Where it has read to is not kept. A new reader begins with all that the stream still has: no report is made twice, and receivers
 * of events may be told again, as they may be at any time.
 */

import type { DynamoDBRecord } from "aws-lambda";
import * as z from "zod";

import type { Clock } from "#shared/domain/clock.ts";
import { SECOND } from "#shared/domain/units.ts";

export interface TableStreamOptions {
  /** Of the local DynamoDB. */
  readonly endpoint: string;
  readonly table: string;
  /** `AWS_REGION` and `AWS_ACCESS_KEY_ID` of those who use the table: local servers keep apart what is of others. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly stop: AbortSignal;
  /** Records in one batch, at most. */
  readonly batchSize: number;
  /** Others are passed over. */
  readonly isWanted: (record: DynamoDBRecord) => boolean;
  /** Resolves with the sequence number of the first record to give again; null: all are done with. */
  readonly consume: (records: readonly DynamoDBRecord[]) => Promise<string | null>;
  readonly onError: (error: unknown) => void;
}

const CALL_MS = 10 * SECOND;
const POLL_MS = SECOND / 4;
const RETRY_MS = SECOND;
/** DynamoDB gives as many records in one answer. */
const MAX_RECORDS = 1_000;
/** New shards are looked for as often. */
const SHARDS_EVERY_MS = 10 * SECOND;

const TableSchema = z.looseObject({ Table: z.looseObject({ LatestStreamArn: z.string() }) });
const StreamSchema = z.looseObject({
  StreamDescription: z.looseObject({ Shards: z.array(z.looseObject({ ShardId: z.string() })) }),
});
const IteratorSchema = z.looseObject({ ShardIterator: z.string() });
const RecordsSchema = z.looseObject({
  Records: z.array(z.looseObject({ dynamodb: z.looseObject({ SequenceNumber: z.string() }) })),
  NextShardIterator: z.string().nullish(),
});

/** Read until `stop`. What fails is told and tried again. */
export async function readTableStream(options: TableStreamOptions): Promise<void> {
  const { clock, stop, onError } = options;
  const reading = new Map<string, Promise<void>>();
  while (!stop.aborted) {
    try {
      const arn = await streamOf(options);
      for (const shard of await shardsOf(options, arn)) {
        if (!reading.has(shard)) reading.set(shard, readShard(options, arn, shard));
      }
    } catch (error) {
      if (!stop.aborted) onError(error);
    }
    await clock.sleep(SHARDS_EVERY_MS, stop);
  }
  await Promise.all(reading.values());
}

/** To its end, or until `stop`. */
async function readShard(options: TableStreamOptions, arn: string, shard: string): Promise<void> {
  const { clock, stop, onError } = options;
  let from: string | null = null; // a sequence number to begin with again
  let iterator: string | null = null;
  while (!stop.aborted) {
    try {
      iterator ??= await iteratorOf(options, { arn, shard, from });
      const { records, next } = await recordsOf(options, iterator);
      const failed = await consumeInBatches(options, records);
      if (failed === null && next === null) return; // the shard is closed and read
      from = failed;
      iterator = failed === null ? next : null;
      if (failed !== null) await clock.sleep(RETRY_MS, stop);
      else if (records.length < MAX_RECORDS) await clock.sleep(POLL_MS, stop);
    } catch (error) {
      if (stop.aborted) return;
      onError(error);
      iterator = null; // it may have expired; what is read again does nothing twice
      await clock.sleep(RETRY_MS, stop);
    }
  }
}

/** Resolves as `consume` does. */
async function consumeInBatches(
  { batchSize, isWanted, consume }: TableStreamOptions,
  records: readonly DynamoDBRecord[],
): Promise<string | null> {
  const wanted = records.filter(isWanted);
  for (let at = 0; at < wanted.length; at += batchSize) {
    const failed = await consume(wanted.slice(at, at + batchSize));
    if (failed !== null) return failed;
  }
  return null;
}

async function streamOf(options: TableStreamOptions): Promise<string> {
  const answer = await call(options, "DynamoDB_20120810.DescribeTable", { TableName: options.table });
  return TableSchema.parse(answer).Table.LatestStreamArn;
}

async function shardsOf(options: TableStreamOptions, arn: string): Promise<string[]> {
  const answer = await call(options, "DynamoDBStreams_20120810.DescribeStream", { StreamArn: arn });
  return StreamSchema.parse(answer).StreamDescription.Shards.map(({ ShardId }) => ShardId);
}

async function iteratorOf(
  options: TableStreamOptions,
  { arn, shard, from }: { arn: string; shard: string; from: string | null },
): Promise<string> {
  const place =
    from === null
      ? { ShardIteratorType: "TRIM_HORIZON" }
      : { ShardIteratorType: "AT_SEQUENCE_NUMBER", SequenceNumber: from };
  const input = { StreamArn: arn, ShardId: shard, ...place };
  return IteratorSchema.parse(await call(options, "DynamoDBStreams_20120810.GetShardIterator", input))
    .ShardIterator;
}

async function recordsOf(
  options: TableStreamOptions,
  iterator: string,
): Promise<{ records: readonly DynamoDBRecord[]; next: string | null }> {
  const input = { ShardIterator: iterator, Limit: MAX_RECORDS };
  const answer = RecordsSchema.parse(await call(options, "DynamoDBStreams_20120810.GetRecords", input));
  // Items are written down here as in the events of a Lambda.
  return {
    records: answer.Records as unknown as readonly DynamoDBRecord[],
    next: answer.NextShardIterator ?? null,
  };
}

/** A local server routes by what a signature says of service, region and key, and believes it. */
function unsigned({
  AWS_REGION = "us-east-1",
  AWS_ACCESS_KEY_ID = "test",
}: TableStreamOptions["env"]): string {
  const scope = `${AWS_ACCESS_KEY_ID}/20260101/${AWS_REGION}/dynamodb/aws4_request`;
  return `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=none`;
}

async function call(
  { endpoint, env, stop }: TableStreamOptions,
  target: string,
  input: object,
): Promise<unknown> {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.0",
      "x-amz-target": target,
      authorization: unsigned(env),
      "x-amz-date": "20260101T000000Z",
    },
    body: JSON.stringify(input),
    signal: AbortSignal.any([stop, AbortSignal.timeout(CALL_MS)]),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${target}: ${response.status} ${text.slice(0, 300)}`);
  return JSON.parse(text);
}
