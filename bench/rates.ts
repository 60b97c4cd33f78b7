/**
 * `npm run bench -- rates`: what a receiver sees of a throttle, by its own clock: the share of the rate that is used while there is a
 * backlog, and the most in any one period, counted at MAIL and at the final dot.
 */

import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import nodemailer from "nodemailer";

import { bootstrapAws } from "#shared/aws/bootstrap.ts";
import { DEFAULT_VISIBILITY_MS } from "#shared/aws/storage-terms.ts";
import { parseThrottle } from "#shared/domain/throttle.ts";
import type { Rate } from "#shared/domain/throttle.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import { freePorts, stopProcess } from "#shared/runtime/local-process.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { localAws } from "../test/support/local-aws.ts";
import type { RatesReport } from "./rates-receiver.ts";

export interface RatesOptions {
  /** As in the configuration, such as `20/second`. */
  readonly throttling: string;
  readonly of: "zone" | "domain" | "site";
  /** `aws`: on local servers that stand in for it, where each process is a sender of its own. */
  readonly on: "machine" | "aws";
  readonly processes: number;
  /** The receiver answers each command so much later. */
  readonly delayMs: number;
  readonly seconds: number;
}

export interface RatesResult {
  /** Of what the rate allows in the time. */
  readonly usedPercent: number;
  readonly limit: number;
  readonly mostBegun: number;
  readonly mostWhole: number;
  /** Mails that came with as many as the rate allows before them in one period: begun, or whole. */
  readonly tooMany: number;
}

const CONNECTIONS = 60;
const SESSIONS_IN = 10;
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 40_000;
const POLL_MS = 500;
const RECEIVER = join(import.meta.dirname, "rates-receiver.ts");

export async function measureRates(options: RatesOptions): Promise<RatesResult> {
  const rate = parseThrottle(options.throttling);
  if (!rate) throw new Error(`not a rate: ${options.throttling}`);
  const receiver = fork(RECEIVER, [String(options.delayMs)]);
  const [{ port }] = (await once(receiver, "message")) as [{ port: number }];
  await using started = new AsyncDisposableStack();
  started.defer(() => void receiver.kill());
  const env = options.on === "aws" ? await awsFor(started) : {};
  const senders = options.on === "aws" ? options.processes : 1;
  const doors = await freePorts(senders);
  await Promise.all(doors.map((door) => startSender(started, { door, receiver: port, env, options })));
  const forMs = options.seconds * 1_000;
  await submitAll(doors, Math.ceil((rate.count / rate.perMs) * forMs * 1.1) + 20);
  return resultOf(await reportAfter(receiver, forMs), rate, forMs);
}

/** A new installation, and what leads a sender to it. */
async function awsFor(started: AsyncDisposableStack): Promise<Readonly<Record<string, string>>> {
  const { clients, newNames, env } = started.use(await localAws());
  const names = newNames();
  const zones = ["default", "bounces"] as ZoneName[];
  await bootstrapAws({ clients, names, zones, visibilityMs: DEFAULT_VISIBILITY_MS, stream: false });
  return {
    ...env,
    ZONEFLEET_BACKEND: "aws",
    ZONEFLEET_TABLE: names.table,
    ZONEFLEET_BUCKET: names.bucket,
    ZONEFLEET_QUEUE_PREFIX: names.queuePrefix,
  };
}

interface SenderOptions {
  readonly door: number;
  readonly receiver: number;
  readonly env: Readonly<Record<string, string>>;
  readonly options: RatesOptions;
}

async function startSender(
  started: AsyncDisposableStack,
  { door, receiver, env, options: { throttling, of, on, processes } }: SenderOptions,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-rates-"));
  started.defer(() => rm(folder, { recursive: true, force: true }));
  const config = join(folder, "zonefleet.config.json");
  const limited = { domain: "one.example", site: "localhost", zone: "none.example" }[of];
  await writeFile(
    config,
    JSON.stringify({
      smtpInterfaces: { feeder: { host: "127.0.0.1", port: door } },
      api: { enabled: false },
      zones: {
        default: {
          host: "localhost",
          port: receiver,
          connections: CONNECTIONS,
          ...(of === "zone" ? { throttling } : {}),
        },
      },
      domainConfig: { [limited]: { throttling } },
      dns: { blockLocalAddresses: false },
    }),
  );
  const child = spawn(process.execPath, ["sender/main.ts"], {
    cwd: join(import.meta.dirname, ".."),
    stdio: "ignore",
    env: {
      ...process.env,
      ...env,
      ZONEFLEET_CONFIG: config,
      ZONEFLEET_DATA: join(folder, "data"),
      ZONEFLEET_PROCESSES: on === "aws" ? "1" : String(processes),
      LOG_LEVEL: "error",
    },
  });
  started.defer(() => stopProcess(child, STOP_TIMEOUT_MS));
  const transport = nodemailer.createTransport({ host: "127.0.0.1", port: door });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await transport.verify().catch(() => false))) {
    if (Date.now() > deadline) throw new Error("the sender does not start");
    await systemClock.sleep(POLL_MS / 5);
  }
}

async function submitAll(doors: readonly number[], count: number): Promise<void> {
  const transports = doors.map((port) =>
    nodemailer.createTransport({ host: "127.0.0.1", port, pool: true, maxConnections: SESSIONS_IN }),
  );
  const mail = { from: "me@sender.example", subject: "short", text: "short" };
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      await transports[i % doors.length]?.sendMail({ ...mail, to: `r${i}@one.example` });
    }),
  );
  for (const transport of transports) transport.close();
}

/** When the time is over since the first mail, or half as much again since now. */
async function reportAfter(receiver: ChildProcess, forMs: number): Promise<RatesReport> {
  const deadline = Date.now() + 1.5 * forMs;
  for (;;) {
    await systemClock.sleep(POLL_MS);
    receiver.send("report");
    const [report] = (await once(receiver, "message")) as [RatesReport];
    const passed = (report.mails.at(-1)?.whole ?? 0) - (report.mails[0]?.whole ?? 0);
    if (passed > forMs || Date.now() > deadline) return report;
  }
}

function resultOf({ mails }: RatesReport, rate: Rate, forMs: number): RatesResult {
  const begun = mails.map(({ began }) => began).toSorted((one, other) => one - other);
  const whole = mails.map((mail) => mail.whole).toSorted((one, other) => one - other);
  const inTime = whole.filter((at) => at < (whole[0] ?? 0) + forMs).length;
  return {
    usedPercent: (100 * inTime) / ((rate.count / rate.perMs) * forMs),
    limit: rate.count,
    mostBegun: mostIn(rate.perMs, begun),
    mostWhole: mostIn(rate.perMs, whole),
    tooMany: Math.max(tooManyIn(rate, begun), tooManyIn(rate, whole)),
  };
}

function mostIn(perMs: number, sorted: readonly number[]): number {
  let from = 0;
  let most = 0;
  for (const [i, at] of sorted.entries()) {
    while (at - (sorted[from] ?? at) >= perMs) from++;
    most = Math.max(most, i - from + 1);
  }
  return most;
}

function tooManyIn({ count, perMs }: Rate, sorted: readonly number[]): number {
  return sorted.filter((at, i) => at - (sorted[i - count] ?? Number.NEGATIVE_INFINITY) < perMs).length;
}
