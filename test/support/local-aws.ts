/**
 * AWS on this machine for tests: dynoxide (DynamoDB) as a process and fauxqs (SQS, S3) inside this one, both in memory and on
 * 127.0.0.1 only. With `AWS_ENDPOINT_URL` in the environment the tests run against that instead (LocalStack, another stand-in).
 *
 * A test is kept apart from others by names of its own for table, bucket and queues, so that one pair of servers serves a file. On a
 * server that outlives the file, what was made under those names is taken away at its end.
 */

import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { Readable, Writable } from "node:stream";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { awsClients, endpointsOf } from "#shared/aws/clients.ts";
import type { AwsClients } from "#shared/aws/clients.ts";
import type { AwsNames } from "#shared/aws/names.ts";
import { SECOND } from "#shared/domain/units.ts";
import { cleanUpAws } from "./aws-clean-up.ts";

export interface LocalAws extends AsyncDisposable {
  /** Shared by all tests of the process. Faults are added to clients of one's own (`newClients`). */
  readonly clients: AwsClients;
  /** Other clients for the same servers: closed with them. */
  newClients: () => AwsClients;
  /** Names that no other test has. */
  newNames: () => AwsNames;
  /** What a child process needs to find the same servers. */
  readonly env: Readonly<Record<string, string>>;
}

const DYNOXIDE = fileURLToPath(new URL("../../node_modules/@dynoxide/linux-x64/dynoxide", import.meta.url));
const START_MS = 10 * SECOND;
/** Another process may take the free port before the server does. */
const START_ATTEMPTS = 3;
/** Ends the server when the standard input of the shell ends, and so when this process does, however it ends. */
const WITH_ITS_PARENT = '"$0" "$@" & server=$!; read -r _; kill "$server"; wait "$server"';

/** Why there is no local AWS here; false: there is. For `describe(name, { skip }, …)`. */
export function noLocalAws(): string | false {
  if (process.env["AWS_ENDPOINT_URL"] || existsSync(DYNOXIDE)) return false;
  return `no local DynamoDB for ${process.platform}-${process.arch}: set AWS_ENDPOINT_URL to run the AWS suites`;
}

/** True: the local DynamoDB counts read and write units as AWS does, which not all that stand in for it do. */
export function countsUnits(): boolean {
  return !process.env["AWS_ENDPOINT_URL"];
}

/**
 * Why a count must not be taken at its word when many add to it at once, which DynamoDB promises and one that stands in for it
 * breaks about once in a thousand times; false: it may.
 */
export function maybeNotAtomic(): string | false {
  return process.env["AWS_ENDPOINT_URL"]
    ? "another local AWS, which may lose one of two counts at once"
    : false;
}

/** Starts the servers, in well under a second. */
export async function localAws(): Promise<LocalAws> {
  const servers = await startServers();
  const env = { ...servers.env, ...credentialsEnv() };
  const all: AwsClients[] = [];
  const made: AwsNames[] = [];
  const newClients = (): AwsClients => {
    const clients = awsClients({
      endpoints: endpointsOf(env),
      region: env.AWS_REGION,
      credentials: {
        accessKeyId: env.AWS_ACCESS_KEY_ID,
        secretAccessKey: env.AWS_SECRET_ACCESS_KEY,
      },
    });
    all.push(clients);
    return clients;
  };
  return {
    clients: newClients(),
    newClients,
    newNames() {
      const name = `zf-test-${randomBytes(6).toString("hex")}`;
      const names = { table: name, bucket: name, queuePrefix: `${name}-` };
      made.push(names);
      return names;
    },
    env,
    async [Symbol.asyncDispose]() {
      if (servers.outliveUs) await cleanUp(newClients(), made);
      for (const clients of all) clients.close();
      await servers.stop();
    },
  };
}

/** A test that passed is not failed for what is left behind, but somebody may wonder why the server grows. */
async function cleanUp(clients: AwsClients, made: readonly AwsNames[]): Promise<void> {
  for (const error of await cleanUpAws(clients, made)) process.emitWarning(error);
}

interface Servers {
  readonly env: Readonly<Record<string, string>>;
  /** Somebody else has started them. */
  readonly outliveUs: boolean;
  stop(): Promise<void>;
}

async function startServers(): Promise<Servers> {
  const url = process.env["AWS_ENDPOINT_URL"];
  if (url) return { env: { AWS_ENDPOINT_URL: url }, outliveUs: true, stop: () => Promise.resolve() };
  const [dynoxide, fauxqs] = await Promise.all([startDynoxide(), startFauxqs()]);
  return {
    env: {
      AWS_ENDPOINT_URL_DYNAMODB: dynoxide.url,
      AWS_ENDPOINT_URL_SQS: fauxqs.url,
      AWS_ENDPOINT_URL_S3: fauxqs.url,
    },
    outliveUs: false,
    async stop() {
      await Promise.all([dynoxide.stop(), fauxqs.stop()]);
    },
  };
}

/** Local servers look at no signature, but the SDK wants something to sign with. */
function credentialsEnv() {
  const { env } = process;
  return {
    AWS_REGION: env["AWS_REGION"] ?? "us-east-1",
    AWS_ACCESS_KEY_ID: env["AWS_ACCESS_KEY_ID"] ?? "test",
    AWS_SECRET_ACCESS_KEY: env["AWS_SECRET_ACCESS_KEY"] ?? "test",
  };
}

interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

/** Its own launcher binds all addresses of the machine; the application inside it is ours to bind. */
async function startFauxqs(): Promise<Server> {
  const { buildApp } = await import("fauxqs");
  const app = buildApp({ logger: false });
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  app.server.unref();
  return { url, stop: () => app.close() };
}

async function startDynoxide(): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await dynoxideOn(await freePort());
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error;
    }
  }
}

async function dynoxideOn(port: number): Promise<Server> {
  const serve = [DYNOXIDE, "serve", "--host", "127.0.0.1", "--port", String(port)];
  const child = spawn("/bin/sh", ["-c", WITH_ITS_PARENT, ...serve], {
    stdio: ["pipe", "ignore", "pipe"],
    detached: true, // Ctrl-C is for us: what stops has something to write still
  });
  const ended = new Promise<void>((resolve) => {
    child.once("close", () => resolve());
  });
  const stop = async (): Promise<void> => {
    child.ref();
    child.stdin.end();
    await ended;
  };
  try {
    const url = await announcedUrl(child);
    child.stderr.resume();
    for (const part of [child, child.stdin, child.stderr]) unref(part);
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A file that forgot to stop its servers must still end. */
function unref(part: object): void {
  if ("unref" in part && typeof part.unref === "function") part.unref();
}

/** The line in which the server says that it listens. */
async function announcedUrl(child: ChildProcessByStdio<Writable, null, Readable>): Promise<string> {
  const lines = createInterface({ input: child.stderr, signal: AbortSignal.timeout(START_MS) });
  for await (const line of lines) {
    const [, url] = /listening on (http:\S+)/.exec(line) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error("dynoxide did not start");
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}
