/** What a command is, and what it may touch. */

import type { Config } from "#shared/domain/config.ts";
import type { OwnBounceRule } from "#shared/domain/own-bounce-rules.ts";
import type { SecretText } from "#shared/ports/secret-text.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";

import type { Site } from "./site/site.ts";

export interface Terminal {
  readonly secrets: SecretStore;
  /** A line on standard output. */
  readonly print: (text: string) => void;
  /** A line on standard error. */
  readonly complain: (text: string) => void;
  /** A secret from standard input: asked for and not shown on a terminal, else its first line. Null: there was none. */
  readonly readSecret: (prompt: string) => Promise<string | null>;
  /** Standard input to its end, cut where it is longer than any reply. */
  readonly readInput: () => Promise<string>;
  /** Own bounce rules: of the file, or with null of the configuration. Throws a `DomainError` when they are wrong. */
  readonly bounceRules: (file: string | null) => Promise<readonly OwnBounceRule[]>;

  /** The configuration, and the secret of its deployment; null: ZONEFLEET_SECRET is not set. */
  readonly deployment: () => Promise<{ config: Config; secret: SecretText | null }>;
  /** The installation that the environment names, to look at. The caller closes it. */
  readonly site: () => Promise<Site>;
  /** A variable of the environment; undefined: not set, or empty. */
  readonly env: (name: string) => string | undefined;
  /** All variables of the environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** True: yes was said. Null: standard input is no terminal, so nobody can be asked. */
  readonly confirm: (question: string) => Promise<boolean | null>;
  /** Text of a file, or of standard input, as it comes. */
  readonly readText: (file: string | null) => AsyncIterable<string>;
  /** Bytes on standard output. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
}

export interface Command {
  /** Lines of the usage text, indented. */
  readonly usage: string;
  /** What it works on, as the rest of a sentence that begins with "It"; left out where the usage says it. */
  readonly worksOn?: string;
  /** Throws a `UsageError` when the arguments are not those of the command. */
  run(args: readonly string[], terminal: Terminal): Promise<void>;
}

export const ASKS_API = `asks the HTTP API at --url <url> (or ZONEFLEET_URL; http://127.0.0.1:12080)
with the key of --key <key> (or ZONEFLEET_API_KEY).`;

export const WORKS_ON_STORE = `works on the data folder (./data, or ZONEFLEET_DATA), with ZONEFLEET_BACKEND=aws on the table ZONEFLEET_TABLE.`;

export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** What somebody typed wrong, in words; null: the error is another. */
export function usageMistake(error: unknown): string | null {
  if (error instanceof UsageError) return error.message;
  if (!(error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS_")))
    return null;
  // `parseArgs` goes on about words that begin with a hyphen, which no command takes.
  return error.message.split(/\. To specify|\.?\n/)[0] ?? "";
}

/** What `parseArgs` gives for these options, none of which may be given more than once. */
export type OptionValues<Options extends Readonly<Record<string, { type: "string" | "boolean" }>>> = Partial<{
  [Name in keyof Options]: Options[Name]["type"] extends "boolean" ? boolean : string;
}>;

/** For the first word of a command that takes several; undefined: there was none. */
export function noSuchAction(command: string, action: string | undefined): UsageError {
  return new UsageError(
    action === undefined ? "say what to do" : `${command} cannot ${JSON.stringify(action)}`,
  );
}

/** `more`: words behind those that the command takes. */
export function refuseMore(more: readonly string[]): void {
  if (more.length > 0) throw new UsageError(`${JSON.stringify(more[0])} is one word too many`);
}

/** A number of entries to show. */
export function limitOf(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`--limit is a whole number from 1, and not ${JSON.stringify(text)}`);
}

/** The one operand of a command, called `name` in what is said about it. */
export function onlyOperand(operands: readonly string[], name: string): string {
  const [first, ...more] = operands;
  if (first === undefined || first === "") throw new UsageError(`the ${name} is missing`);
  refuseMore(more);
  return first;
}
