/**
 * `npm run start:aws-local`: the whole system as on AWS, on this machine. Local servers of DynamoDB, SQS and S3 in memory, unless
 * AWS_ENDPOINT_URL names others; the Lambdas behind a local front door, in a process of their own; and senders, under the same
 * supervisor as ever, which is this process.
 */

import type { ChildProcess } from "node:child_process";
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

import { systemClock } from "#shared/runtime/system-clock.ts";
import { startSender } from "../start.ts";
import { stopSignals } from "../stop-signals.ts";
import type { FromFrontDoor } from "./front-door-protocol.ts";

/** The servers that the tests use. They are a process of their own because nothing here may depend on tests. */
const LOCAL_SERVERS = join(import.meta.dirname, "../../test/support/local-aws-process.ts");
const FRONT_DOOR = join(import.meta.dirname, "front-door-main.ts");
const WORKER = join(import.meta.dirname, "../worker-main.ts");
const DEFAULTS = {
  ZONEFLEET_DATA: "data/aws-local",
  ZONEFLEET_PROCESSES: "2",
  AWS_REGION: "us-east-1",
  AWS_ACCESS_KEY_ID: "test",
  AWS_SECRET_ACCESS_KEY: "test",
  POWERTOOLS_METRICS_DISABLED: "true", // CloudWatch reads them in the log, and here a person does
};

const say = (text: string): boolean => process.stderr.write(`${text}\n`);
const signals = stopSignals();
process.exit(await run());

async function run(): Promise<number> {
  for (const [name, value] of Object.entries(DEFAULTS)) process.env[name] ||= value;
  process.env["ZONEFLEET_BACKEND"] = "aws";
  process.env["ZONEFLEET_SECRET"] ||= pathToFileURL(
    resolve(process.env["ZONEFLEET_DATA"] ?? "", "secret.json"),
  ).href;
  await using servers = new AsyncDisposableStack();
  servers.use(await localServers());
  for (const [name, url] of Object.entries(process.env))
    if (name.startsWith("AWS_ENDPOINT_URL") && url) say(`${name}=${url}`);
  await using door = await frontDoor();
  if (door.ready.type !== "ready") {
    say(`zonefleet: ${door.ready.type === "failed" ? door.ready.message : "the front door did not start"}`);
    return 1;
  }
  const { address, port, apiKey } = door.ready;
  return await startSender({
    ...signals,
    env: process.env,
    cwd: process.cwd(),
    workerPath: WORKER,
    clock: systemClock,
    say,
    frontDoor: { address, port, apiKey },
  });
}

/** Those that the environment names, else in memory for as long as this process lives. */
async function localServers(): Promise<AsyncDisposable> {
  if (Object.keys(process.env).some((name) => /^AWS_ENDPOINT_URL(?:_|$)/.test(name) && process.env[name]))
    return { [Symbol.asyncDispose]: () => Promise.resolve() };
  const child = spawn(process.execPath, [LOCAL_SERVERS], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    ended.then(() => [null]),
  ]);
  if (typeof line !== "string")
    throw new Error("the local servers did not start: set AWS_ENDPOINT_URL to others");
  Object.assign(process.env, JSON.parse(line));
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

/** `ready` is what it said first about itself. */
async function frontDoor(): Promise<{ readonly ready: FromFrontDoor } & AsyncDisposable> {
  const child = fork(FRONT_DOOR, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const ended = once(child, "exit");
  const ready = await Promise.race([firstWord(child), ended.then(() => null)]);
  return {
    ready: ready ?? { type: "failed", message: "the front door did not start: the lines above say why" },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

function firstWord(child: ChildProcess): Promise<FromFrontDoor> {
  return new Promise((resolve) => {
    child.on("message", (message: FromFrontDoor) => {
      if (message.type !== "invocation") resolve(message);
    });
  });
}
