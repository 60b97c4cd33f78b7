/**
 * Reading a configuration although parts of it are wrong, so that one run tells of all its errors and not only of the first
 * kind: what does not fit the schema is taken out, with something harmless in its place, and the rest is read again.
 */

import type * as z from "zod";

type Path = readonly PropertyKey[];

export interface TolerantResult<T> {
  /** Null: nothing could be made of it. Not to be run on when there are issues. */
  readonly settings: T | null;
  readonly issues: readonly z.core.$ZodIssue[];
}

/** A missing required key takes its object out, and that may take the next one out. */
const MAX_ROUNDS = 6;

export function parseTolerantly<T>(schema: z.ZodType<T>, input: unknown): TolerantResult<T> {
  let rest = input;
  let issues: readonly z.core.$ZodIssue[] | null = null;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = schema.safeParse(rest, { reportInput: true });
    if (result.success) return { settings: result.data, issues: issues ?? [] };
    issues ??= result.error.issues;
    const wrong = result.error.issues.flatMap(pathsOf);
    if (wrong.some((path) => path.length === 0)) break;
    rest = wrong.reduce((value, path) => without(value, path, []), rest);
  }
  return { settings: null, issues: issues ?? [] };
}

/** Where a value that is wrong sits. */
function pathsOf(issue: z.core.$ZodIssue): Path[] {
  return issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
}

/** `value` without what is at `path`; what is not there takes its container out. `done` is how we came here. */
function without(value: unknown, path: Path, done: Path): unknown {
  const [key, ...rest] = path;
  if (key === undefined || typeof value !== "object" || value === null) return standIn(done);
  if (!Object.hasOwn(value, key)) return rest.length === 0 ? standIn(done) : value;
  const here = [...done, key];
  const child = without(Reflect.get(value, key), rest, here);
  if (Array.isArray(value)) return value.toSpliced(Number(key), 1, ...(child === undefined ? [] : [child]));
  const entries = Object.entries(value).map(([name, old]) => [name, name === key ? child : old]);
  return Object.fromEntries(entries.filter(([, kept]) => kept !== undefined));
}

/** What keeps a name known to those who refer to it, and clashes with nothing; undefined: nothing is needed. */
function standIn(path: Path): unknown {
  const [section, , ...more] = path;
  if (path.at(-1) === "port" && section !== "zones") return 0;
  if (path.length !== 2 || more.length > 0) return undefined;
  switch (section) {
    case "pools":
      return [];
    case "zones":
      return {};
    case "smtpInterfaces":
      return { enabled: false };
    default:
      return undefined;
  }
}
