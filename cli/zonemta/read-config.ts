/**
 * The configuration of a ZoneMTA from its files, joined as ZoneMTA joins them: `default.*`, then `<NODE_ENV>.*` of a folder over it, or
 * one file alone; then what stands in for its `--config`; included files in the place of their directive.
 */

import { glob, readFile, readdir, stat } from "node:fs/promises";
import { dirname, extname, isAbsolute, join, parse, resolve } from "node:path";

import { DomainError } from "#shared/domain/errors.ts";
import { MIB } from "#shared/domain/units.ts";

import { evaluate } from "./evaluate.ts";
import type { ReadOptions } from "./evaluate.ts";
import type { Include } from "./toml.ts";
import { parseToml } from "./toml.ts";
import type { Tree } from "./tree.ts";
import { isTree, isValue, merged } from "./tree.ts";

export interface ForeignConfig {
  readonly tree: Tree;
  /** All that were read, the included ones too. */
  readonly files: readonly string[];
  /** Where values stood that are no data, such as functions. */
  readonly unusable: readonly (readonly string[])[];
  /** Variables of the environment that modules asked for. */
  readonly variables: { readonly set: readonly string[]; readonly unset: readonly string[] };
  /** True: there was a `default.*`, which takes the place of the one that comes with ZoneMTA. */
  readonly hasDefaults: boolean;
}

const EXTENSIONS = new Set([".toml", ".json", ".js", ".cjs"]);
/** The main file of ZoneMTA's template, where a folder has no `default.*`. */
const TEMPLATE_NAME = "zonemta";
const MAX_FILE_BYTES = 4 * MIB;
const MAX_FILES = 1_000;

/** Each of `paths` over the one before it. Throws a `DomainError` that names the file which cannot be read. */
export async function readForeignConfig(
  paths: readonly string[],
  options: ReadOptions,
): Promise<ForeignConfig> {
  const reader: Reader = { options, files: [], unusable: [], set: new Set(), unset: new Set() };
  let tree: Tree = {};
  let hasDefaults = false;
  for (const path of paths) {
    for (const file of await mainFiles(resolve(path), options.environment)) {
      hasDefaults ||= parse(file).name.toLowerCase() === "default";
      tree = merged(tree, await readTree(file, reader));
    }
  }
  const { files, unusable, set, unset } = reader;
  return { tree, files, unusable, variables: { set: [...set], unset: [...unset] }, hasDefaults };
}

interface Reader {
  readonly options: ReadOptions;
  readonly files: string[];
  readonly unusable: (readonly string[])[];
  readonly set: Set<string>;
  readonly unset: Set<string>;
}

async function mainFiles(path: string, environment: string): Promise<string[]> {
  const there = await stat(path).catch(() => null);
  if (!there) throw wrong(path, "there is no such file or folder");
  if (!there.isDirectory()) return [path];
  const names = (await readdir(path))
    .filter((name) => EXTENSIONS.has(extname(name).toLowerCase()))
    .toSorted();
  const called = (wanted: string): string[] =>
    names.filter((name) => parse(name).name.toLowerCase() === wanted).map((name) => join(path, name));
  const found = [...called("default"), ...called(environment)];
  const files = found.length > 0 ? found : called(TEMPLATE_NAME);
  if (files.length > 0) return files;
  throw wrong(
    path,
    `there is no default.*, ${environment}.* or ${TEMPLATE_NAME}.* in it; name the main file itself`,
  );
}

async function readTree(file: string, reader: Reader): Promise<Tree> {
  const value = await readData(file, reader);
  if (isTree(value)) return value;
  throw wrong(file, "expected an object");
}

async function readData(file: string, reader: Reader): Promise<unknown> {
  if (reader.files.length >= MAX_FILES) throw wrong(file, "too many files; do they include each other?");
  reader.files.push(file);
  try {
    return await readValue(file, reader);
  } catch (error) {
    if (error instanceof DomainError)
      throw error.message.startsWith("/") ? error : wrong(file, error.message);
    throw wrong(file, error instanceof Error ? error.message : String(error));
  }
}

async function readValue(file: string, reader: Reader): Promise<unknown> {
  const extension = extname(file).toLowerCase();
  if (!EXTENSIONS.has(extension)) throw wrong(file, "expected a .toml, .json or .js file");
  const { size } = await stat(file);
  if (size > MAX_FILE_BYTES) throw wrong(file, `is larger than ${MAX_FILE_BYTES} bytes`);
  if (extension === ".json") return JSON.parse(await readFile(file, "utf8"));
  if (extension === ".toml") return readTomlFile(file, reader);
  const { value, unusable, set, unset } = await evaluate(file, reader.options);
  reader.unusable.push(...unusable);
  for (const name of set) reader.set.add(name);
  for (const name of unset) reader.unset.add(name);
  return value;
}

async function readTomlFile(file: string, reader: Reader): Promise<Tree> {
  const { tree, includes } = parseToml(await readFile(file, "utf8"));
  for (const include of includes)
    for (const included of await matching(include.pattern, file, reader.options.environment))
      putInto(include, included, await readData(included, reader));
  return tree;
}

/** One level deep, as ZoneMTA does; a list takes the place of its table, when there is nothing else in that. */
function putInto({ table, replace }: Include, file: string, value: unknown): void {
  if (isTree(value)) Object.assign(table, value);
  else if (Array.isArray(value) && isValue(value) && replace && Object.keys(table).length === 0)
    replace(value);
  else throw wrong(file, "expected an object, or a list for a table that has nothing else in it");
}

/** Without a star the file has to be there. */
async function matching(pattern: string, from: string, environment: string): Promise<string[]> {
  const named = pattern.replaceAll(/\{env\}/gi, environment);
  const path = isAbsolute(named) ? named : join(dirname(from), named);
  if (!path.includes("*")) return [path];
  const parts = path.split("/");
  const first = parts.findIndex((part) => part.includes("*"));
  const folder = parts.slice(0, first).join("/") || "/";
  const found: string[] = [];
  for await (const name of glob(parts.slice(first).join("/"), { cwd: folder }))
    found.push(join(folder, name));
  return found.toSorted((one, other) => one.localeCompare(other, "en"));
}

function wrong(file: string, message: string): DomainError {
  return new DomainError("invalid-config", `${file}: ${message}`);
}
