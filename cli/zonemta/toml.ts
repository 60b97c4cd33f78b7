/**
 * TOML 1.0 as configurations use it: tables, lists of tables, dotted keys, strings, numbers, booleans. A date is the text that it is
 * written as. A line `# @include "<pattern>"` is told to the caller with the table that it stands in.
 */

import { DomainError } from "#shared/domain/errors.ts";

import type { Tree, Value } from "./tree.ts";
import { isTree } from "./tree.ts";

export interface Toml {
  readonly tree: Tree;
  /** In the order of the file. */
  readonly includes: readonly Include[];
}

export interface Include {
  readonly pattern: string;
  /** What is included belongs into it. It is a part of the tree. */
  readonly table: Tree;
  /** Put something in the place of the table; null: it is the whole tree, or one of a list. */
  readonly replace: ((value: Value) => void) | null;
}

const MAX_NESTING = 50;
const DATE =
  /\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)?)?|\d\d:\d\d:\d\d(?:\.\d+)?/y;
const INCLUDE = /^#\s*@include\s*"([^"\n]+)"/i;

/** Throws a `DomainError` with the number of the line that is wrong. */
export function parseToml(text: string): Toml {
  return new Parser(text).document();
}

class Parser {
  readonly #text: string;
  #at = 0;
  readonly #tree: Tree = {};
  #table: Tree = this.#tree;
  #replace: Include["replace"] = null;
  readonly #includes: Include[] = [];

  constructor(text: string) {
    this.#text = text.replaceAll("\r\n", "\n").replace(/^\uFEFF/, "");
  }

  document(): Toml {
    for (this.#blank(); this.#at < this.#text.length; this.#blank()) {
      if (this.#takes("[[")) this.#listOfTables();
      else if (this.#takes("[")) this.#tableHeader();
      else this.#pair(this.#table, 0);
      this.#endOfLine();
    }
    return { tree: this.#tree, includes: this.#includes };
  }

  #tableHeader(): void {
    const path = this.#keyPath();
    this.#expect("]");
    this.#table = this.#inner(this.#tree, path);
    const name = path.at(-1) ?? "";
    const parent = this.#inner(this.#tree, path.slice(0, -1));
    this.#replace = parent[name] === this.#table ? (value) => void (parent[name] = value) : null;
  }

  #listOfTables(): void {
    const path = this.#keyPath();
    this.#expect("]]");
    const name = path.at(-1) ?? "";
    const parent = this.#inner(this.#tree, path.slice(0, -1));
    const list = Object.hasOwn(parent, name) ? parent[name] : (parent[name] = []);
    if (!Array.isArray(list)) return this.#fail(`${name} is no list of tables`);
    this.#table = {};
    this.#replace = null;
    list.push(this.#table);
  }

  #pair(table: Tree, depth: number): void {
    const path = this.#keyPath();
    this.#expect("=");
    const name = path.at(-1) ?? "";
    const parent = this.#inner(table, path.slice(0, -1));
    if (Object.hasOwn(parent, name)) this.#fail(`${name} is there twice`);
    parent[name] = this.#value(depth);
  }

  /** The table at `path` below `table`, made where there is none; of a list of tables the last one. */
  #inner(table: Tree, path: readonly string[]): Tree {
    let inner = table;
    for (const name of path) {
      const there = Object.hasOwn(inner, name) ? inner[name] : (inner[name] = {});
      const next = Array.isArray(there) ? there.at(-1) : there;
      if (!isTree(next)) return this.#fail(`${name} is no table`);
      inner = next;
    }
    return inner;
  }

  #keyPath(): string[] {
    const path = [this.#key()];
    while (this.#takes(".")) path.push(this.#key());
    return path;
  }

  #key(): string {
    this.#spaces();
    const quote = this.#text[this.#at];
    const key = quote === '"' || quote === "'" ? this.#string() : this.#matches(/[A-Za-z0-9_-]+/y);
    if (key === null) return this.#fail("expected a key");
    if (key === "__proto__") this.#fail("__proto__ cannot be a key");
    this.#spaces();
    return key;
  }

  #value(depth: number): Value {
    if (depth > MAX_NESTING) this.#fail("too deep");
    this.#spaces();
    const first = this.#text[this.#at];
    if (first === '"' || first === "'") return this.#string();
    if (this.#takes("[")) return this.#list(depth + 1);
    if (this.#takes("{")) return this.#inlineTable(depth + 1);
    const date = this.#matches(DATE);
    if (date !== null) return date;
    const word = this.#matches(/[^\s,\]}#]+/y);
    return word === null ? this.#fail("expected a value") : this.#plain(word);
  }

  #plain(word: string): boolean | number {
    if (word === "true" || word === "false") return word === "true";
    const number = word.replaceAll(/(?<=\w)_(?=\w)/g, "");
    if (/^0[xob][0-9a-f]+$/i.test(number)) return Number(number);
    if (/^[+-]?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/i.test(number)) return Number(number);
    return this.#fail(`${JSON.stringify(word)} is not understood`);
  }

  #list(depth: number): Value[] {
    const list: Value[] = [];
    for (this.#blank(); !this.#takes("]"); this.#blank()) {
      list.push(this.#value(depth));
      this.#blank();
      if (this.#takes(",")) continue;
      this.#expect("]");
      break;
    }
    return list;
  }

  #inlineTable(depth: number): Tree {
    const table: Tree = {};
    this.#spaces();
    if (this.#takes("}")) return table;
    do this.#pair(table, depth);
    while (this.#takesAfterSpaces(","));
    this.#expect("}");
    return table;
  }

  #string(): string {
    for (const quotes of ['"""', "'''"]) if (this.#takes(quotes)) return this.#longString(quotes);
    if (this.#takes("'")) return this.#upTo("'", /[^'\n]*/y);
    this.#expect('"');
    return this.#unescaped(this.#upTo('"', /(?:[^"\\\n]|\\[^\n])*/y));
  }

  #longString(quotes: string): string {
    this.#takes("\n");
    const end = this.#text.indexOf(quotes, this.#at);
    // a quote before the end is escaped when an odd number of backslashes stands before it; nobody writes that in a configuration
    if (end < 0) this.#fail("the string does not end");
    const raw = this.#text.slice(this.#at, end);
    this.#at = end + quotes.length;
    return quotes === "'''" ? raw : this.#unescaped(raw.replaceAll(/\\\s*\n\s*/g, ""));
  }

  #upTo(end: string, content: RegExp): string {
    const raw = this.#matches(content) ?? "";
    if (!this.#takes(end)) this.#fail("the string does not end in its line");
    return raw;
  }

  #unescaped(raw: string): string {
    return raw.replaceAll(/\\(u[0-9a-f]{4}|U[0-9a-f]{8}|[^])/gi, (_, escape: string) => {
      if (/^u.{4}$/i.test(escape) || /^U.{8}$/.test(escape)) return this.#character(escape.slice(1));
      return ESCAPES[escape] ?? this.#fail(`\\${escape} is no escape`);
    });
  }

  #character(hex: string): string {
    const code = Number.parseInt(hex, 16);
    return code > 0x10_ff_ff ? this.#fail(`there is no character ${hex}`) : String.fromCodePoint(code);
  }

  /** White space, line ends and comments. */
  #blank(): void {
    for (;;) {
      this.#matches(/\s+/y);
      if (this.#text[this.#at] !== "#") return;
      this.#comment();
    }
  }

  #comment(): void {
    const comment = this.#matches(/#[^\n]*/y) ?? "";
    const pattern = INCLUDE.exec(comment)?.[1];
    if (pattern === undefined) return;
    this.#includes.push({ pattern, table: this.#table, replace: this.#replace });
  }

  #endOfLine(): void {
    this.#spaces();
    this.#matches(/#[^\n]*/y); // an include has a line of its own
    if (this.#at < this.#text.length) this.#expect("\n");
  }

  #spaces(): void {
    this.#matches(/[ \t]*/y);
  }

  #takesAfterSpaces(text: string): boolean {
    this.#spaces();
    return this.#takes(text);
  }

  #takes(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #expect(text: string): void {
    if (!this.#takesAfterSpaces(text)) this.#fail(`expected ${JSON.stringify(text)}`);
  }

  /** What `sticky` matches here, which is taken; null: nothing. */
  #matches(sticky: RegExp): string | null {
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0] ?? null;
    this.#at += found?.length ?? 0;
    return found;
  }

  #fail(why: string): never {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    throw new DomainError("invalid-config", `line ${line}: ${why}`);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  t: "\t",
  n: "\n",
  f: "\f",
  r: "\r",
  '"': '"',
  "\\": "\\",
};
