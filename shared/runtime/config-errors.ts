/**
 * What is wrong with a configuration, in sentences that say what to change: the full path of the key, what was found, what is
 * expected, and the nearest known name when it looks like a slip. All problems of a file are told at once.
 */

import type * as z from "zod";

import { DomainError } from "../domain/errors.ts";
import { nearestName } from "../domain/nearest.ts";
import { whyWithoutMeaning, writtenOtherwise } from "./zonemta-keys.ts";

export interface ConfigProblem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** True: the key is one of ZoneMTA, with no meaning or another place here. */
  readonly ofZoneMta?: true;
}

/** Where checks put what they find. */
export type Report = (path: readonly PropertyKey[], message: string) => void;

/** As many keys of ZoneMTA as this are no slip, but a configuration of ZoneMTA. */
const MANY_ZONEMTA_KEYS = 3;
const IMPORT_HINT =
  "It looks like a configuration of ZoneMTA: npx zonefleet import-config <file or folder> makes one of ours of it.";

const SECRET_KEYS: ReadonlySet<PropertyKey> = new Set(["pass", "key", "privateKey", "secret", "password"]);

/** `source` is the file or the variable that is to be changed. */
export function configError(source: string, problems: readonly ConfigProblem[]): DomainError {
  const lines = problems.map(({ path, message }) =>
    path.length === 0 ? message : `${printPath(path)}: ${message}`,
  );
  const only = problems.length === 1 ? problems[0] : undefined;
  const list = lines.map((line) => `\n  ${line}`).join("");
  const isZoneMta = problems.filter(({ ofZoneMta }) => ofZoneMta === true).length >= MANY_ZONEMTA_KEYS;
  const text = only
    ? `${source}: ${lines[0]}`
    : `${source} has ${problems.length} errors:${list}${isZoneMta ? `\n${IMPORT_HINT}` : ""}`;
  return new DomainError("invalid-config", text, only && only.path.length > 0 ? printPath(only.path) : null);
}

/** What zod found, in our words. `schema` is asked for the keys that are known where one is not. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], schema: z.ZodType): ConfigProblem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, schema));
}

/** `zones.default.pool`, `pools.main[2].address`, `plugins["core/dkim"]`. */
export function printPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    if (/^[\w-]+$/.test(String(key))) return text === "" ? String(key) : `${text}.${String(key)}`;
    return `${text}[${JSON.stringify(String(key))}]`;
  }, "");
}

/** More known names than these are not read. */
const MAX_NAMED = 16;

/** `; did you mean default?` when a known name is near, else the known names when they are few, else nothing. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  if (near !== null) return `; did you mean ${near}?`;
  return known.length > 0 && known.length <= MAX_NAMED ? `; known here: ${known.join(", ")}` : "";
}

/** A value as an error shows it: short, on one line. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  const text = typeof value === "bigint" ? `${value}n` : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function problemsOfIssue(issue: z.core.$ZodIssue, schema: z.ZodType): ConfigProblem[] {
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => unknownKey([...issue.path, key], schema));
  if (issue.code === "invalid_union") return problemsOfUnion(issue, schema);
  if (issue.code === "invalid_key") {
    const inner = issue.issues.map((one) => `${expectedBy(one)} as the key`).join(", ");
    return [{ path: issue.path, message: inner }];
  }
  return [{ path: issue.path, message: messageOf(issue) }];
}

function messageOf(issue: z.core.$ZodIssue): string {
  const expected = expectedBy(issue);
  if (issue.input === undefined) return issue.code === "invalid_type" ? `is missing: ${expected}` : expected;
  const isSecret = typeof issue.input !== "object" && SECRET_KEYS.has(issue.path.at(-1) ?? "");
  return `${expected}, found ${isSecret ? `a ${typeof issue.input}` : show(issue.input)}`;
}

/** The branch that the value is of the right type for speaks for the union; when none is, all say what they expect. */
function problemsOfUnion(issue: z.core.$ZodIssueInvalidUnion, schema: z.ZodType): ConfigProblem[] {
  const meant = issue.errors.find((issues) => !issues.some(isWrongType));
  if (meant)
    return problemsOf(
      meant.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })),
      schema,
    );
  const expected = issue.errors.map((issues) =>
    expectedBy(issues.find(isWrongType)).replace(/^expected /, ""),
  );
  return [{ path: issue.path, message: `expected ${expected.join(" or ")}, found ${show(issue.input)}` }];
}

function isWrongType(issue: z.core.$ZodIssue): boolean {
  return issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value");
}

function expectedBy(issue: z.core.$ZodIssue | undefined): string {
  switch (issue?.code) {
    case "invalid_type":
      return `expected ${TYPE_WORDS[issue.expected] ?? `a ${issue.expected}`}`;
    case "invalid_value":
      return `expected ${issue.values.map((value) => show(value)).join(" or ")}`;
    case "too_small":
      return `expected at least ${amount(issue.minimum, issue.origin)}`;
    case "too_big":
      return `expected at most ${amount(issue.maximum, issue.origin)}`;
    default:
      return issue?.message ?? "expected something else";
  }
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

function amount(count: number | bigint, origin: string): string {
  if (origin === "array") return count === 1 ? "1 entry" : `${count} entries`;
  if (origin === "string") return count === 1 ? "1 character" : `${count} characters`;
  return String(count);
}

function unknownKey(path: readonly PropertyKey[], schema: z.ZodType): ConfigProblem {
  const why = whyWithoutMeaning(path);
  if (why !== null) return { path, message: `has no meaning here (${why}); remove it`, ofZoneMta: true };
  const write = writtenOtherwise(path);
  if (write !== null) return { path, message: `is not a key here; write ${write}`, ofZoneMta: true };
  const name = String(path.at(-1));
  return { path, message: `unknown key${suggestion(name, keysAt(schema, path.slice(0, -1)))}` };
}

/** The keys that an object at this path may have. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const [key, ...rest] = path;
  for (const option of optionsOf(schema)) {
    const { def } = option as unknown as { def: Partial<SchemaDef> };
    if (key === undefined && def.shape) return Object.keys(def.shape);
    const next = key === undefined ? undefined : (def.shape?.[String(key)] ?? def.valueType ?? def.element);
    const keys = next ? keysAt(next, rest) : [];
    if (keys.length > 0) return keys;
  }
  return [];
}

/** What we look into of a zod schema. */
interface SchemaDef {
  readonly shape: Readonly<Record<string, z.ZodType>>;
  readonly valueType: z.ZodType;
  readonly element: z.ZodType;
  readonly innerType: z.ZodType;
  /** Of what is read further after it is checked. */
  readonly in: z.ZodType;
  readonly options: readonly z.ZodType[];
}

/** The schemas under defaults, optionals, transforms and unions. */
function optionsOf(schema: z.ZodType): z.ZodType[] {
  const { def } = schema as unknown as { def: Partial<SchemaDef> };
  const inner = def.innerType ?? def.in;
  if (inner) return optionsOf(inner);
  return def.options ? def.options.flatMap(optionsOf) : [schema];
}
