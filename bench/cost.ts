/**
 * `npm run bench -- cost`: what a mail costs on AWS, counted at the wire. The whole system runs as on AWS against local servers, with
 * a proxy between that counts every request as it would be paid for: Lambdas behind the front door, two sender processes.
 */

import type { ChildProcess } from "node:child_process";
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { FromFrontDoor } from "../sender/aws-local/front-door-protocol.ts";
import { startAwsProxy } from "../test/support/aws-proxy.ts";
import { localAws, noLocalAws } from "../test/support/local-aws.ts";
import { ask, nextMessage, pause } from "./relay.ts";
import type { SourceJob } from "./source.ts";
import { sampleMail } from "./source.ts";
import { freePort, waitForGreeting } from "./systems.ts";
import { counter } from "./tally.ts";
import type { Tally } from "./tally.ts";

export interface CostOptions {
  readonly messages: number;
  readonly bytes: number;
  readonly processes: number;
  /** Connections or requests at once that hand in mail. */
  readonly sessions: number;
}

export interface Cost {
  readonly door: "HTTP" | "SMTP";
  readonly messages: number;
  readonly tally: Tally;
  /** By name. */
  readonly lambdas: ReadonlyMap<string, Invoked>;
  readonly httpRequests: number;
  readonly seconds: number;
}

interface Invoked {
  readonly count: number;
  /** All of them together. */
  readonly ms: number;
}

type Prices = Readonly<Record<string, number>> & { readonly date: string; readonly region: string };

const ROOT = join(import.meta.dirname, "..");
const WARM_UP_MESSAGES = 100;
/** Sent one after the other: a Lambda that answers requests works on one at a time, and its duration is paid for. */
const TIMED_MESSAGES = 50;
const TIMEOUT_MS = 180_000;
/** What is written behind the last delivery belongs to it. */
const QUIET_MS = 2_000;

/** Why it cannot be measured here; false: it can. */
export const noCost = noLocalAws;

export async function measureCost(options: CostOptions, say: (line: string) => void): Promise<Cost[]> {
  await using aws = await localAws();
  await using proxy = await startAwsProxy(aws.env);
  await using system = await startWhole(options, proxy.env);
  const counted = counter();
  proxy.onAnswer = (request, answer) => counted.count(request, answer);
  const costs: Cost[] = [];
  for (const door of ["SMTP", "HTTP"] as const) {
    await system.send(door, WARM_UP_MESSAGES);
    await pause(QUIET_MS);
    counted.reset();
    const before = new Map(system.invoked);
    const startedAt = Date.now();
    await system.send(door, options.messages);
    const seconds = (Date.now() - startedAt) / 1_000;
    await pause(QUIET_MS);
    const tally = counted.tally();
    const atLoad = since(before, system.invoked);
    const cost = {
      door,
      messages: options.messages,
      tally,
      lambdas: await withTimesAlone(system, door, atLoad),
      httpRequests: door === "HTTP" ? options.messages : 0,
      seconds,
    };
    costs.push(cost);
    for (const line of printCost(cost, await readPrices())) say(line);
  }
  return costs;
}

function since(
  before: ReadonlyMap<string, Invoked>,
  now: ReadonlyMap<string, Invoked>,
): Map<string, Invoked> {
  return new Map(
    [...now].map(([name, { count, ms }]) => {
      const { count: had, ms: hadMs } = before.get(name) ?? { count: 0, ms: 0 };
      return [name, { count: count - had, ms: ms - hadMs }];
    }),
  );
}

/**
 * Those that answer requests take as long as they do one at a time; under load all of them share the process here. Who reads the
 * stream is taken as it was, for how much it is given at once is a matter of the load: on AWS it is faster.
 */
async function withTimesAlone(
  system: WholeSystem,
  door: "HTTP" | "SMTP",
  atLoad: ReadonlyMap<string, Invoked>,
): Promise<Map<string, Invoked>> {
  const before = new Map(system.invoked);
  await system.send(door, TIMED_MESSAGES, 1);
  const alone = since(before, system.invoked);
  return new Map(
    [...atLoad].map(([name, { count, ms }]) => {
      const one = alone.get(name);
      return [name, name === "send" && one ? { count, ms: (count * one.ms) / one.count } : { count, ms }];
    }),
  );
}

async function readPrices(): Promise<Prices> {
  return JSON.parse(await readFile(join(import.meta.dirname, "prices.json"), "utf8")) as Prices;
}

function printCost(cost: Cost, prices: Prices): string[] {
  const { door, messages, tally, lambdas, seconds } = cost;
  const each = (count: number, digits = 2): string => (count / messages).toFixed(digits);
  const calls = [...tally.calls].toSorted((a, b) => b[1] - a[1]);
  const all = calls.reduce((sum, [, count]) => sum + count, 0);
  const dollars = dollarsPerMillion(cost, prices);
  const total = Object.values(dollars).reduce((sum, part) => sum + part, 0);
  return [
    "",
    `${door}: ${messages} mails of one recipient in ${seconds.toFixed(1)} s, for each of them`,
    `  write units        ${each(tally.writeUnits)}   (target 5)`,
    `  read units         ${each(tally.readUnits)}`,
    `  S3 PUT             ${each(tally.s3Puts)}   (target 1)`,
    `  S3 GET             ${each(tally.s3Gets)}   (target 1)`,
    `  SQS requests       ${each(tally.sqsRequests)}   (target 0.5)`,
    `  AWS calls          ${each(all)}   ${door === "SMTP" ? "(target 3 at load)" : ""}`,
    ...calls.map(([name, count]) => `    ${name.padEnd(30)} ${each(count, 3)}`),
    ...[...lambdas]
      .filter(([, { count }]) => count > 0)
      .map(
        ([name, { count, ms }]) =>
          `  Lambda ${name.padEnd(11)} ${each(count, 3)}   of ${(ms / count).toFixed(1)} ms on this machine`,
      ),
    `  US$ per million    ${total.toFixed(2)}   at list prices of ${prices.date}, ${prices.region}`,
    ...Object.entries(dollars).map(([name, part]) => `    ${name.padEnd(30)} ${part.toFixed(2)}`),
  ];
}

function dollarsPerMillion(cost: Cost, prices: Prices): Record<string, number> {
  const { tally, messages, lambdas, httpRequests } = cost;
  const price = (name: string): number => {
    const value = prices[name];
    if (value === undefined) throw new Error(`no price ${name}`);
    return value;
  };
  const perMillion = (count: number, name: string): number => (count / messages) * price(name);
  const invoked = [...lambdas.values()];
  const invocations = invoked.reduce((sum, { count }) => sum + count, 0);
  const gbSeconds = (invoked.reduce((sum, { ms }) => sum + ms, 0) / 1_000) * price("lambdaGb");
  return {
    DynamoDB:
      perMillion(tally.writeUnits, "dynamoDbWriteUnitsPerMillion") +
      perMillion(tally.readUnits, "dynamoDbReadUnitsPerMillion"),
    S3: perMillion(tally.s3Puts, "s3PutsPerMillion") + perMillion(tally.s3Gets, "s3GetsPerMillion"),
    SQS:
      perMillion(tally.sqsRequests, "sqsRequestsPerMillion") +
      perMillion(tally.sqsGrouped, "sqsGroupedRequestsPerMillionMore"),
    Lambda:
      perMillion(invocations, "lambdaInvocationsPerMillion") +
      (gbSeconds / messages) * 1_000_000 * price("lambdaGbSecond"),
    "API Gateway": perMillion(httpRequests, "httpApiRequestsPerMillion"),
  };
}

interface WholeSystem extends AsyncDisposable {
  readonly invoked: ReadonlyMap<string, Invoked>;
  /** Resolves when all are delivered. */
  send(door: "HTTP" | "SMTP", messages: number, atOnce?: number): Promise<void>;
}

async function startWhole(
  { bytes, processes, sessions }: CostOptions,
  env: Readonly<Record<string, string>>,
): Promise<WholeSystem> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-cost-"));
  const sink = fork(join(import.meta.dirname, "sink.ts"));
  const { port: sinkPort } = (await nextMessage(sink)) as { port: number };
  const [smtpPort, httpPort] = [await freePort(), await freePort()];
  const config = join(folder, "zonefleet.config.json");
  await writeFile(config, JSON.stringify(configOf({ smtpPort, httpPort, sinkPort })));
  const childEnv = {
    ...process.env,
    ...env,
    ZONEFLEET_BACKEND: "aws",
    ZONEFLEET_CONFIG: config,
    ZONEFLEET_DATA: join(folder, "data"),
    ZONEFLEET_PROCESSES: String(processes),
    LOG_LEVEL: "warn",
  };
  const invoked = new Map<string, Invoked>();
  const door = fork(join(ROOT, "sender/aws-local/front-door-main.ts"), {
    cwd: ROOT,
    env: childEnv,
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const ready = await frontDoorReady(door, invoked);
  const sender = spawn(process.execPath, ["sender/main.ts"], {
    cwd: ROOT,
    env: childEnv,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = once(sender, "exit");
  await waitForGreeting(
    smtpPort,
    ended.then(() => undefined),
  );
  const mail = sampleMail(bytes);
  const submit = {
    SMTP: (messages: number, atOnce: number) =>
      sendBySmtp({
        port: smtpPort,
        messages,
        bytes,
        sessions: atOnce,
        reuse: true,
        recipient: RECIPIENT,
      }),
    HTTP: (messages: number, atOnce: number) =>
      sendByHttp(`http://127.0.0.1:${httpPort}`, ready.apiKey, { mail, messages, atOnce }),
  };
  return {
    invoked,
    async send(kind, messages, atOnce = sessions) {
      await ask(sink, "reset");
      await submit[kind](messages, atOnce);
      await delivered(sink, messages);
    },
    async [Symbol.asyncDispose]() {
      sender.kill("SIGTERM");
      await ended;
      door.disconnect();
      await once(door, "exit");
      sink.disconnect();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const RECIPIENT = "someone@receiver.example";

function configOf({ smtpPort, httpPort, sinkPort }: Record<"smtpPort" | "httpPort" | "sinkPort", number>) {
  return {
    smtpInterfaces: { feeder: { host: "127.0.0.1", port: smtpPort } },
    api: { enabled: false, host: "127.0.0.1", port: httpPort },
    zones: {
      default: {
        host: "127.0.0.1",
        port: sinkPort,
        connections: 50,
        connectionCache: { ttl: 5, reuseCount: 1_000_000 },
      },
    },
    dns: { blockLocalAddresses: false },
  };
}

async function frontDoorReady(
  child: ChildProcess,
  invoked: Map<string, Invoked>,
): Promise<Extract<FromFrontDoor, { type: "ready" }>> {
  return await new Promise((resolve, reject) => {
    child.once("exit", () => reject(new Error("the front door ended")));
    child.on("message", (said: FromFrontDoor) => {
      if (said.type === "ready") resolve(said);
      if (said.type === "failed") reject(new Error(said.message));
      if (said.type !== "invocation") return;
      const { count, ms } = invoked.get(said.name) ?? { count: 0, ms: 0 };
      invoked.set(said.name, { count: count + 1, ms: ms + said.durationMs });
    });
  });
}

async function sendBySmtp(job: SourceJob): Promise<void> {
  const source = fork(join(import.meta.dirname, "source.ts"));
  source.send(job);
  const report = (await nextMessage(source)) as { error?: string };
  source.disconnect();
  if (report.error !== undefined) throw new Error(report.error);
}

async function sendByHttp(
  url: string,
  key: string,
  { mail, messages, atOnce }: { mail: Buffer; messages: number; atOnce: number },
): Promise<void> {
  let left = messages;
  const query = new URLSearchParams({ from: "bench@sender.example", to: RECIPIENT });
  const client = async (): Promise<void> => {
    while (left-- > 0) {
      const response = await fetch(`${url}/send-raw?${query.toString()}`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "message/rfc822" },
        body: new Uint8Array(mail),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${response.status} ${text}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
}

async function delivered(sink: ChildProcess, messages: number): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    const { received } = await ask(sink, "report");
    if (received >= messages) return;
    if (Date.now() > deadline) throw new Error(`only ${received} of ${messages} mails were delivered`);
    await pause(50);
  }
}
