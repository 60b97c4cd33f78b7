/**
 * What happened to mail, read from the table's stream of changes as a Lambda would get it, for suites that ask a backend for its
 * events. The API of streams is called by hand: the SDK's client for it is not among our dependencies.
 */

import { GetItemCommand } from "@aws-sdk/client-dynamodb";

import type { AwsClients } from "#shared/aws/clients.ts";
import { eventsOfRecord } from "#shared/aws/event-stream.ts";
import type { StreamRecord } from "#shared/aws/event-stream.ts";
import { marshal } from "#shared/aws/items.ts";
import { messageKey } from "#shared/aws/keys.ts";
import type { NumberedEvent } from "#shared/domain/event.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import type { EventLog } from "#shared/ports/event-log.ts";

const API = "DynamoDBStreams_20120810";
const MAX_PAGES = 100;

type Call = (operation: string, input: Record<string, unknown>) => Promise<Record<string, unknown>>;

/** Events of the whole table from its first change on. Claims are not for this. */
export function streamEvents(clients: AwsClients, table: string): Pick<EventLog, "read"> {
  return {
    async read(position, limit) {
      const events = (await streamRecords(clients, table))
        .flatMap(eventsOfRecord)
        .map((event, i): NumberedEvent => ({ ...event, number: i + 1 }));
      return events.filter(({ number }) => number > position).slice(0, limit);
    },
  };
}

/** All changes of the table, from the first one on. */
export async function streamRecords(clients: AwsClients, table: string): Promise<StreamRecord[]> {
  return recordsOf(await caller(clients), table);
}

/** The record that the stream would have of the newest change of a message's item, read from the item. */
export async function newestRecord({ dynamo }: AwsClients, table: string, id: MessageId): Promise<object> {
  const Keys = marshal({ ...messageKey(id) });
  const { Item = {} } = await dynamo.send(
    new GetItemCommand({ TableName: table, Key: Keys, ConsistentRead: true }),
  );
  return { eventName: "MODIFY", dynamodb: { SequenceNumber: "1", Keys, NewImage: Item } };
}

async function recordsOf(call: Call, TableName: string): Promise<StreamRecord[]> {
  const { Streams } = (await call("ListStreams", { TableName })) as { Streams: { StreamArn: string }[] };
  const StreamArn = Streams[0]?.StreamArn;
  if (StreamArn === undefined) throw new Error(`the table ${TableName} has no stream`);
  const { StreamDescription } = (await call("DescribeStream", { StreamArn })) as {
    StreamDescription: { Shards: { ShardId: string }[] };
  };
  const records: StreamRecord[] = [];
  for (const { ShardId } of StreamDescription.Shards) {
    const at = { StreamArn, ShardId, ShardIteratorType: "TRIM_HORIZON" };
    let { ShardIterator } = await call("GetShardIterator", at);
    for (let pages = 0; ShardIterator != null && pages < MAX_PAGES; pages++) {
      const { Records, NextShardIterator } = await call("GetRecords", { ShardIterator });
      const page = Records as StreamRecord[];
      if (page.length === 0) break; // the shard is open, and this is its end
      records.push(...page);
      ShardIterator = NextShardIterator;
    }
  }
  return records;
}

async function caller({ dynamo }: AwsClients): Promise<Call> {
  const endpoint = await dynamo.config.endpoint?.();
  if (!endpoint) throw new Error("streams are read from a local server only");
  const { protocol, hostname, port, path } = endpoint;
  const { accessKeyId } = await dynamo.config.credentials();
  const scope = `${accessKeyId}/20260101/${await dynamo.config.region()}/dynamodb/aws4_request`;
  const url = `${protocol}//${hostname}${port === undefined ? "" : `:${port}`}${path}`;
  return async (operation, input) => {
    const response = await fetch(url, {
      method: "POST",
      body: JSON.stringify(input),
      headers: {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": `${API}.${operation}`,
        // Local servers look at no signature, but read from it whose table it is.
        "x-amz-date": "20260101T000000Z",
        authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host;x-amz-date, Signature=0`,
      },
    });
    if (!response.ok) throw new Error(`${operation}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Record<string, unknown>;
  };
}
