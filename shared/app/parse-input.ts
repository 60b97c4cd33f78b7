/** Check what a caller sent against a schema; the first thing wrong is told as one sentence with its path. */

import type * as z from "zod";

import { DomainError } from "../domain/errors.ts";
import { nearestName } from "../domain/nearest.ts";

/** Throws a DomainError with the path of the first thing wrong, which begins with `root` when given. */
export function parseInput<S extends z.ZodType>(schema: S, input: unknown, root = ""): z.output<S> {
  const parsed = schema.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  const problem = problemOf(parsed.error.issues[0], schema);
  const path = printPath(problem.path, root);
  throw new DomainError(
    "invalid-request",
    `${path === "" ? "the body" : path}: ${problem.text}`,
    path === "" ? null : path,
  );
}

/** `attachments[0].filename`, `headers["X-A b"]`. */
export function printPath(path: readonly PropertyKey[], root = ""): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    const name = String(key);
    if (!/^[\w$-]{1,80}$/.test(name)) return `${text}[${JSON.stringify(shorten(name))}]`;
    return text === "" ? name : `${text}.${name}`;
  }, root);
}

/** A caller's text as an error shows it: quoted, on one line, short. */
export function quoted(text: string): string {
  return JSON.stringify(shorten(text));
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly text: string;
}

function problemOf(issue: z.core.$ZodIssue | undefined, schema: z.ZodType): Problem {
  if (!issue) return { path: [], text: "not what is expected" };
  if (issue.code === "unrecognized_keys") return unknownField(issue, schema);
  if (issue.code === "invalid_union") return problemOfUnion(issue, schema);
  const text = issue.message.replace(/^Invalid input: /, "");
  if (issue.code === "invalid_type" && issue.input === undefined) {
    return { path: issue.path, text: `is missing (${text.replace(/, received undefined$/, "")})` };
  }
  return { path: issue.path, text };
}

/** The branch whose own type fits speaks for the union; when none does, the union's own words do. */
function problemOfUnion(issue: z.core.$ZodIssueInvalidUnion, schema: z.ZodType): Problem {
  const fitting = issue.errors.find((issues) =>
    issues.every((inner) => inner.path.length > 0 || !isWrongType(inner)),
  );
  const inner = fitting?.[0];
  if (!inner) return { path: issue.path, text: issue.message };
  const problem = problemOf(inner, schema);
  return { path: [...issue.path, ...problem.path], text: problem.text };
}

function isWrongType(issue: z.core.$ZodIssue): boolean {
  return issue.code === "invalid_type" || issue.code === "invalid_value" || issue.code === "invalid_union";
}

function unknownField(issue: z.core.$ZodIssueUnrecognizedKeys, schema: z.ZodType): Problem {
  const name = issue.keys[0] ?? "";
  const known = issue.path.length === 0 ? fieldsOf(schema) : [];
  const near = nearestName(name, known);
  return {
    path: [...issue.path, name],
    text: `unknown field${near === null ? "; remove it" : `; did you mean ${near}?`}`,
  };
}

function fieldsOf(schema: z.ZodType): string[] {
  return "shape" in schema ? Object.keys(schema.shape as object) : [];
}
