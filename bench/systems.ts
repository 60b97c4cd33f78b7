/** The systems that are measured: each is started on a scratch folder, relays all mail to the sink, and is stopped again. */

import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePorts, stopProcess } from "#shared/runtime/local-process.ts";

export interface SystemOptions {
  readonly sinkPort: number;
  readonly processes: number;
  readonly connections: number;
}

export interface RunningSystem {
  readonly name: string;
  /** What a reader needs to judge the numbers. */
  readonly settings: string;
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

export type SystemName = "zonefleet" | "postfix";

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 40_000;

export async function startSystem(name: SystemName, options: SystemOptions): Promise<RunningSystem> {
  return name === "zonefleet" ? startZoneFleet(options) : startPostfix(options);
}

async function startZoneFleet({ sinkPort, processes, connections }: SystemOptions): Promise<RunningSystem> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-bench-"));
  const port = await freePort();
  const config = join(folder, "zonefleet.config.json");
  await writeFile(
    config,
    JSON.stringify({
      smtpInterfaces: { feeder: { host: "127.0.0.1", port } },
      api: { enabled: false },
      zones: {
        default: {
          host: "127.0.0.1",
          port: sinkPort,
          connections,
          connectionCache: { ttl: 5, reuseCount: 1_000_000 },
        },
      },
      dns: { blockLocalAddresses: false },
    }),
  );
  const child = spawn(process.execPath, ["sender/main.ts"], {
    cwd: join(import.meta.dirname, ".."),
    stdio: ["ignore", "ignore", "ignore"],
    env: {
      ...process.env,
      ZONEFLEET_CONFIG: config,
      ZONEFLEET_DATA: join(folder, "data"),
      ZONEFLEET_PROCESSES: String(processes),
      LOG_LEVEL: "warn",
    },
  });
  return running(
    "ZoneFleet",
    child,
    port,
    folder,
    `${processes} process(es), LMDB, log level warn, ${connections} connections out`,
  );
}

/** Postfix as Debian ships it, on its own folders: durable as it is by default, tuned only as much as is needed to relay. */
async function startPostfix({ sinkPort, connections }: SystemOptions): Promise<RunningSystem> {
  if (!existsSync("/usr/sbin/postfix")) throw new Error("postfix is not installed: apt-get install postfix");
  if (process.getuid?.() !== 0) throw new Error("Postfix starts as root only: run the comparison as root");
  const folder = await mkdtemp(join(tmpdir(), "postfix-bench-"));
  execFileSync("chmod", ["755", folder]);
  const port = await freePort();
  const [etc, spool, data] = ["etc", "spool", "data"].map((part) => join(folder, part)) as [
    string,
    string,
    string,
  ];
  await Promise.all([mkdir(etc), mkdir(spool), mkdir(data)]);
  execFileSync("chown", ["postfix", data]);
  const master = (await readFile("/usr/share/postfix/master.cf.dist", "utf8"))
    .replaceAll(/^smtp +inet .*$/gm, `127.0.0.1:${port} inet n - n - 100 smtpd`)
    .replaceAll(/^(\S+\s+(?:unix|fifo|inet)\s+\S+\s+\S+\s+)y(\s)/gm, "$1n$2");
  await writeFile(join(etc, "master.cf"), master);
  await writeFile(join(etc, "main.cf"), mainCf({ spool, data, sinkPort, connections }));
  const child = spawn("/usr/sbin/postfix", ["-c", etc, "start-fg"], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const version = execFileSync("/usr/sbin/postconf", ["-h", "mail_version"]).toString().trim();
  const settings = `${version}, queue on disk, fsync as by default, ${connections} deliveries at once, connection cache on demand`;
  return running("Postfix", child, port, folder, settings);
}

function mainCf({
  spool,
  data,
  sinkPort,
  connections,
}: {
  spool: string;
  data: string;
  sinkPort: number;
  connections: number;
}): string {
  return [
    "compatibility_level = 3.6",
    `queue_directory = ${spool}`,
    `data_directory = ${data}`,
    "mail_owner = postfix",
    "setgid_group = postdrop",
    "inet_protocols = ipv4",
    "inet_interfaces = 127.0.0.1",
    "myhostname = postfix.example",
    "mydestination =",
    "mynetworks = 127.0.0.0/8",
    `relayhost = [127.0.0.1]:${sinkPort}`,
    "smtp_tls_security_level = none",
    "alias_maps =",
    "local_recipient_maps =",
    "maillog_file = /dev/null",
    "maillog_file_prefixes = /dev",
    `default_destination_concurrency_limit = ${connections}`,
    `initial_destination_concurrency = ${connections}`,
    "smtp_connection_cache_on_demand = yes",
    "smtpd_client_connection_count_limit = 0",
    "",
  ].join("\n");
}

async function running(
  name: string,
  child: ChildProcess,
  port: number,
  folder: string,
  settings: string,
): Promise<RunningSystem> {
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
  });
  const stop = async (): Promise<void> => {
    await stopProcess(child, STOP_TIMEOUT_MS);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await waitForGreeting(port, ended);
  } catch (error) {
    await stop();
    throw new Error(`${name} did not start`, { cause: error });
  }
  return { name, settings, pid: child.pid as number, port, stop };
}

export async function waitForGreeting(port: number, ended: Promise<void>): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  let gone = false;
  void ended.then(() => {
    gone = true;
  });
  while (!(await greets(port))) {
    if (gone) throw new Error("it ended at once");
    if (Date.now() > deadline) throw new Error(`no greeting on port ${port} after ${START_TIMEOUT_MS} ms`);
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.setTimeout(2_000, () => socket.destroy());
    socket.once("data", () => {
      resolve(true);
      socket.end("QUIT\r\n");
    });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port as number;
}
