/** The terminal of this process, the accounts and API keys of its data folder or its table, and what the configuration says. */

import { createReadStream, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";

import { DomainError } from "#shared/domain/errors.ts";
import { embeddedSecretStore } from "#shared/embedded/secret-store.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import { awsSettingsOf } from "#shared/runtime/aws-settings.ts";
import { readBounceRules } from "#shared/runtime/bounce-rules-file.ts";
import { loadConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { whyUnreadable } from "#shared/runtime/unreadable-file.ts";

import type { Terminal } from "./command.ts";
import { openSite } from "./site/wire.ts";

export function systemTerminal(): Terminal {
  return {
    secrets: secretsOf(process.env),
    print: (line) => process.stdout.write(`${line}\n`),
    complain: (line) => process.stderr.write(`${line}\n`),
    readSecret: (prompt) => (process.stdin.isTTY ? ask(prompt) : firstLine()),
    readInput,
    env: (name) => process.env[name] || undefined, // an empty variable is none
    environment: process.env,
    confirm: (question) => (process.stdin.isTTY ? confirm(question) : Promise.resolve(null)),
    readText: (file) => (file === null ? process.stdin.setEncoding("utf8") : textOf(resolve(file))),
    write,
    deployment: () => deployment(process.env),
    site: () => openSite(process.env),
    async bounceRules(file) {
      if (file !== null) return readBounceRules(resolve(file));
      return (await loadConfig({ env: process.env, cwd: process.cwd() })).config.bounces.rules;
    },
  };
}

/** In the table of a deployment with ZONEFLEET_BACKEND=aws, else in the data folder. Nothing is opened before it is used. */
function secretsOf(env: NodeJS.ProcessEnv): SecretStore {
  let opened: Promise<SecretStore> | null = null;
  const open = async (): Promise<SecretStore> =>
    env["ZONEFLEET_BACKEND"] === "aws"
      ? openTable(env)
      : openFolder(resolve(env["ZONEFLEET_DATA"] ?? "data"));
  const store = (): Promise<SecretStore> => (opened ??= open());
  return {
    get: async (kind, name) => (await store()).get(kind, name),
    list: async (kind) => (await store()).list(kind),
    put: async (kind, name, value) => (await store()).put(kind, name, value),
    add: async (kind, name, value) => (await store()).add(kind, name, value),
    remove: async (kind, name) => (await store()).remove(kind, name),
  };
}

/** Root works there as the folder's owner: the relay, which runs as him, has to read what is written. */
function openFolder(dataDir: string): SecretStore {
  const owner = process.geteuid?.() === 0 ? statSync(dataDir, { throwIfNoEntry: false }) : undefined;
  if (owner && owner.uid !== 0) {
    process.setgroups?.([owner.gid]);
    process.setegid?.(owner.gid);
    process.seteuid?.(owner.uid);
  }
  return embeddedSecretStore({ folder: join(dataDir, "secrets") });
}

async function openTable(env: NodeJS.ProcessEnv): Promise<SecretStore> {
  const { table } = awsSettingsOf(env);
  const { awsClients, endpointsOf } = await import("#shared/aws/clients.ts"); // one machine does without the SDK
  const { dynamoSecretStore } = await import("#shared/aws/secret-store.ts");
  const { noDeploymentSecret } = await import("#shared/aws/deployment-secret.ts");
  const { dynamo } = awsClients({ endpoints: endpointsOf(env) });
  const { sealing } = noDeploymentSecret; // accounts and API keys are hashes
  return dynamoSecretStore({ dynamo, table, clock: systemClock, sealing });
}

/** Asks AWS for nothing yet. */
async function deployment(env: NodeJS.ProcessEnv): ReturnType<Terminal["deployment"]> {
  const { config, secretsElsewhere, source } = await loadConfig({ env, cwd: process.cwd() });
  if (secretsElsewhere) {
    const message = `${source ?? ""} is the configuration of a deployment, and has no secrets in it; name the one it was made from`;
    throw new DomainError("invalid-config", message);
  }
  const { secret } = awsSettingsOf(env);
  if (secret === null) return { config, secret };
  const { secretText } = await import("#shared/aws/secrets-manager.ts"); // the SDK is for this command alone
  return { config, secret: secretText(secret, env) };
}

async function* textOf(file: string): AsyncGenerator<string> {
  try {
    yield* createReadStream(file, { encoding: "utf8" }) as AsyncIterable<string>;
  } catch (error) {
    throw new DomainError("not-found", `cannot read ${file}: ${whyUnreadable(error)}`);
  }
}

const MAX_INPUT_CHARS = 65_536;

async function readInput(): Promise<string> {
  let input = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    input += String(chunk);
    if (input.length >= MAX_INPUT_CHARS) break;
  }
  return input.slice(0, MAX_INPUT_CHARS);
}

async function write(bytes: Uint8Array): Promise<void> {
  const { promise, resolve: written, reject } = Promise.withResolvers<void>();
  process.stdout.write(bytes, (error) => (error ? reject(error) : written()));
  return promise;
}

async function confirm(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(question)).trim());
  } finally {
    lines.close();
  }
}

async function firstLine(): Promise<string | null> {
  const line = (await text(process.stdin)).split(/\r?\n/, 1)[0] ?? "";
  return line === "" ? null : line;
}

/** What is typed goes nowhere but here. */
async function ask(prompt: string): Promise<string | null> {
  process.stderr.write(prompt);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    const line = await lines.question("");
    return line === "" ? null : line;
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
