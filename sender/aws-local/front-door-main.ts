/**
 * The serverless half of the system as one process: API Gateway and its Lambdas on a local port, the schedules, and the table's
 * stream with its readers. Forked by main.ts, or by whoever measures; it says what it does over the channel, and ends with it.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { DynamoDBBatchResponse } from "aws-lambda";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { loadConfig } from "#shared/runtime/config.ts";
import { createLog } from "#shared/runtime/log.ts";

import type { LambdaName } from "../../lambdas/build.ts";
import { uploadAdvice } from "../../lambdas/http.ts";
import { startApiServer } from "../api-server.ts";
import { repeat } from "../repeat.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { FromFrontDoor } from "./front-door-protocol.ts";
import { loadLambdas, MAX_GATEWAY_BYTES } from "./lambdas.ts";
import { readTableStream } from "./table-stream.ts";
import { isForReader, makeInstallation, STREAM_READERS } from "./wire.ts";
import type { StreamReader } from "./wire.ts";

/** As the stacks schedule them. */
const SWEEP_MS = MINUTE;
const REPORT_AGAIN_MS = MINUTE;
const NOTIFY_AGAIN_MS = MINUTE;
const DRAIN_MS = 5 * SECOND;

const clock = systemClock;
const stop = new AbortController();
process.on("SIGINT", () => undefined); // Ctrl-C goes to all; main.ts says what follows from it
process.once("disconnect", () => stop.abort());
try {
  await run();
} catch (error) {
  say({ type: "failed", message: error instanceof Error ? error.message : String(error) });
  process.exitCode = 1;
}
process.exit();

async function run(): Promise<void> {
  const { aws, config, logLevel } = await loadConfig({ env: process.env, cwd: process.cwd() });
  if (aws === null) throw new Error("the front door on AWS is for ZONEFLEET_BACKEND=aws");
  const log = createLog({ level: logLevel }).child({ component: "aws-local" });
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-lambdas-"));
  try {
    const { dynamoUrl, apiKey } = await makeInstallation({ aws, config, clock, env: process.env });
    const onInvocation = (name: string, durationMs: number): void =>
      say({ type: "invocation", name, durationMs });
    const lambdas = await loadLambdas({ config, folder, clock, onInvocation });
    const server = await startApiServer({
      config: { ...config.api, maxSize: MAX_GATEWAY_BYTES },
      advice: uploadAdvice(config.api.maxSize),
      handlers: lambdas.api,
      pluginRoutes: lambdas.pluginRoutes,
      log,
      clock,
      reusePort: false,
    });
    const failed = (what: string) => (error: unknown) => log.error({ err: error }, what);
    const scheduled = (name: LambdaName, everyMs: number): Promise<void> =>
      repeat(
        clock,
        everyMs,
        stop.signal,
        async () => void (await lambdas.invoke(name, {})),
        failed(`${name} failed`),
      );
    const streamed = (name: StreamReader): Promise<void> =>
      readTableStream({
        batchSize: STREAM_READERS[name].batchSize,
        isWanted: (record) => isForReader(STREAM_READERS[name], record),
        endpoint: dynamoUrl,
        env: process.env,
        table: aws.table,
        clock,
        stop: stop.signal,
        async consume(Records) {
          const answer = (await lambdas.invoke(name, { Records })) as DynamoDBBatchResponse;
          return answer.batchItemFailures[0]?.itemIdentifier ?? null;
        },
        onError: failed("stream not read"),
      });
    const tellsReceivers = config.receivers.length > 0;
    const background = Promise.all([
      scheduled("sweep", SWEEP_MS),
      streamed("events"),
      scheduled("report-again", REPORT_AGAIN_MS),
      tellsReceivers ? streamed("notify") : null,
      tellsReceivers ? scheduled("notify-again", NOTIFY_AGAIN_MS) : null,
    ]);
    say({ type: "ready", address: server.address, port: server.port, apiKey });
    await background;
    await server.drain(DRAIN_MS);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function say(message: FromFrontDoor): void {
  if (process.connected) process.send?.(message);
}
