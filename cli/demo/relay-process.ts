/** The relay of the tour: `npm start`'s program on a scratch data folder and free ports, stopped and removed at the end. */

import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePorts, stopProcess } from "#shared/runtime/local-process.ts";
import type { Doors } from "./fates.ts";

export interface RelayProcess extends Doors {
  readonly folder: string;
  /** Recipients of each transaction that the sandbox receiver took. */
  transactions(): Promise<string[][]>;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 35_000;
const POLL_MS = 100;
/** The ladder of the tour: in earnest the first wait is five minutes. */
const DEFER_TIMES_MS = [2_000, 2_000, 2_000, 5_000];

export async function startRelayProcess(): Promise<RelayProcess> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-demo-"));
  const [smtpPort, httpPort, sandboxPort] = (await freePorts(3)) as [number, number, number];
  const config = join(folder, "zonefleet.config.json");
  await writeFile(
    config,
    JSON.stringify({
      smtpInterfaces: { feeder: { host: "127.0.0.1", port: smtpPort } },
      api: { host: "127.0.0.1", port: httpPort },
      sandbox: { host: "127.0.0.1", port: sandboxPort },
      queue: { deferTimes: DEFER_TIMES_MS },
    }),
  );
  const data = join(folder, "data");
  const child = spawn(process.execPath, ["sender/main.ts"], {
    cwd: join(import.meta.dirname, "../.."),
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      ...process.env,
      ZONEFLEET_CONFIG: config,
      ZONEFLEET_DATA: data,
      ZONEFLEET_PROCESSES: "2",
      LOG_LEVEL: "warn",
    },
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000);
  });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
  });
  const httpUrl = `http://127.0.0.1:${httpPort}`;
  const stop = async (): Promise<void> => {
    await stopProcess(child, STOP_TIMEOUT_MS);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await Promise.race([
      waitUntilHealthy(httpUrl),
      ended.then(() => Promise.reject(new Error(`the relay did not start:\n${said}`))),
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { folder, smtpPort, httpUrl, transactions: () => transactionsIn(join(data, "sandbox")), stop };
}

async function waitUntilHealthy(httpUrl: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const response = await fetch(`${httpUrl}/healthz`).catch(() => null);
    if (response?.ok === true) return;
    await new Promise((resolve) => {
      setTimeout(resolve, POLL_MS);
    });
  }
  throw new Error(`the relay does not answer on ${httpUrl} after ${START_TIMEOUT_MS} ms`);
}

async function transactionsIn(folder: string): Promise<string[][]> {
  const files = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".json"));
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")));
  return texts.map((text) => (JSON.parse(text) as { recipients: string[] }).recipients);
}
