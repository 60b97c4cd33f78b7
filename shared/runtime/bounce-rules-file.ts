/**
 * An operator's own bounce rules in a file (`bouncesFile`): ZoneMTA's lines of `regex,action,category,message`, or a JSON list of
 * objects. All that is wrong with it is told at once, each with its line or its place in the list.
 */

import { readFileSync } from "node:fs";
import { basename } from "node:path";

import * as z from "zod";

import type { BounceAction, BounceCategory } from "../domain/bounce-rule.ts";
import { BOUNCE_ACTIONS, BOUNCE_CATEGORIES } from "../domain/bounce-rule.ts";
import { MAX_OWN_RULES } from "../domain/own-bounce-rules.ts";
import type { OwnBounceRule } from "../domain/own-bounce-rules.ts";
import { compilePattern, PatternError } from "../domain/pattern.ts";
import { MIB } from "../domain/units.ts";
import type { ConfigProblem, Report } from "./config-errors.ts";
import { configError, problemsOf, suggestion } from "./config-errors.ts";
import { whyUnreadable } from "./unreadable-file.ts";

const MAX_FILE_BYTES = MIB;
const MAX_MESSAGE_CHARS = 500;

/** The rules of a file, as at a start or a reload. Throws a `DomainError` that names each line at fault; then nothing changes. */
export function readBounceRules(file: string): OwnBounceRule[] {
  const problems: ConfigProblem[] = [];
  const rules = bounceRulesOf(file, (path, message) => problems.push({ path, message }));
  if (problems.length > 0) throw configError(file, problems);
  return rules;
}

/** The same with the problems reported; what is given back while there are any is not to be used. */
export function bounceRulesOf(file: string, report: Report): OwnBounceRule[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    report([], `cannot read ${file}: ${whyUnreadable(error)}`);
    return [];
  }
  if (text.length > MAX_FILE_BYTES) {
    report([], `${file} is larger than ${MAX_FILE_BYTES} bytes`);
    return [];
  }
  const name = basename(file);
  const rules = file.endsWith(".json") ? fromJson(text, name, report) : fromLines(text, name, report);
  if (rules.length > MAX_OWN_RULES) report([], `${file} has more than ${MAX_OWN_RULES} rules`);
  return rules;
}

/** A regex has no comma, for it ends at the first; the message may have some. `#` begins a comment line. */
function fromLines(text: string, name: string, report: Report): OwnBounceRule[] {
  return text.split(/\r?\n/).flatMap((raw, i) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return [];
    const at = `line ${i + 1}`;
    const [pattern = "", action = "", category = "", ...message] = line.split(",");
    const problems = [
      patternProblem(pattern),
      wordProblem("action", action, BOUNCE_ACTIONS),
      wordProblem("category", category, BOUNCE_CATEGORIES),
    ].filter((problem) => problem !== null);
    for (const problem of problems) report([at], problem);
    if (problems.length > 0) return [];
    return [
      {
        id: `${name}:${i + 1}`,
        pattern,
        codes: null,
        enhanced: null,
        action: action.trim() as BounceAction,
        category: category.trim() as BounceCategory,
        message: message.join(",").trim().slice(0, MAX_MESSAGE_CHARS) || NO_MESSAGE,
        status: null,
      },
    ];
  });
}

const NO_MESSAGE = "A rule of this mail system decided so.";

const RuleSchema = z.strictObject({
  pattern: z.string().optional(),
  codes: z.array(z.int().min(400).max(599)).min(1).optional(),
  enhanced: z
    .array(z.string().regex(/^[45]\.\d{1,3}\.\d{1,3}$/, "expected an enhanced status code such as 5.7.1"))
    .min(1)
    .optional(),
  action: z.enum(BOUNCE_ACTIONS),
  category: z.enum(BOUNCE_CATEGORIES),
  message: z.string().max(MAX_MESSAGE_CHARS).default(NO_MESSAGE),
  status: z
    .string()
    .regex(/^\d{1,3}\.\d{1,3}$/, "expected subject and detail of a status, such as 7.1")
    .optional(),
});
const RulesSchema = z.array(RuleSchema);

function fromJson(text: string, name: string, report: Report): OwnBounceRule[] {
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (error) {
    report([], `is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
  const parsed = RulesSchema.safeParse(input, { reportInput: true });
  if (!parsed.success) {
    for (const { path, message } of problemsOf(parsed.error.issues, RulesSchema)) report(path, message);
    return [];
  }
  return parsed.data.map((rule, i) => {
    const problem = rule.pattern === undefined ? null : patternProblem(rule.pattern);
    if (problem !== null) report([i, "pattern"], problem);
    if (rule.pattern === undefined && !rule.codes && !rule.enhanced)
      report([i], "has no condition: give it a pattern, codes or enhanced");
    const { pattern = null, codes = null, enhanced = null, status = null } = rule;
    return { ...rule, id: `${name}[${i}]`, pattern, codes, enhanced, status };
  });
}

function patternProblem(pattern: string): string | null {
  try {
    compilePattern(pattern);
    return null;
  } catch (error) {
    if (error instanceof PatternError)
      return `the regex ${JSON.stringify(pattern)} cannot be used: ${error.message}`;
    throw error;
  }
}

function wordProblem(what: string, given: string, known: readonly string[]): string | null {
  const word = given.trim();
  if (known.includes(word)) return null;
  if (word === "") return `the ${what} is missing: expected regex,action,category,message`;
  const hint = suggestion(word, known) || `; known: ${known.join(", ")}`;
  return `${JSON.stringify(word)} is no ${what}${hint}`;
}
