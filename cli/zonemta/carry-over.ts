/**
 * From the configuration of a ZoneMTA to one of ours. Keys keep their names; what has another meaning here is changed, what has none
 * is left out, and each such key is named with the reason. The schema has the last word: what it does not take is left out too.
 */

import { isAbsolute, resolve } from "node:path";

import { problemsOf } from "#shared/runtime/config-errors.ts";
import { ConfigSchema } from "#shared/runtime/config-schema.ts";

import { CHANGED_MEANING, meaningless } from "./differences.ts";
import type { Tree, Value } from "./tree.ts";
import { isTree } from "./tree.ts";

type Path = readonly PropertyKey[];

export interface CarriedOver {
  readonly config: Tree;
  /** Keys that are not in `config`, or not as they were. */
  readonly notes: readonly Note[];
}

export interface Note {
  readonly path: Path;
  readonly kind: "left out" | "changed";
  readonly why: string;
}

/** `root`: the folder where that ZoneMTA is started, which its relative paths start from. */
export function carryOver(theirs: Tree, root: string): CarriedOver {
  const notes: Note[] = [];
  const config = structuredClone(theirs);
  change(config, root, notes);
  leaveOut(config, [], notes);
  fitSchema(config, notes);
  return { config, notes };
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

function change(config: Tree, root: string, notes: Note[]): void {
  for (const rule of CHANGED_MEANING)
    rule(config, { note: (path, why) => void notes.push({ path, kind: "changed", why }) });
  for (const { holder, path } of filesIn(config)) {
    const name = String(path.at(-1));
    const value = holder[name];
    if (typeof value !== "string" || value.includes("-----BEGIN") || isAbsolute(value)) continue;
    holder[name] = resolve(root, value);
    notes.push({
      path,
      kind: "changed",
      why: `is ${resolve(root, value)} now: paths start at the configuration file here`,
    });
  }
}

/** Where the configuration names files. */
function filesIn(config: Tree): { holder: Tree; path: Path }[] {
  const found: { holder: Tree; path: Path }[] = [{ holder: config, path: ["pluginsPath"] }];
  for (const [name, one] of entriesOf(config["smtpInterfaces"]))
    for (const key of ["key", "cert", "ca"]) found.push({ holder: one, path: ["smtpInterfaces", name, key] });
  const keys = isTree(config["dkim"]) ? config["dkim"]["keys"] : null;
  for (const [i, key] of (Array.isArray(keys) ? keys : []).entries())
    if (isTree(key)) found.push({ holder: key, path: ["dkim", "keys", i, "path"] });
  return found;
}

function entriesOf(value: Value | undefined): [string, Tree][] {
  return isTree(value)
    ? Object.entries(value).flatMap(([name, one]) => (isTree(one) ? [[name, one] as [string, Tree]] : []))
    : [];
}

/** A key that is wrong may show another one; more than this is no configuration. */
const MAX_ROUNDS = 50;

function fitSchema(config: Tree, notes: Note[]): void {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = ConfigSchema.safeParse(config, { reportInput: true });
    if (result.success) return;
    const problems = problemsOf(result.error.issues, ConfigSchema);
    // from the end, so that what is taken out of a list moves nothing that is still to be taken out
    const gone = problems.toReversed().flatMap(({ path, message }) => noteOf(remove(config, path), message));
    notes.push(...gone.toReversed());
  }
  throw new Error("the configuration does not come to an end of what cannot be carried over");
}

/** ZoneMTA writes false for what is not set: nothing is lost with it. */
function noteOf(gone: Gone | null, problem: string): Note[] {
  if (gone === null || gone.value === false) return [];
  return [{ path: gone.path, kind: "left out", why: whyLeftOut(gone, problem) }];
}

interface Gone {
  readonly path: Path;
  readonly value: Value;
}

function whyLeftOut({ path, value }: Gone, problem: string): string {
  const isPlugin = path.length === 2 && path[0] === "plugins";
  if (isPlugin && isTree(value) && value["enabled"] === false)
    return "there is no such plugin here; it was off";
  if (isPlugin) return "there is no such plugin here";
  return problem.replace(/; remove it$/, "");
}

/** Take out what is at `path`, or what holds it when there is nothing. Null: it is gone already. */
function remove(config: Tree, path: Path): Gone | null {
  const [last] = path.slice(-1);
  const holder = path.slice(0, -1).reduce<Value | undefined>(childOf, config);
  if (last === undefined || holder === undefined) return null;
  const value = childOf(holder, last);
  if (value === undefined) return remove(config, path.slice(0, -1));
  if (Array.isArray(holder)) holder.splice(Number(last), 1);
  else if (isTree(holder)) delete holder[String(last)];
  return { path, value };
}

function childOf(value: Value | undefined, key: PropertyKey): Value | undefined {
  if (Array.isArray(value)) return value[Number(key)];
  return isTree(value) && Object.hasOwn(value, String(key)) ? value[String(key)] : undefined;
}
