/**
 * The local front door of the HTTP API: node:http in place of API Gateway. It finds the route, makes the event that API Gateway
 * would make, calls the same handler and writes its answer. No rule of the API lives here.
 *
 * Bodies stream both ways. A client that is too slow, sends too much or speaks no HTTP is answered and cut off.
 */

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { Server as NetServer } from "node:net";
import { pipeline } from "node:stream/promises";

import type { Context } from "aws-lambda";
import type { Logger } from "pino";

import { matchRoute } from "#shared/app/match-route.ts";
import type { RouteName } from "#shared/app/routes.ts";
import { routes } from "#shared/app/routes.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { ApiConfig } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { MIB, MINUTE, SECOND } from "#shared/domain/units.ts";
import { PLUGIN_PATH } from "#shared/plugins/routes.ts";

import { answerBrokenRequest, MAX_HEADER_BYTES } from "./broken-request.ts";
import { listenOn } from "./listening-socket.ts";
import type { ListeningSocket } from "./listening-socket.ts";
import type { ApiHandlers } from "../lambdas/api.ts";
import type { ApiEvent, ApiHandler, ApiResult } from "../lambdas/http.ts";
import { requestStream, responseStream, tooLarge } from "../lambdas/http.ts";
import { HttpError } from "../lambdas/http-error.ts";
import { errorResult, isFault } from "../lambdas/middleware/errors.ts";

export interface ApiServerOptions {
  readonly config: Pick<ApiConfig, "host" | "port" | "maxSize">;
  /** What to do with a request that is larger; left out: there is nothing. */
  readonly advice?: string;
  readonly handlers: ApiHandlers;
  /** Of all paths under `/plugin/`; left out: there are none. */
  readonly pluginRoutes?: ApiHandler | null;
  readonly log: Logger;
  readonly clock: Clock;
  /** Several processes listen on one port, and the kernel shares connections among them. */
  readonly reusePort: boolean;
  /** Listen on this one; left out: on one of its own. */
  readonly socket?: ListeningSocket | undefined;
}

export interface ApiServer {
  readonly address: string;
  readonly port: number;
  readonly server: Server;
  /** Stop listening and let connections come to their own end: each after its next answer, or when it is idle for too long. */
  retire(): Promise<void>;
  /** Stop listening and let requests in flight finish; what is left after `graceMs` is cut. */
  drain(graceMs: number): Promise<void>;
  /** Cut everything now. */
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 20 * SECOND;
/** From the first byte of a request to its last. */
const REQUEST_TIMEOUT_MS = 10 * MINUTE;
/** Time without a byte either way. */
const IDLE_TIMEOUT_MS = MINUTE;
const KEEP_ALIVE_MS = 30 * SECOND;
const MAX_CONNECTIONS = 2_000;
/** JSON bodies are held whole while they are worked on: all of one process together, or what two of the largest need. */
const MAX_HELD_BYTES = 64 * MIB;
/** What is read and thrown away of a body that was refused, so that the client gets to read why. */
const LINGER_BYTES = 2 * MIB;
const LINGER_MS = 2 * SECOND;

/** Rejects when it cannot listen there. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { config, clock } = options;
  const server = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true,
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(IDLE_TIMEOUT_MS);
  const held = heldBytes(Math.max(MAX_HELD_BYTES, 2 * config.maxSize));
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    void serveRequest({ ...options, server, held }, request, response);
  };
  server.on("request", serve);
  server.on("checkContinue", serve); // whoever asks first may send only once his key and his length are looked at
  server.on("clientError", answerBrokenRequest);
  const { address, port } = await listenOn(server, config, options);
  let stopped: Promise<void> | null = null;
  const retire = (): Promise<void> => (stopped ??= stopListening(server));
  const stop = (): Promise<void> => {
    const closed = retire();
    server.close(); // ends idle connections
    return closed;
  };
  return {
    address,
    port,
    server,
    retire,
    async drain(graceMs) {
      const closed = stop();
      const done = new AbortController();
      await Promise.race([closed, clock.sleep(graceMs, done.signal)]);
      done.abort();
      server.closeAllConnections();
      await closed;
    },
    async close() {
      const closed = stop();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Resolves when the last connection has ended. */
async function stopListening(server: Server): Promise<void> {
  const closed = once(server, "close");
  NetServer.prototype.close.call(server); // close of an HTTP server ends idle connections, whose next request may be on its way
  await closed;
}

interface ServeDeps extends ApiServerOptions {
  readonly server: Server;
  readonly held: HeldBytes;
}

interface RequestDeps extends ServeDeps {
  readonly requestId: string;
  readonly progress: Progress;
}

/** How far a request has come. */
interface Progress {
  heldBytes: number;
  /** True: the client sends its body without being asked to, or has been asked (RFC 9110 §10.1.1). */
  invited: boolean;
}

/** The bytes of bodies that are held in memory now. */
interface HeldBytes {
  /** False: there is no room, and nothing was taken. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

function heldBytes(max: number): HeldBytes {
  let held = 0;
  return {
    take(bytes) {
      if (held + bytes > max) return false;
      held += bytes;
      return true;
    },
    giveBack(bytes) {
      held -= bytes;
    },
  };
}

/** Never rejects: whatever goes wrong is answered, or the connection is cut. */
async function serveRequest(
  deps: ServeDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const requestId = randomUUID();
  response.setHeader("x-request-id", requestId);
  try {
    const progress = { heldBytes: 0, invited: request.headers.expect === undefined };
    const result = await resultOf({ ...deps, requestId, progress }, request, response);
    if (!deps.server.listening) response.setHeader("connection", "close"); // draining
    await writeResult({ ...deps, requestId, progress }, request, response, result);
  } catch (error) {
    if (!request.socket.destroyed)
      deps.log.error({ component: "api", requestId, err: error }, "answer failed");
    response.destroy();
  }
}

async function resultOf(
  deps: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<ApiResult> {
  const { requestId, progress } = deps;
  const { path, query } = splitUrl(request.url ?? "/");
  try {
    const handler = deps.pluginRoutes ?? null;
    if (handler !== null && path.startsWith(PLUGIN_PATH)) {
      const facts = {
        requestId,
        now: deps.clock.now(),
        routeKey: `ANY ${PLUGIN_PATH}`,
        path,
        query,
        params: {},
      };
      const body = holding(bodyOf(request, response, progress), deps.held, progress);
      return await handler(eventOf(request, { ...facts, body }), {} as Context);
    }
    const { name, params } = findRoute(request.method ?? "GET", path);
    if (Number(request.headers["content-length"] ?? 0) > deps.config.maxSize)
      throw tooLarge(deps.config.maxSize, deps.advice);
    const sent = bodyOf(request, response, progress);
    const body = routes[name].body?.schema ? holding(sent, deps.held, progress) : sent;
    const routeKey = `${routes[name].method} ${routes[name].path}`;
    const event = eventOf(request, { requestId, now: deps.clock.now(), routeKey, path, query, params, body });
    return await deps.handlers[name](event, {} as Context);
  } catch (error) {
    // the handlers catch their own: this is of the routing above
    if (isFault(error)) deps.log.error({ component: "api", requestId, err: error }, "request failed");
    return errorResult(error, "internal");
  } finally {
    deps.held.giveBack(progress.heldBytes);
  }
}

/** The same chunks, counted as held until the request is answered. */
async function* holding(
  body: AsyncIterable<Buffer>,
  held: HeldBytes,
  progress: Progress,
): AsyncIterable<Buffer> {
  for await (const chunk of body) {
    if (!held.take(chunk.length)) {
      const text = "too much is being taken in at once; try again in a few seconds";
      throw new HttpError(503, "overloaded", text, { "retry-after": "5" });
    }
    progress.heldBytes += chunk.length;
    yield chunk;
  }
}

function splitUrl(url: string): { path: string; query: string } {
  const absolute = /^https?:\/\/[^/?]*/i.exec(url)?.[0].length ?? 0; // RFC 9112 §3.2.2: servers take the absolute form too
  const target = url.slice(absolute);
  const at = target.indexOf("?");
  return at === -1
    ? { path: target || "/", query: "" }
    : { path: target.slice(0, at) || "/", query: target.slice(at + 1) };
}

function findRoute(method: string, path: string): { name: RouteName; params: Record<string, string> } {
  const match = matchRoute(method, path);
  switch (match.kind) {
    case "found":
      return match;
    case "method": {
      const allow = match.allow.join(", ");
      throw new HttpError(405, "method-not-allowed", `this path is for ${allow} only`, { allow });
    }
    case "missing":
      throw new HttpError(
        404,
        "not-found",
        "there is nothing at this path; GET /openapi.json lists what there is",
      );
    case "malformed":
      throw new HttpError(400, "invalid-request", "the path has a percent-escape that is none");
  }
}

/** The body as it comes in, asked for only when it is read. Ends with an error when the client goes away. */
async function* bodyOf(
  request: IncomingMessage,
  response: ServerResponse,
  progress: Progress,
): AsyncIterable<Buffer> {
  if (!progress.invited) response.writeContinue();
  progress.invited = true;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
  } catch (error) {
    throw new DomainError("incomplete-message", `the body did not come whole: ${(error as Error).message}`);
  }
}

interface EventFacts {
  readonly requestId: string;
  readonly now: EpochMs;
  readonly routeKey: string;
  readonly path: string;
  readonly query: string;
  readonly params: Record<string, string>;
  readonly body: AsyncIterable<Buffer>;
}

/** The event that API Gateway makes of a request (HTTP API, payload 2.0). */
function eventOf(request: IncomingMessage, facts: EventFacts): ApiEvent {
  const { requestId, now, routeKey, path, query, params, body } = facts;
  return {
    version: "2.0",
    routeKey,
    rawPath: path,
    rawQueryString: query,
    headers: joinedHeaders(request),
    pathParameters: params,
    isBase64Encoded: false,
    [requestStream]: body,
    requestContext: {
      accountId: "",
      apiId: "local",
      domainName: request.headers.host ?? "",
      domainPrefix: "",
      http: {
        method: request.method ?? "GET",
        path,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp: request.socket.remoteAddress ?? "",
        userAgent: request.headers["user-agent"] ?? "",
      },
      requestId,
      routeKey,
      stage: "$default",
      time: new Date(now).toISOString(),
      timeEpoch: now,
    },
  };
}

/** Lower-case names; a header that came more than once is one, joined by commas. */
function joinedHeaders(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headersDistinct).map(([name, values]) => [name, (values ?? []).join(",")]),
  );
}

async function writeResult(
  deps: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
  result: ApiResult,
): Promise<void> {
  const { statusCode, headers, body = "", isBase64Encoded } = result;
  const stream = result[responseStream];
  const bytes = Buffer.from(body, isBase64Encoded === true ? "base64" : "utf8");
  const early = !request.complete && !hasNoBody(request);
  if (early) response.setHeader("connection", "close");
  response.writeHead(statusCode, stream ? headers : { ...headers, "content-length": bytes.length });
  if (request.method === "HEAD") response.end();
  else if (stream) await pipeline(stream, response);
  else if (early) await answerEarly(deps, request, response, bytes);
  else response.end(bytes);
}

function hasNoBody(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  return coding === undefined && (length === undefined || length === "0");
}

/**
 * Answer a request whose body was not read to its end. Were the connection closed at once, the kernel would tell the client of
 * the unread bytes with a reset, and the answer would be lost: so the answer goes out, some more is read, then it is closed.
 */
async function answerEarly(
  { clock, progress }: RequestDeps,
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
): Promise<void> {
  if (!progress.invited) {
    response.end(bytes); // nothing is on its way
    return;
  }
  response.write(bytes);
  const enough = new AbortController();
  let left = LINGER_BYTES;
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left <= 0) enough.abort();
  });
  for (const event of ["end", "close", "error"]) request.on(event, () => enough.abort());
  request.resume();
  if (!request.complete && !request.destroyed) await clock.sleep(LINGER_MS, enough.signal);
  response.end();
  if (!request.complete) request.socket.destroySoon();
}
