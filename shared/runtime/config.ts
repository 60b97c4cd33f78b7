/**
 * The settings of this process, from the environment and the configuration file (DESIGN.md §8): found, read, checked, or
 * refused with every problem named. Nothing else reads the environment for a setting.
 */

import { hostname as systemHostname, availableParallelism } from "node:os";
import { readFile, stat } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { parseDomain } from "../domain/address.ts";
import type { Config } from "../domain/config.ts";
import { DomainError } from "../domain/errors.ts";
import { nearestName } from "../domain/nearest.ts";
import type { AwsSettings } from "./aws-settings.ts";
import { awsSettingsOf } from "./aws-settings.ts";
import { checkConfig } from "./config-check.ts";
import { configError, printPath, problemsOf } from "./config-errors.ts";
import { importFresh } from "./config-module.ts";
import { parseTolerantly } from "./config-parse.ts";
import { withoutShortForms } from "./config-core-plugins.ts";
import { ConfigSchema } from "./config-schema.ts";
import { DEPLOYED_SUFFIX, readDeployedConfig } from "./deployed-config.ts";
import type { Env } from "./env.ts";
import { valueOf } from "./env.ts";

export interface Settings {
  readonly config: Config;
  /** The configuration file; null: the built-in defaults. */
  readonly source: string | null;
  /** True: names stand in the places of secrets, for the file is one of a deployment (deployed-config.ts). */
  readonly secretsElsewhere: boolean;
  readonly backend: Backend;
  /** Absolute path. */
  readonly dataDir: string;
  readonly processes: number;
  readonly logLevel: LogLevel;
  /** Null: the embedded backend. */
  readonly aws: AwsSettings | null;
}

const BACKENDS = ["embedded", "aws"] as const;
type Backend = (typeof BACKENDS)[number];
const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

/** In this order, when ZONEFLEET_CONFIG names none. */
const DEFAULT_FILES = ["zonefleet.config.ts", "zonefleet.config.json"];
const MAX_PROCESSES = 256;

export interface LoadOptions {
  readonly env: Env;
  readonly cwd: string;
  /** True: it was read before by this process, and what it imports may have changed too. */
  readonly again?: boolean;
}

/** Throws a `DomainError` of code `invalid-config` whose message is for the operator's screen. */
export async function loadConfig({ env, cwd, again = false }: LoadOptions): Promise<Settings> {
  const backend = choice(env, "ZONEFLEET_BACKEND", BACKENDS, "embedded");
  const settings = {
    backend,
    dataDir: resolve(cwd, valueOf(env, "ZONEFLEET_DATA") ?? "data"),
    processes: processesOf(env),
    logLevel: choice(env, "LOG_LEVEL", LOG_LEVELS, "info"),
    aws: backend === "aws" ? awsSettingsOf(env) : null,
  };
  const source = await findFile(env, cwd);
  if (source?.endsWith(DEPLOYED_SUFFIX) === true)
    return { ...settings, source, secretsElsewhere: true, config: await readDeployedFile(source) };
  const input = source === null ? { sandbox: true } : await readConfigFile(source, again);
  const config = parseConfig(input, { source, baseDir: source === null ? cwd : dirname(source) });
  return {
    ...settings,
    ...(valueOf(env, "LOG_LEVEL") === null && config.log.level !== null && { logLevel: config.log.level }),
    source,
    secretsElsewhere: false,
    config,
  };
}

/** It was checked when it was written. */
async function readDeployedFile(file: string): Promise<Config> {
  try {
    return readDeployedConfig(await readFile(file, "utf8"));
  } catch (error) {
    throw configError(file, [{ path: [], message: `cannot be read: ${String(error)}` }]);
  }
}

/** The checked form of what a file exports. `source` names the file in errors; null: built-in defaults. */
export function parseConfig(input: unknown, from: { source: string | null; baseDir: string }): Config {
  const { settings, issues } = parseTolerantly(ConfigSchema, withoutShortForms(input));
  const problems = problemsOf(issues, ConfigSchema);
  const broken = new Set(problems.flatMap(({ path }) => path.map((_, i) => printPath(path.slice(0, i + 1)))));
  const report = (path: readonly PropertyKey[], message: string) => {
    // of what is broken, wholly or in a part, nothing more can be said
    if (!broken.has(printPath(path))) problems.push({ path, message });
  };
  const context = { baseDir: from.baseDir, hostname: ourHostname(systemHostname()), report };
  const config = settings && checkConfig(settings, context);
  if (config === null || problems.length > 0) throw configError(from.source ?? "the configuration", problems);
  return config;
}

/** A host that has only a short name gets a domain, as EHLO, Message-ID and the DSN's address want one (RFC 5321 §4.1.2). */
function ourHostname(name: string): string {
  const domain = parseDomain(name) ?? "localhost";
  return domain.includes(".") ? domain : `${domain}.localdomain`;
}

/** Null: there is none, and none was asked for. */
async function findFile(env: Env, cwd: string): Promise<string | null> {
  const asked = valueOf(env, "ZONEFLEET_CONFIG");
  if (asked !== null) {
    const file = resolve(cwd, asked);
    if (await isFile(file)) return file;
    throw configError("ZONEFLEET_CONFIG", [{ path: [], message: `there is no file ${file}` }]);
  }
  const files = DEFAULT_FILES.map((name) => resolve(cwd, name));
  const there: string[] = [];
  for (const file of files) if (await isFile(file)) there.push(file);
  if (there.length < 2) return there[0] ?? null;
  const message = `both ${there.join(" and ")} are there; remove one, or name one in ZONEFLEET_CONFIG`;
  throw configError("the configuration", [{ path: [], message }]);
}

async function isFile(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isFile();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw configError(file, [{ path: [], message: `cannot be read: ${String(error)}` }]);
  }
}

async function readConfigFile(file: string, again: boolean): Promise<unknown> {
  const readModule = async (): Promise<unknown> =>
    defaultOf(file, again ? await importFresh(file) : await importOnce(file));
  const readers: Readonly<Record<string, () => Promise<unknown>>> = {
    ".ts": readModule,
    ".json": () => readJson(file),
  };
  const read = readers[extname(file)];
  if (!read) throw configError(file, [{ path: [], message: "expected a .ts or a .json file" }]);
  try {
    return await read();
  } catch (error) {
    if (error instanceof DomainError) throw error;
    throw configError(file, [{ path: [], message: `cannot be read: ${String(error)}` }]);
  }
}

async function readJson(file: string): Promise<unknown> {
  return JSON.parse(await readFile(file, "utf8"));
}

type Exports = Readonly<Record<string, unknown>>;

/** Node strips the types. */
async function importOnce(file: string): Promise<Exports> {
  return (await import(pathToFileURL(file).href)) as Exports;
}

function defaultOf(file: string, exported: Exports): unknown {
  if (Object.hasOwn(exported, "default")) return exported["default"];
  throw configError(file, [{ path: [], message: "expected export default defineConfig({ … })" }]);
}

function processesOf(env: Env): number {
  const text = valueOf(env, "ZONEFLEET_PROCESSES");
  if (text === null) return availableParallelism();
  const processes = Number(text);
  if (/^\d{1,3}$/.test(text) && processes >= 1 && processes <= MAX_PROCESSES) return processes;
  const message = `expected a whole number from 1 to ${MAX_PROCESSES}, found ${JSON.stringify(text)}`;
  throw configError("ZONEFLEET_PROCESSES", [{ path: [], message }]);
}

function choice<T extends string>(env: Env, name: string, choices: readonly T[], fallback: T): T {
  const text = valueOf(env, name);
  if (text === null) return fallback;
  const chosen = choices.find((one) => one === text);
  if (chosen !== undefined) return chosen;
  const near = nearestName(text, choices);
  const hint = near === null ? "" : `; did you mean ${near}?`;
  const message = `expected one of ${choices.join(", ")}, found ${JSON.stringify(text)}${hint}`;
  throw configError(name, [{ path: [], message }]);
}
