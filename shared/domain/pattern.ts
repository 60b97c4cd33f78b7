/**
 * Regular expressions that an operator wrote, read into a small program (pattern-match.ts runs it). They are JavaScript's without
 * the parts that cannot be matched in linear time: back references and looking ahead or behind are refused, with everything that
 * would be read otherwise than JavaScript reads it. Letters match in either case, as in ZoneMTA's rules.
 */

/** What one character may be: ranges of UTF-16 code units. Text is in lower case when it is tested. */
export interface CharSet {
  readonly ranges: readonly (readonly [from: number, to: number])[];
  /** True: any character but these. */
  readonly negated: boolean;
}

export type Assertion = "start" | "end" | "word-edge" | "no-word-edge";

export type Instruction =
  | { readonly op: "char"; readonly set: CharSet }
  /** Go on at all of these. */
  | { readonly op: "fork"; readonly to: readonly number[] }
  | { readonly op: "assert"; readonly what: Assertion }
  | { readonly op: "match" };

/** Begins at 0; each instruction but `fork` and `match` goes on at the next. */
export type Pattern = readonly Instruction[];

/** What is wrong with a pattern, in words for who wrote it. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

export const MAX_PATTERN_CHARS = 1_000;
/** Repeats with a count are written out, so a short pattern can make a long program. */
const MAX_INSTRUCTIONS = 5_000;
const MAX_DEPTH = 50;

/** Throws a `PatternError`. */
export function compilePattern(source: string): Pattern {
  if (source === "") throw new PatternError("it is empty, and would match everything");
  if (source.length > MAX_PATTERN_CHARS)
    throw new PatternError(`it is longer than ${MAX_PATTERN_CHARS} characters`);
  const reader = new Reader(source);
  const node = alternatives(reader, 0);
  if (!reader.atEnd) throw new PatternError(`there is a ) that closes nothing at character ${reader.at + 1}`);
  const program: Instruction[] = [];
  emit(node, program);
  program.push({ op: "match" });
  return program;
}

type Node =
  | { readonly kind: "char"; readonly set: CharSet }
  | { readonly kind: "assert"; readonly what: Assertion }
  | { readonly kind: "sequence"; readonly nodes: readonly Node[] }
  | { readonly kind: "choice"; readonly nodes: readonly Node[] }
  /** `max` null: without end. */
  | { readonly kind: "repeat"; readonly node: Node; readonly min: number; readonly max: number | null };

class Reader {
  readonly source: string;
  at = 0;
  constructor(source: string) {
    this.source = source;
  }
  get atEnd(): boolean {
    return this.at >= this.source.length;
  }
  peek(): string {
    return this.source.charAt(this.at);
  }
  /** Take the text if it comes next. */
  take(text: string): boolean {
    if (!this.source.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }
  /** Take what the expression, which is sticky, matches here. */
  match(sticky: RegExp): RegExpExecArray | null {
    sticky.lastIndex = this.at;
    const match = sticky.exec(this.source);
    if (match) this.at += match[0].length;
    return match;
  }
  next(): string {
    return this.source.charAt(this.at++);
  }
}

function alternatives(reader: Reader, depth: number): Node {
  if (depth > MAX_DEPTH) throw new PatternError(`groups are nested more than ${MAX_DEPTH} deep`);
  const nodes = [sequence(reader, depth)];
  while (reader.take("|")) nodes.push(sequence(reader, depth));
  return nodes.length === 1 ? (nodes[0] as Node) : { kind: "choice", nodes };
}

function sequence(reader: Reader, depth: number): Node {
  const nodes: Node[] = [];
  while (!reader.atEnd && reader.peek() !== "|" && reader.peek() !== ")") {
    nodes.push(repeated(atom(reader, depth), reader));
  }
  return { kind: "sequence", nodes };
}

function repeated(node: Node, reader: Reader): Node {
  const match = reader.match(/(?:[*+?]|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})\??/y);
  if (!match) return node;
  if (node.kind === "assert") throw new PatternError(`${match[0]} has nothing to repeat`);
  if (reader.match(/[*+?]|\{\d+(?:,\d*)?\}/y)) throw new PatternError(`${match[0]} is repeated itself`);
  const sign = match[0].charAt(0);
  if (sign !== "{") return { kind: "repeat", node, min: sign === "+" ? 1 : 0, max: sign === "?" ? 1 : null };
  const min = Number(match[1]);
  const max = match[2] === undefined ? min : match[3] === undefined ? null : Number(match[3]);
  if (max !== null && max < min) throw new PatternError(`${match[0]} has its numbers in the wrong order`);
  return { kind: "repeat", node, min, max };
}

function atom(reader: Reader, depth: number): Node {
  const char = reader.next();
  switch (char) {
    case "(":
      return group(reader, depth);
    case "[":
      return { kind: "char", set: characterClass(reader) };
    case ".":
      return { kind: "char", set: ANY };
    case "^":
      return { kind: "assert", what: "start" };
    case "$":
      return { kind: "assert", what: "end" };
    case "\\":
      return escaped(reader);
    case "*":
    case "+":
    case "?":
      throw new PatternError(`${char} has nothing to repeat`);
    case "{":
      if (/^\d+(?:,\d*)?\}/.test(reader.source.slice(reader.at)))
        throw new PatternError("{ has nothing to repeat");
      return literal(char);
    default:
      return literal(char);
  }
}

function group(reader: Reader, depth: number): Node {
  if (reader.match(/\?(?:<?[=!])/y))
    throw new PatternError("looking ahead or behind, as in (?=…), cannot be used");
  if (!reader.match(/\?:|\?<[A-Za-z_]\w*>/y) && reader.peek() === "?")
    throw new PatternError("a group that begins with (? must be (?:…) or (?<name>…)");
  const inner = alternatives(reader, depth + 1);
  if (!reader.take(")")) throw new PatternError("a ( is not closed");
  return inner;
}

function escaped(reader: Reader): Node {
  if (reader.take("b")) return { kind: "assert", what: "word-edge" };
  if (reader.take("B")) return { kind: "assert", what: "no-word-edge" };
  return { kind: "char", set: escapedSet(reader) };
}

/** After the backslash; in a class or outside. */
function escapedSet(reader: Reader): CharSet {
  if (reader.atEnd) throw new PatternError(String.raw`a \ stands at the end`);
  const code = reader.match(/x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})/y);
  if (code) return single(String.fromCharCode(Number.parseInt(code[1] ?? code[2] ?? "", 16)));
  const char = reader.next();
  const known = CLASSES[char];
  if (known) return known;
  const control = CONTROLS[char];
  if (control !== undefined) return single(control);
  if (/[1-9k]/.test(char)) throw new PatternError(String.raw`back references, as in \1, cannot be used`);
  if (/[a-zA-Z0]/.test(char)) throw new PatternError(`\\${char} has no meaning here`);
  return single(char);
}

function characterClass(reader: Reader): CharSet {
  const negated = reader.take("^");
  const ranges: (readonly [number, number])[] = [];
  while (!reader.take("]")) {
    if (reader.atEnd) throw new PatternError("a [ is not closed");
    const from = classMember(reader);
    const dash = reader.match(/-(?!\])/y);
    if (!dash) {
      ranges.push(...positive(from));
      continue;
    }
    if (reader.atEnd) throw new PatternError("a [ is not closed");
    const to = classMember(reader);
    const [first, last] = [onlyChar(from), onlyChar(to)];
    if (first === null || last === null) ranges.push(...positive(from), [45, 45], ...positive(to));
    else if (first > last) throw new PatternError("a range in [ ] has its ends in the wrong order");
    else ranges.push([first, last]);
  }
  return { ranges, negated };
}

function classMember(reader: Reader): CharSet {
  const char = reader.next();
  if (char !== "\\") return single(char);
  return reader.take("b") ? single("\b") : reader.take("-") ? single("-") : escapedSet(reader);
}

function onlyChar({ ranges, negated }: CharSet): number | null {
  const [range, ...more] = ranges;
  return !negated && range && more.length === 0 && range[0] === range[1] ? range[0] : null;
}

const LAST = 0xffff;

/** The ranges of a set, written out where it is negated. */
function positive({ ranges, negated }: CharSet): (readonly [number, number])[] {
  if (!negated) return [...ranges];
  const gaps: (readonly [number, number])[] = [];
  let from = 0;
  for (const [first, last] of ranges.toSorted(([a], [b]) => a - b)) {
    if (first > from) gaps.push([from, first - 1]);
    from = Math.max(from, last + 1);
  }
  if (from <= LAST) gaps.push([from, LAST]);
  return gaps;
}

function single(char: string): CharSet {
  const code = char.charCodeAt(0);
  return { ranges: [[code, code]], negated: false };
}

function literal(char: string): Node {
  return { kind: "char", set: single(char) };
}

function setOf(negated: boolean, ...ranges: readonly (readonly [number, number])[]): CharSet {
  return { ranges, negated };
}

const DIGITS = [48, 57] as const;
const WORD = [DIGITS, [65, 90], [95, 95], [97, 122]] as const;
/** ECMA-262 §12.2 and §12.3: white space and line ends. */
const SPACE = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
] as const;
const ANY = setOf(true, [10, 10], [13, 13], [0x2028, 0x2029]);
const CLASSES: Readonly<Record<string, CharSet>> = {
  d: setOf(false, DIGITS),
  D: setOf(true, DIGITS),
  w: setOf(false, ...WORD),
  W: setOf(true, ...WORD),
  s: setOf(false, ...SPACE),
  S: setOf(true, ...SPACE),
};
const CONTROLS: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f", v: "\v" };

function emit(node: Node, program: Instruction[]): void {
  if (program.length > MAX_INSTRUCTIONS)
    throw new PatternError("it is too complicated: its repeats multiply");
  switch (node.kind) {
    case "char":
      program.push({ op: "char", set: node.set });
      return;
    case "assert":
      program.push({ op: "assert", what: node.what });
      return;
    case "sequence":
      for (const one of node.nodes) emit(one, program);
      return;
    case "choice":
      return emitChoice(node.nodes, program);
    case "repeat":
      emitTimes(node.min, program, () => emit(node.node, program));
      if (node.max === null) return emitLoop(node.node, program);
      emitTimes(node.max - node.min, program, () => emitOptional(node.node, program));
  }
}

/** What is of no length needs to be there once only. */
function emitTimes(times: number, program: Instruction[], emitOnce: () => void): void {
  for (let i = 0; i < times; i++) {
    const before = program.length;
    emitOnce();
    if (program.length === before) return;
  }
}

function emitChoice(nodes: readonly Node[], program: Instruction[]): void {
  const fork = reserve(program);
  const starts: number[] = [];
  const ends: number[] = [];
  for (const node of nodes) {
    starts.push(program.length);
    emit(node, program);
    ends.push(reserve(program));
  }
  program[fork] = { op: "fork", to: starts };
  for (const end of ends) program[end] = { op: "fork", to: [program.length] };
}

function emitLoop(node: Node, program: Instruction[]): void {
  const fork = reserve(program);
  emit(node, program);
  program.push({ op: "fork", to: [fork] });
  program[fork] = { op: "fork", to: [fork + 1, program.length] };
}

function emitOptional(node: Node, program: Instruction[]): void {
  const fork = reserve(program);
  emit(node, program);
  program[fork] = { op: "fork", to: [fork + 1, program.length] };
}

/** A place for a fork whose ways are not known yet. */
function reserve(program: Instruction[]): number {
  program.push({ op: "fork", to: [] });
  return program.length - 1;
}
