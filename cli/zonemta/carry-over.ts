/**
 * From the configuration of a ZoneMTA to one of ours. Keys keep their names; what has another meaning here is changed, what has none
 * is left out, and each such key is named with the reason. The schema has the last word: what it does not take is left out too. What it
 * misses is let be, for the operator to put right: a relay without its password is not to become one without a login.
 */

import { resolve } from "node:path";

import type * as z from "zod";

import { problemsOf } from "#shared/runtime/config-errors.ts";
import { ConfigSchema } from "#shared/runtime/config-schema.ts";

import { CHANGED_MEANING, meaningless } from "./differences.ts";
import type { Note, Path } from "./rule.ts";
import type { Tree, Value } from "./tree.ts";
import { isTree, treeAt, treesIn } from "./tree.ts";

export interface CarriedOver {
  readonly config: Tree;
  /** Keys that are not in `config`, or not as they were. */
  readonly notes: readonly Note[];
}

export interface CarryOverOptions {
  /** The folder where that ZoneMTA is started, which its relative paths start from. */
  readonly root: string;
  /** True: what is carried over takes the place of ZoneMTA's own defaults; else it is over those. */
  readonly hasDefaults: boolean;
}

export function carryOver(theirs: Tree, options: CarryOverOptions): CarriedOver {
  const notes: Note[] = [];
  const config = structuredClone(theirs);
  partsThatAreOff(config);
  applyRules(config, options, notes);
  wholePaths(config, options.root, notes);
  leaveOut(config, [], notes);
  fitSchema(config, notes);
  return { config, notes };
}

function applyRules(config: Tree, options: CarryOverOptions, notes: Note[]): void {
  const context = {
    ...options,
    changed: (path: Path, why: string) => void notes.push({ path, kind: "changed", why }),
    leftOut: (path: Path, why: string) => void notes.push({ path, kind: "left out", why }),
  };
  for (const rule of CHANGED_MEANING) rule(config, context);
}

/** Parts that are on where nothing is said, and off in ZoneMTA where there is false in their place. */
const ON_UNLESS_TOLD: readonly (readonly string[])[] = [
  ["mtaSts"],
  ["dkim"],
  ["plugins", "core/email-bounce", "delayEmail"],
];

function partsThatAreOff(config: Tree): void {
  for (const path of ON_UNLESS_TOLD) {
    const holder = holderOf(config, path);
    const name = path.at(-1) ?? "";
    if (isTree(holder) && holder[name] === false) holder[name] = { enabled: false };
  }
}

function leaveOut(tree: Tree, path: readonly string[], notes: Note[]): void {
  for (const [key, value] of Object.entries(tree)) {
    const here = [...path, key];
    const why = meaningless(here);
    if (why !== null) notes.push({ path: here, kind: "left out", why });
    const wasEmpty = !isTree(value) || Object.keys(value).length === 0;
    if (why === null && isTree(value)) leaveOut(value, here, notes);
    const emptied = !wasEmpty && Object.keys(value).length === 0;
    if (why !== null || emptied) delete tree[key];
  }
}

function wholePaths(config: Tree, root: string, notes: Note[]): void {
  for (const { holder, path } of filesIn(config)) {
    const name = String(path.at(-1));
    const written = holder[name];
    const paths = [written].flat().filter((one) => typeof one === "string");
    const whole = paths.map((one) => wholePath(one, root));
    if (whole.join() === paths.join()) continue;
    holder[name] = Array.isArray(written) ? whole : (whole[0] ?? "");
    const why = `is ${whole.join(", ")} now: paths start at the configuration file here`;
    notes.push({ path, kind: "changed", why });
  }
}

function wholePath(written: string, root: string): string {
  return written === "" || written.includes("-----BEGIN") ? written : resolve(root, written);
}

/** Where the configuration names files. */
function filesIn(config: Tree): { holder: Tree; path: Path }[] {
  const found: { holder: Tree; path: Path }[] = [{ holder: config, path: ["pluginsPath"] }];
  for (const [name, one] of treesIn(config, "smtpInterfaces"))
    for (const key of ["key", "cert", "ca"]) found.push({ holder: one, path: ["smtpInterfaces", name, key] });
  const { keys } = treeAt(config, "dkim");
  for (const [i, key] of (Array.isArray(keys) ? keys : []).entries())
    if (isTree(key)) found.push({ holder: key, path: ["dkim", "keys", i, "path"] });
  found.push({
    holder: treeAt(treeAt(config, "plugins"), "core/dkim"),
    path: ["plugins", "core/dkim", "path"],
  });
  return found;
}

/** A key that is wrong may show another one; more than this is no configuration. */
const MAX_ROUNDS = 50;

function fitSchema(config: Tree, notes: Note[]): void {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = ConfigSchema.safeParse(config, { reportInput: true });
    if (result.success) return;
    const { issues } = result.error;
    const again = typeIssues(issues).filter((issue) => readAgain(config, issue));
    if (again.length > 0) continue;
    const gone = takeOut(config, issues);
    if (gone.length === 0) return;
    notes.push(...gone.flatMap(noteOf));
  }
  throw new Error("the configuration does not come to an end of what cannot be carried over");
}

function takeOut(config: Tree, issues: readonly z.core.$ZodIssue[]): Gone[] {
  const problems = problemsOf(issues, ConfigSchema);
  // from the end, so that what is taken out of a list moves nothing that is still to be taken out
  const gone = problems.toReversed().flatMap(({ path, message }) => {
    const value = remove(config, path);
    return value === undefined ? [] : [{ path, value, message }];
  });
  return gone.toReversed();
}

interface TypeIssue {
  readonly path: Path;
  readonly expected: string;
}

/** Values of the wrong type, in unions of types too. */
function typeIssues(issues: readonly z.core.$ZodIssue[]): TypeIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code === "invalid_type") return [{ path: issue.path, expected: issue.expected }];
    if (issue.code !== "invalid_union") return [];
    return typeIssues(issue.errors.flat()).map(({ path, expected }) => ({
      path: [...issue.path, ...path],
      expected,
    }));
  });
}

/** What JavaScript takes for a number or for true or false, such as a port from the environment. True: it is one now. */
function readAgain(config: Tree, issue: TypeIssue): boolean {
  const holder = holderOf(config, issue.path);
  const name = String(issue.path.at(-1));
  if (!isTree(holder) || !Object.hasOwn(holder, name)) return false;
  const value = asType(holder[name], issue.expected);
  if (value !== null) holder[name] = value;
  return value !== null;
}

/** Null: it is nothing of that type. */
function asType(value: Value | undefined, type: string): number | boolean | null {
  const isNumber = typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value.trim());
  if ((type === "number" || type === "int") && isNumber) return Number(value);
  if (type === "boolean" && (value === 0 || value === 1)) return value === 1;
  if (type === "boolean" && (value === "true" || value === "false")) return value === "true";
  return null;
}

/** Values that ZoneMTA has for what is not set: nothing is lost with them. */
const NOT_SET: readonly unknown[] = [false, null, ""];

interface Gone {
  readonly path: Path;
  readonly value: Value;
  /** What is wrong with it. */
  readonly message: string;
}

function noteOf(gone: Gone): Note[] {
  return NOT_SET.includes(gone.value) ? [] : [{ path: gone.path, kind: "left out", why: whyLeftOut(gone) }];
}

function whyLeftOut({ path, value, message }: Gone): string {
  const isPlugin = path.length === 2 && path[0] === "plugins";
  if (isPlugin && isTree(value) && value["enabled"] === false)
    return "there is no such plugin here; it was off";
  if (isPlugin) return "there is no such plugin here";
  return message.replace(/; remove it$/, "");
}

/** Take out what is at `path`. Undefined: there is nothing. */
function remove(config: Tree, path: Path): Value | undefined {
  const [last] = path.slice(-1);
  const holder = holderOf(config, path);
  if (last === undefined || holder === undefined) return undefined;
  const value = childOf(holder, last);
  if (value === undefined) return undefined;
  if (Array.isArray(holder)) holder.splice(Number(last), 1);
  else if (isTree(holder)) delete holder[String(last)];
  return value;
}

/** What has the last key of `path`. */
function holderOf(config: Tree, path: readonly PropertyKey[]): Value | undefined {
  return path.slice(0, -1).reduce<Value | undefined>(childOf, config);
}

function childOf(value: Value | undefined, key: PropertyKey): Value | undefined {
  if (Array.isArray(value)) return value[Number(key)];
  return isTree(value) && Object.hasOwn(value, String(key)) ? value[String(key)] : undefined;
}
