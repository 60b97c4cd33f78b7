/** `zonefleet import-config`: the configuration of a ZoneMTA as one of ours, with each key named that could not be carried over. */

import { writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";

import { DomainError } from "#shared/domain/errors.ts";
import { printPath } from "#shared/runtime/config-errors.ts";
import { parseConfig } from "#shared/runtime/config.ts";

import type { Command, Terminal } from "./command.ts";
import { UsageError } from "./command.ts";
import { carryOver } from "./zonemta/carry-over.ts";
import { rootOf } from "./zonemta/evaluate.ts";
import { override, overridesOf, parseOverride } from "./zonemta/overrides.ts";
import type { Override } from "./zonemta/overrides.ts";
import type { ForeignConfig } from "./zonemta/read-config.ts";
import { readForeignConfig } from "./zonemta/read-config.ts";
import type { Note } from "./zonemta/rule.ts";

const usage = `  zonefleet import-config [--env <name>] [--set <key>=<value>]... [--root <folder>] [--allow-read <folder>]...
                          [--out <file>] [--force] <file or folder>...
                                     write zonefleet.config.json from the configuration of a ZoneMTA, and
                                     name each key that could not be carried over; further files: what its
                                     --config named; --env: its NODE_ENV (production), --set: what its
                                     --a.b= said (APPCONF_… of the environment is heeded too), --root: where
                                     it was started (for its relative paths), --allow-read: what its
                                     JavaScript may read besides`;

const DEFAULT_OUT = "zonefleet.config.json";

export const importConfigCommand: Command = {
  usage,
  async run(args, terminal) {
    const { sources, options, out, force, set } = parsed(args, terminal);
    const theirs = await readForeignConfig(sources, options);
    for (const one of [...overridesOf(options.variables), ...set]) override(theirs.tree, one);
    const { config, notes } = carryOver(theirs.tree, {
      root: options.root ?? rootOf(theirs.files[0] ?? out),
      hasDefaults: theirs.hasDefaults,
    });
    await write(out, `${JSON.stringify(config, null, 2)}\n`, force);
    report(
      [...notes, ...notesOf(theirs)],
      { files: theirs.files.length, out, problem: problemOf(config, out) },
      terminal,
    );
  },
};

function parsed(args: readonly string[], { environment }: Terminal) {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      env: { type: "string", default: "production" },
      set: { type: "string", multiple: true, default: [] },
      root: { type: "string" },
      "allow-read": { type: "string", multiple: true, default: [] },
      out: { type: "string", default: DEFAULT_OUT },
      force: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  if (!/^[0-9a-z_-]+$/.test(values.env))
    throw new UsageError(`${JSON.stringify(values.env)} is not the name of an environment`);
  if (positionals.length === 0) throw new UsageError("the configuration of ZoneMTA is missing");
  return {
    sources: positionals.map((path) => resolve(path)),
    options: {
      environment: values.env,
      variables: environment,
      root: values.root === undefined ? null : resolve(values.root),
      readable: values["allow-read"],
    },
    out: resolve(values.out),
    force: values.force,
    set: values.set.map(overrideOf),
  };
}

function overrideOf(text: string): Override {
  const one = parseOverride(text);
  if (one !== null) return one;
  throw new UsageError(`--set is written as --set a.b=value, and not ${JSON.stringify(text)}`);
}

/** What is to be said of the modules among its files. */
function notesOf({ unusable, variables }: ForeignConfig): Note[] {
  const noteOn = (name: string, kind: Note["kind"], why: string): Note => ({
    path: ["process", "env", name],
    kind,
    why,
  });
  return [
    ...unusable.map((path): Note => ({ path, kind: "left out", why: "it is no data" })),
    ...variables.set.map((name) =>
      noteOn(name, "changed", "its value is in the file that is written, and not read at each start"),
    ),
    ...variables.unset.map((name) =>
      noteOn(name, "left out", "is asked for and not set here: import with the environment of ZoneMTA"),
    ),
  ];
}

/** It may have passwords in it. */
async function write(file: string, text: string, force: boolean): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o600, flag: force ? "w" : "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new DomainError(
      "conflict",
      `${file} is there already; --force writes over it, --out names another file`,
    );
  }
}

/** What keeps it from being started with; null: nothing. */
function problemOf(config: unknown, file: string): string | null {
  try {
    parseConfig(config, { source: file, baseDir: dirname(file) });
    return null;
  } catch (error) {
    if (error instanceof DomainError) return error.message;
    throw error;
  }
}

interface Result {
  readonly files: number;
  readonly out: string;
  readonly problem: string | null;
}

function report(notes: readonly Note[], { files, out, problem }: Result, terminal: Terminal): void {
  terminal.print(`${out} is written from ${files} ${files === 1 ? "file" : "files"}.`);
  for (const kind of ["changed", "left out"] as const) {
    const those = notes.filter((note) => note.kind === kind);
    if (those.length > 0) terminal.print(`\n${kind === "changed" ? "Changed" : "Not carried over"}:`);
    for (const [why, keys] of Map.groupBy(those, (note) => note.why))
      terminal.print(`  ${keys.map(({ path }) => printPath(path)).join(", ")}: ${why}`);
  }
  if (problem !== null) terminal.print(`\nTo be put right before it can be used:\n\n${problem}`);
}
