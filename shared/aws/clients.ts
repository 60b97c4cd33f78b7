/**
 * The SDK clients of this process: one for each service, made once and shared by all adapters, so that connections are kept.
 *
 * Each call ends: connecting, waiting for an answer and trying again are all bounded here, and an adapter adds its own tries only
 * where the SDK knows none (keys left unprocessed, conditions that lost a race). What the bounds let rise is a fault.
 *
 * Credentials are found as the SDK finds them (environment, profile, role of the host) unless they are given.
 */

import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import type { DynamoDBClientConfig } from "@aws-sdk/client-dynamodb";
import { S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";

import { SECOND } from "../domain/units.ts";

export interface AwsClients {
  readonly dynamo: DynamoDBClient;
  readonly sqs: SQSClient;
  readonly s3: S3Client;
  /** Close the connections kept. Calls under way fail. */
  close(): void;
}

/** Null: the service's own endpoint in the region. */
export interface AwsEndpoints {
  readonly dynamo: string | null;
  readonly sqs: string | null;
  readonly s3: string | null;
}

export interface AwsClientOptions {
  readonly endpoints?: AwsEndpoints;
  /** Left out: that of the environment, the profile or the host. */
  readonly region?: string;
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** The longest that SQS lets a receive wait for messages. */
const MAX_RECEIVE_WAIT_MS = 20 * SECOND;

const CONNECT_MS = 2 * SECOND;
/** From the request to the head of its answer. A row or a batch of rows takes milliseconds; this long is a lost answer. */
const DYNAMO_ANSWER_MS = 5 * SECOND;
const SQS_ANSWER_MS = MAX_RECEIVE_WAIT_MS + 5 * SECOND;
/** Includes sending a part of some MiB over a slow line. */
const S3_ANSWER_MS = 30 * SECOND;
/** Silence on a connection in the middle of a request or an answer; as long as the answer may take where that is longer. */
const IDLE_MS = 10 * SECOND;
/** The first try and two more: a service that refuses for longer is the caller's to wait for. */
const MAX_ATTEMPTS = 3;
/** Connections to one service; more calls than these wait for one. */
const MAX_CONNECTIONS = 64;
/** To SQS: the long poll of each zone holds one for as long as it waits. */
const MAX_SQS_CONNECTIONS = 512;

type HandlerOptions = NonNullable<DynamoDBClientConfig["requestHandler"]>;

export function awsClients(options: AwsClientOptions = {}): AwsClients {
  const { endpoints } = options;
  const dynamo = new DynamoDBClient(
    clientSettings(options, endpoints?.dynamo ?? null, { answerMs: DYNAMO_ANSWER_MS }),
  );
  const sqs = new SQSClient({
    ...clientSettings(options, endpoints?.sqs ?? null, {
      answerMs: SQS_ANSWER_MS,
      maxConnections: MAX_SQS_CONNECTIONS,
    }),
    // A local server names hosts in its queue URLs that do not resolve; the endpoint is right everywhere.
    useQueueUrlAsEndpoint: false,
  });
  const s3 = new S3Client({
    ...clientSettings(options, endpoints?.s3 ?? null, { answerMs: S3_ANSWER_MS }),
    // Another endpoint has no names for buckets in the DNS.
    forcePathStyle: (endpoints?.s3 ?? null) !== null,
  });
  return {
    dynamo,
    sqs,
    s3,
    close() {
      for (const client of [dynamo, sqs, s3]) client.destroy();
    },
  };
}

/** The variables that the SDK itself knows: `AWS_ENDPOINT_URL` for all services, `AWS_ENDPOINT_URL_<SERVICE>` for one. */
export function endpointsOf(env: Readonly<Record<string, string | undefined>>): AwsEndpoints {
  return {
    dynamo: endpointOf(env, "DYNAMODB"),
    sqs: endpointOf(env, "SQS"),
    s3: endpointOf(env, "S3"),
  };
}

/** `service` as those variables spell it. */
export function endpointOf(
  env: Readonly<Record<string, string | undefined>>,
  service: string,
): string | null {
  // An empty variable is one that is not set.
  return env[`AWS_ENDPOINT_URL_${service}`] || env["AWS_ENDPOINT_URL"] || null;
}

/** What every client has, that of another service too. */
export function clientSettings(
  options: AwsClientOptions,
  endpoint: string | null,
  { answerMs, maxConnections = MAX_CONNECTIONS }: { answerMs: number; maxConnections?: number },
) {
  const { region, credentials } = options;
  return {
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: handlerOptions(answerMs, maxConnections),
  };
}

/** As plain options, so that the handler's package is the SDK's own matter. */
function handlerOptions(answerMs: number, maxSockets: number): HandlerOptions {
  const agent = { keepAlive: true, maxSockets };
  return {
    connectionTimeout: CONNECT_MS,
    requestTimeout: answerMs,
    throwOnRequestTimeout: true, // without it the SDK only warns
    socketTimeout: Math.max(IDLE_MS, answerMs),
    httpAgent: agent,
    httpsAgent: agent,
  };
}
