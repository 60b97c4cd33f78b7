/** The real scanners, where they are installed: clamd with one signature, Rspamd with no rule but GTUBE, each on a port of its own. */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePorts, stopProcess } from "#shared/runtime/local-process.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { patient } from "./patience.ts";

const CLAMD = "/usr/sbin/clamd";
const RSPAMD = "/usr/bin/rspamd";

/** For `skip`: why not, or false. */
export const noClamd = existsSync(CLAMD) ? false : `there is no ${CLAMD}`;
export const noRspamd = existsSync(RSPAMD) ? false : `there is no ${RSPAMD}`;

/** The test file of virus scanners, and the test mail of spam filters: harmless, and known to all of them. */
export const EICAR = String.raw`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`;
export const GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

export interface Daemon extends AsyncDisposable {
  readonly port: number;
  /** Of clamd's Unix socket. */
  readonly socket: string;
}

const START_TIMEOUT_MS = patient(20_000);
const POLL_MS = 20;

/** `StreamMaxLength` is 1 MiB. */
export async function startClamd(): Promise<Daemon> {
  const md5 = createHash("md5").update(EICAR).digest("hex");
  return startDaemon(async (folder, port) => {
    await mkdir(join(folder, "db"));
    await writeFile(join(folder, "db", "test.hdb"), `${md5}:${EICAR.length}:Eicar-Test\n`);
    const lines = [
      "Foreground yes",
      `TCPSocket ${port}`,
      "TCPAddr 127.0.0.1",
      `LocalSocket ${folder}/socket`,
      `DatabaseDirectory ${folder}/db`,
      `TemporaryDirectory ${folder}`,
      "StreamMaxLength 1M",
      "MaxThreads 2",
    ];
    await writeFile(join(folder, "clamd.conf"), `${lines.join("\n")}\n`);
    return [CLAMD, "-c", join(folder, "clamd.conf")];
  });
}

export async function startRspamd(): Promise<Daemon> {
  return startDaemon(async (folder, port) => {
    await writeFile(join(folder, "tld"), "example\n"); // the real list takes ten seconds to read
    const lines = [
      `options { pidfile = "${folder}/pid"; filters = ""; url_tld = "${folder}/tld"; tempdir = "${folder}"; hs_cache_dir = "${folder}";`,
      '  dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; } }',
      'logging { type = "console"; level = "error"; }',
      `lang_detection { languages = "${folder}"; }`,
      "actions { reject = 15; add_header = 6; greylist = 4; }",
      `worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; mime = true; }`,
    ];
    await writeFile(join(folder, "rspamd.conf"), `${lines.join("\n")}\n`);
    const variables = [`--var=RUNDIR=${folder}`, `--var=DBDIR=${folder}`];
    return [RSPAMD, "-f", "-i", ...variables, "-c", join(folder, "rspamd.conf")];
  });
}

/** `prepare` writes its configuration and says how it is called. */
async function startDaemon(
  prepare: (folder: string, port: number) => Promise<readonly [string, ...string[]]>,
): Promise<Daemon> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-scanner-"));
  const [port = 0] = await freePorts(1);
  const [program, ...args] = await prepare(folder, port);
  const child = spawn(program, args, { stdio: "ignore" });
  const daemon = {
    port,
    socket: join(folder, "socket"),
    async [Symbol.asyncDispose]() {
      await stopProcess(child, START_TIMEOUT_MS);
      await rm(folder, { recursive: true, force: true });
    },
  };
  for (const deadline = Date.now() + START_TIMEOUT_MS; !(await listens(port));) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await daemon[Symbol.asyncDispose]();
      throw new Error(`${program} does not listen on ${port}`);
    }
    await systemClock.sleep(POLL_MS);
  }
  return daemon;
}

async function listens(port: number): Promise<boolean> {
  const socket = connect({ port, host: "127.0.0.1" });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
