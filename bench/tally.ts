/** What went over the wire to AWS, counted as it is paid for. */

import type { AwsAnswer, AwsRequest } from "../test/support/aws-proxy.ts";

export interface Tally {
  /** Requests by operation, failed ones too; not those of Lambda itself, which reads the table's stream at no price. */
  readonly calls: ReadonlyMap<string, number>;
  readonly writeUnits: number;
  readonly readUnits: number;
  /** PUT, POST and LIST; deleting is free. */
  readonly s3Puts: number;
  /** GET and HEAD. */
  readonly s3Gets: number;
  /** Chunks of 64 KiB, at least one for each request. */
  readonly sqsRequests: number;
  /** Of these, those that name message groups: they send signals. */
  readonly sqsGrouped: number;
}

export interface Counter {
  count(request: AwsRequest, answer: AwsAnswer): void;
  tally(): Tally;
  reset(): void;
}

const SQS_CHUNK_BYTES = 65_536;
const LAMBDAS_OWN = new Set(["DescribeTable", "DescribeStream", "GetShardIterator", "GetRecords"]);
const READS = new Set(["GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"]);

export function counter(): Counter {
  const none = {
    writeUnits: 0,
    readUnits: 0,
    s3Puts: 0,
    s3Gets: 0,
    sqsRequests: 0,
    sqsGrouped: 0,
  };
  let sums = { ...none };
  let calls = new Map<string, number>();

  function countSqs({ body, operation }: AwsRequest, answer: AwsAnswer): void {
    const payload = operation === "ReceiveMessage" ? answer.body : body;
    const chunks = Math.max(1, Math.ceil(payload.length / SQS_CHUNK_BYTES));
    sums.sqsRequests += chunks;
    if (body.includes('"MessageGroupId"')) sums.sqsGrouped += chunks;
  }

  return {
    count(request, answer) {
      const { service, operation, method } = request;
      if (LAMBDAS_OWN.has(operation)) return;
      calls.set(operation, (calls.get(operation) ?? 0) + 1);
      if (service === "sqs") countSqs(request, answer);
      const isPut = method === "PUT" || (method === "POST" && operation !== "DeleteObjects");
      if (service === "s3" && isPut) sums.s3Puts++;
      if (service === "s3" && (method === "GET" || method === "HEAD")) sums.s3Gets++;
      if (service !== "dynamo") return;
      const units = unitsIn(answer);
      if (READS.has(operation)) sums.readUnits += units;
      else sums.writeUnits += units;
    },
    tally: () => ({ ...sums, calls: new Map(calls) }),
    reset() {
      sums = { ...none };
      calls = new Map();
    },
  };
}

function unitsIn({ body }: AwsAnswer): number {
  const { ConsumedCapacity } = JSON.parse(body.toString("utf8")) as {
    ConsumedCapacity?: { CapacityUnits?: number } | readonly { CapacityUnits?: number }[];
  };
  const list = [ConsumedCapacity ?? []].flat();
  return list.reduce((sum, { CapacityUnits = 0 }) => sum + CapacityUnits, 0);
}
