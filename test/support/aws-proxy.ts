/**
 * Stands between processes and the local AWS, one port for each service, and sees every request as it is on the wire: it counts
 * them, and a test may have it refuse, delay, lose or double some. So what is tested and measured are real processes with the real
 * SDK, whatever they are written in. It asks DynamoDB what each call has consumed, which no signature forbids here.
 */

import { once } from "node:events";
import { Agent, createServer, request as httpRequest } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

export type Service = "dynamo" | "sqs" | "s3";

export interface AwsRequest {
  readonly service: Service;
  /** `PutItem`, `SendMessageBatch`, `PutObject`. */
  readonly operation: string;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface AwsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * - `refuse` the service answers that it is out of order, or for DynamoDB that there were too many requests; nothing is done
 * - `lose` it is done, and the connection is cut before the answer · `cut` the connection is cut and nothing is done
 * - `delay` it is done later · `repeat` it is done once more after the answer
 */
export type Fault = { do: "refuse" | "lose" | "cut" | "repeat" } | { do: "delay"; ms: number };

/** Null: none of its business. The first that says something is obeyed. */
export type FaultRule = (request: AwsRequest) => Fault | null;

export interface AwsProxy extends AsyncDisposable {
  /** In place of the variables of the local AWS. */
  readonly env: Readonly<Record<string, string>>;
  /** Rules in force. */
  readonly rules: Set<FaultRule>;
  /** Told of each request that was answered by the service. */
  onAnswer: (request: AwsRequest, answer: AwsAnswer) => void;
}

const VARIABLES: Readonly<Record<Service, string>> = {
  dynamo: "AWS_ENDPOINT_URL_DYNAMODB",
  sqs: "AWS_ENDPOINT_URL_SQS",
  s3: "AWS_ENDPOINT_URL_S3",
};
const MAX_BODY_BYTES = 64 * 2 ** 20;
const ANSWER_MS = 60 * SECOND;

/** `env` is that of the local AWS behind it. */
export async function startAwsProxy(env: Readonly<Record<string, string>>): Promise<AwsProxy> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const rules = new Set<FaultRule>();
  const servers: Server[] = [];
  const urls: Record<string, string> = {};
  const proxy: AwsProxy = {
    env: urls,
    rules,
    onAnswer: () => undefined,
    async [Symbol.asyncDispose]() {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => once(server.close(), "close")));
      agent.destroy();
    },
  };
  for (const service of ["dynamo", "sqs", "s3"] as const) {
    const variable = VARIABLES[service];
    const target = new URL(env[variable] ?? env["AWS_ENDPOINT_URL"] ?? "");
    const pass = (request: AwsRequest, signal: AbortSignal) => forward(request, { target, agent, signal });
    const server = createServer((incoming, response) => {
      void serve({ service, proxy, pass }, incoming, response).catch(() => response.destroy());
    });
    server.keepAliveTimeout = ANSWER_MS; // a connection that closes while a request is on its way would be a fault of its own
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    servers.push(server);
    urls[variable] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  Object.assign(urls, Object.fromEntries(Object.entries(env).filter(([name]) => !name.includes("ENDPOINT"))));
  return proxy;
}

interface Door {
  readonly service: Service;
  readonly proxy: AwsProxy;
  readonly pass: (request: AwsRequest, signal: AbortSignal) => Promise<AwsAnswer>;
}

async function serve(
  { service, proxy, pass }: Door,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const request = await read(service, incoming);
  const gone = new AbortController(); // a client that has left takes no long poll's messages with it
  response.once("close", () => gone.abort());
  const fault = [...proxy.rules].map((rule) => rule(request)).find((found) => found !== null) ?? null;
  if (fault?.do === "delay") await systemClock.sleep(fault.ms, gone.signal);
  if (fault?.do === "cut") return void response.destroy();
  if (fault?.do === "refuse") return write(response, refusal(service));
  const answer = await pass(request, gone.signal);
  proxy.onAnswer(request, answer);
  if (fault?.do === "repeat") void pass(request, AbortSignal.timeout(ANSWER_MS)).catch(() => undefined);
  if (fault?.do === "lose") return void response.destroy();
  write(response, answer);
}

async function read(service: Service, incoming: IncomingMessage): Promise<AwsRequest> {
  const { method = "GET", url: path = "/", headers } = incoming;
  const body = await whole(incoming);
  const operation = operationOf(service, method, path, headers);
  return {
    service,
    operation,
    method,
    path,
    headers,
    body: service === "dynamo" ? askForCapacity(body) : body,
  };
}

function operationOf(service: Service, method: string, path: string, headers: IncomingHttpHeaders): string {
  if (service !== "s3") return String(headers["x-amz-target"]).split(".").at(-1) ?? "";
  const { pathname, searchParams } = new URL(path, "http://s3.local");
  if (searchParams.has("delete")) return "DeleteObjects";
  const isObject = pathname.split("/").filter(Boolean).length > 1;
  const kind = searchParams.has("uploadId") || searchParams.has("uploads") ? "Part" : "Object";
  return `${method.charAt(0)}${method.slice(1).toLowerCase()}${isObject ? kind : "Bucket"}`;
}

function askForCapacity(body: Buffer): Buffer {
  const input = JSON.parse(body.toString("utf8")) as Record<string, unknown>;
  return Buffer.from(JSON.stringify({ ...input, ReturnConsumedCapacity: "INDEXES" }));
}

async function whole(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error("too much for the proxy");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function forward(request: AwsRequest, to: ForwardOptions): Promise<AwsAnswer> {
  for (;;) {
    try {
      return await forwardOnce(request, to);
    } catch (error) {
      // The local server closed it while it was idle, a fault that no test asked for. Each time round one such connection is gone.
      if (!(error instanceof StaleConnectionError)) throw error;
    }
  }
}

class StaleConnectionError extends Error {}

interface ForwardOptions {
  readonly target: URL;
  readonly agent: Agent;
  readonly signal: AbortSignal;
}

function forwardOnce(
  { method, path, headers, body }: AwsRequest,
  { target, agent, signal }: ForwardOptions,
): Promise<AwsAnswer> {
  return new Promise((resolve, reject) => {
    const { "transfer-encoding": _, ...kept } = headers;
    const outgoing = httpRequest({
      host: target.hostname,
      port: target.port,
      method,
      path,
      headers: { ...kept, host: target.host, "content-length": body.length },
      agent,
      signal,
      timeout: ANSWER_MS,
    });
    outgoing.once("timeout", () => outgoing.destroy(new Error("no answer from the local server")));
    outgoing.once("error", (error: NodeJS.ErrnoException) => {
      const isStale = outgoing.reusedSocket && error.code === "ECONNRESET";
      reject(isStale ? new StaleConnectionError("closed while it was idle", { cause: error }) : error);
    });
    outgoing.once("response", (response) => {
      whole(response).then(
        (answered) =>
          resolve({ status: response.statusCode ?? 502, headers: response.headers, body: answered }),
        reject,
      );
    });
    outgoing.end(body);
  });
}

function write(response: ServerResponse, { status, headers, body }: AwsAnswer): void {
  const { "transfer-encoding": _, connection: __, "content-length": ___, ...kept } = headers;
  const isHead = response.req.method === "HEAD";
  response.writeHead(status, {
    ...kept,
    "content-length": isHead ? (headers["content-length"] ?? 0) : body.length,
  });
  response.end(isHead ? undefined : body);
}

function refusal(service: Service): AwsAnswer {
  if (service === "s3") {
    const xml = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    return { status: 503, headers: { "content-type": "application/xml" }, body: Buffer.from(xml) };
  }
  const [status, type] =
    service === "dynamo"
      ? [400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"]
      : [503, "com.amazonaws.sqs#ServiceUnavailable"];
  const json = JSON.stringify({ __type: type, message: "refused by the test" });
  return { status, headers: { "content-type": "application/x-amz-json-1.0" }, body: Buffer.from(json) };
}
