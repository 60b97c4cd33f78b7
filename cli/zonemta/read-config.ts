/**
 * The configuration of a ZoneMTA from its files, joined as ZoneMTA joins them: `default.*`, then `<NODE_ENV>.*` of a folder over it, or
 * one file alone; included files in the place of their directive.
 */

import { glob, readFile, readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, parse, resolve } from "node:path";

import { DomainError } from "#shared/domain/errors.ts";
import { MIB } from "#shared/domain/units.ts";

import { evaluate } from "./evaluate.ts";
import { parseToml } from "./toml.ts";
import type { Tree } from "./tree.ts";
import { isTree, merged } from "./tree.ts";

export interface ForeignConfig {
  readonly tree: Tree;
  /** All that were read, the included ones too. */
  readonly files: readonly string[];
  /** Where values stood that are no data, such as functions. */
  readonly unusable: readonly (readonly string[])[];
}

const EXTENSIONS = new Set([".toml", ".json", ".js", ".cjs"]);
/** The main file of ZoneMTA's template, where a folder has no `default.*`. */
const TEMPLATE_NAME = "zonemta";
const MAX_FILE_BYTES = 4 * MIB;
const MAX_FILES = 1_000;

/** `environment` is what NODE_ENV was for that ZoneMTA. Throws a `DomainError` that names the file which cannot be read. */
export async function readForeignConfig(path: string, environment: string): Promise<ForeignConfig> {
  const reader: Reader = { environment, files: [], unusable: [] };
  let tree: Tree = {};
  for (const file of await mainFiles(resolve(path), environment))
    tree = merged(tree, await readTree(file, reader));
  return { tree, files: reader.files, unusable: reader.unusable };
}

interface Reader {
  readonly environment: string;
  readonly files: string[];
  readonly unusable: (readonly string[])[];
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
  if (reader.files.length >= MAX_FILES) throw wrong(file, "too many files; do they include each other?");
  reader.files.push(file);
  try {
    const value = await readValue(file, reader);
    if (isTree(value)) return value;
  } catch (error) {
    if (error instanceof DomainError)
      throw error.message.startsWith("/") ? error : wrong(file, error.message);
    throw wrong(file, error instanceof Error ? error.message : String(error));
  }
  throw wrong(file, "expected an object");
}

async function readValue(file: string, reader: Reader): Promise<unknown> {
  const extension = extname(file).toLowerCase();
  if (!EXTENSIONS.has(extension)) throw wrong(file, "expected a .toml, .json or .js file");
  const { size } = await stat(file);
  if (size > MAX_FILE_BYTES) throw wrong(file, `is larger than ${MAX_FILE_BYTES} bytes`);
  if (extension === ".json") return JSON.parse(await readFile(file, "utf8"));
  if (extension === ".toml") return readTomlFile(file, reader);
  const { tree, unusable } = await evaluate(file, reader.environment);
  reader.unusable.push(...unusable);
  return tree;
}

async function readTomlFile(file: string, reader: Reader): Promise<Tree> {
  const { tree, includes } = parseToml(await readFile(file, "utf8"));
  for (const { table, pattern } of includes)
    for (const included of await matching(pattern, file, reader.environment))
      Object.assign(table, await readTree(included, reader)); // one level deep, as ZoneMTA does
  return tree;
}

/** Without a star the file has to be there. */
async function matching(pattern: string, from: string, environment: string): Promise<string[]> {
  const named = pattern.replaceAll(/\{env\}/gi, environment);
  const path = isAbsolute(named) ? named : join(dirname(from), named);
  if (!path.includes("*")) return [path];
  const found: string[] = [];
  for await (const name of glob(basename(path), { cwd: dirname(path) }))
    found.push(join(dirname(path), name));
  return found.toSorted();
}

function wrong(file: string, message: string): DomainError {
  return new DomainError("invalid-config", `${file}: ${message}`);
}
