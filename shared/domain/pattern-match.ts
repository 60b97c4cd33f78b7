/**
 * Which of many patterns are in a text, found in one pass: all of them are followed at once, and each set of places they can be
 * at is worked out the first time it comes up and remembered. The time is bounded by the text's length times the size of the
 * patterns, whatever either of them is (a backtracking RegExp can be made to take hours by a peer that knows a rule).
 */

import type { Assertion, CharSet, Instruction, Pattern } from "./pattern.ts";

export interface PatternSet {
  /** Indexes of the patterns that are somewhere in the text, rising. */
  matching(text: string): number[];
}

/** What is remembered between texts; when there is more, all is forgotten. */
const MAX_STATES = 2_000;

/** The places of all patterns before a character, and what the character before it was. */
interface State {
  /** Rising, without doubles. */
  readonly places: readonly number[];
  readonly before: Before;
  readonly steps: Map<number, Step>;
  end: readonly number[] | null;
}
interface Step {
  readonly to: State;
  /** Patterns that ended before the character. */
  readonly matched: readonly number[];
}
type Before = "start" | "word" | "other";

export function patternSet(patterns: readonly Pattern[]): PatternSet {
  const { program, starts, ownerOf } = joined(patterns);
  let states = new Map<string, State>();

  function stateOf(places: readonly number[], before: Before): State {
    const key = `${before} ${places.join(" ")}`;
    const known = states.get(key);
    if (known) return known;
    const state: State = { places, before, steps: new Map(), end: null };
    states.set(key, state);
    return state;
  }

  /** Follow forks and assertions to the characters that can come next, and the patterns that have ended. */
  function closure({ places, before }: State, next: number | null): { waiting: number[]; matched: number[] } {
    const seen = new Set<number>();
    const waiting: number[] = [];
    const matched: number[] = [];
    const open = [...places, ...starts]; // a pattern may begin anywhere
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      const instruction = program[at] as Instruction;
      if (instruction.op === "char") waiting.push(at);
      else if (instruction.op === "match") matched.push(ownerOf.get(at) as number);
      else if (instruction.op === "fork") open.push(...instruction.to);
      else if (holds(instruction.what, before, next)) open.push(at + 1);
    }
    return { waiting, matched };
  }

  function step(state: State, char: number): Step {
    const known = state.steps.get(char);
    if (known) return known;
    const { waiting, matched } = closure(state, char);
    const places = waiting
      .filter((at) => isIn((program[at] as Instruction & { op: "char" }).set, char))
      .map((at) => at + 1);
    const to = stateOf(
      places.toSorted((a, b) => a - b),
      isWord(char) ? "word" : "other",
    );
    const made = { to, matched };
    state.steps.set(char, made);
    return made;
  }

  return {
    matching(text) {
      if (patterns.length === 0) return [];
      if (states.size > MAX_STATES) states = new Map();
      const found = new Set<number>();
      const lower = text.toLowerCase();
      let state = stateOf([], "start");
      for (let i = 0; i < lower.length; i++) {
        const { to, matched } = step(state, lower.charCodeAt(i));
        for (const owner of matched) found.add(owner);
        state = to;
      }
      state.end ??= closure(state, null).matched;
      for (const owner of state.end) found.add(owner);
      return [...found].toSorted((a, b) => a - b);
    },
  };
}

/** All patterns in one program, with where each begins, and whose an end is. */
function joined(patterns: readonly Pattern[]) {
  const program: Instruction[] = [];
  const starts: number[] = [];
  const ownerOf = new Map<number, number>();
  for (const [owner, pattern] of patterns.entries()) {
    const base = program.length;
    starts.push(base);
    for (const instruction of pattern) {
      program.push(
        instruction.op === "fork" ? { op: "fork", to: instruction.to.map((at) => base + at) } : instruction,
      );
    }
    ownerOf.set(program.length - 1, owner);
  }
  return { program, starts, ownerOf };
}

function holds(what: Assertion, before: Before, next: number | null): boolean {
  switch (what) {
    case "start":
      return before === "start";
    case "end":
      return next === null;
    case "word-edge":
      return (before === "word") !== (next !== null && isWord(next));
    case "no-word-edge":
      return (before === "word") === (next !== null && isWord(next));
  }
}

/** Of a character of a text in lower case. */
function isIn({ ranges, negated }: CharSet, char: number): boolean {
  const upper = String.fromCharCode(char).toUpperCase();
  const other = upper.length === 1 ? upper.charCodeAt(0) : char;
  const found = ranges.some(([from, to]) => (char >= from && char <= to) || (other >= from && other <= to));
  return found !== negated;
}

function isWord(char: number): boolean {
  return (
    (char >= 48 && char <= 57) || (char >= 97 && char <= 122) || char === 95 || (char >= 65 && char <= 90)
  );
}
