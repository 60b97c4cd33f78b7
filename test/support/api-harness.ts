/** The HTTP API on a free port of 127.0.0.1, over a real embedded backend in a folder of its own. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import pino from "pino";

import type { Submit } from "#shared/app/submission.ts";
import { submitter } from "#shared/app/submit.ts";
import type { ApiConfig, Config } from "#shared/domain/config.ts";
import { messageIds } from "#shared/domain/ids.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { openEmbedded } from "#shared/embedded/open.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ApiHandlers } from "../../lambdas/api.ts";
import { apiHandlers } from "../../lambdas/api.ts";
import type { ApiServer } from "../../sender/api-server.ts";
import { startApiServer } from "../../sender/api-server.ts";
import { silentObserver } from "./silent-observer.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Null: the body is no JSON. */
  readonly json: any; // eslint-disable-line -- tests look into it as they like
}

export interface AskOptions {
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Strings and bytes go as they are, anything else as JSON. */
  readonly body?: unknown;
}

export interface ApiHarness extends AsyncDisposable {
  readonly config: Config;
  readonly backend: Backend;
  readonly handlers: ApiHandlers;
  readonly server: ApiServer;
  readonly url: string;
  /** Lines of the log from `info` up. */
  readonly logged: Record<string, unknown>[];
  ask(method: string, path: string, options?: AskOptions): Promise<Answer>;
  /** Content of the stored message. */
  stored(id: string): Promise<string>;
}

export interface HarnessOptions {
  readonly config?: object;
  readonly api?: Partial<ApiConfig>;
  /** In place of the real use case. */
  readonly submit?: Submit;
}

export async function startApi(options: HarnessOptions = {}): Promise<ApiHarness> {
  const dataDir = await mkdtemp(join(tmpdir(), "zonefleet-api-"));
  const backend = await openEmbedded({ dataDir, clock: systemClock });
  const parsed = parseConfig(options.config ?? {}, { source: null, baseDir: dataDir });
  const config = { ...parsed, api: { ...parsed.api, host: "127.0.0.1", port: 0, ...options.api } };
  const logged: Record<string, unknown>[] = [];
  const log = pino(
    { level: "info" },
    { write: (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const handlers = apiHandlers({
    config,
    backend,
    submit: options.submit ?? realSubmit(config, backend),
    metrics: () => Promise.resolve({ contentType: "text/plain; version=0.0.4", text: "up 1\n" }),
    clock: systemClock,
    log,
  });
  const server = await startApiServer({
    config: config.api,
    handlers,
    log,
    clock: systemClock,
    reusePort: false,
  });
  const ask: ApiHarness["ask"] = (method, path, asked) => askServer(server.port, method, path, asked);
  return {
    config,
    backend,
    handlers,
    server,
    logged,
    url: `http://127.0.0.1:${server.port}`,
    ask,
    stored: async (id) => (await ask("GET", `/fetch/${id}`)).text,
    async [Symbol.asyncDispose]() {
      await server.close();
      await backend.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export function realSubmit(
  config: Config,
  { bodies, queue, suppressions, secrets, sealing }: Backend,
): Submit {
  const newMessageId = messageIds(() => systemClock.now(), randomBytes);
  return submitter({
    config,
    bodies,
    queue,
    suppressions,
    secrets,
    sealing,
    clock: systemClock,
    newMessageId,
    plugins: null,
    observer: silentObserver,
  });
}

/** A connection of its own for each request, so that no test sees what another left behind. */
export function askServer(
  port: number,
  method: string,
  path: string,
  options: AskOptions = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { body } = options;
  const bytes =
    body === undefined
      ? null
      : typeof body === "string" || Buffer.isBuffer(body)
        ? body
        : JSON.stringify(body);
  const type = typeof bytes === "string" && bytes !== body ? { "content-type": "application/json" } : {};
  const chunked = options.headers?.["transfer-encoding"] !== undefined;
  const length = bytes === null || chunked ? {} : { "content-length": Buffer.byteLength(bytes) };
  const sent = request({
    port,
    host: "127.0.0.1",
    method,
    path,
    agent: false,
    headers: { ...type, ...length, ...options.headers },
  });
  sent.on("error", reject);
  sent.on("response", (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", reject);
    response.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parsed(text) });
    });
  });
  sent.end(bytes ?? undefined);
  return promise;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
