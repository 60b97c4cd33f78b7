/** `zonefleet import-config`: the configuration of a ZoneMTA as one of ours, with each key named that could not be carried over. */

import { writeFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { parseArgs } from "node:util";

import { DomainError } from "#shared/domain/errors.ts";
import { printPath } from "#shared/runtime/config-errors.ts";
import { parseConfig } from "#shared/runtime/config.ts";

import type { Command, Terminal } from "./command.ts";
import { onlyOperand, UsageError } from "./command.ts";
import { carryOver } from "./zonemta/carry-over.ts";
import type { Note } from "./zonemta/carry-over.ts";
import { readForeignConfig } from "./zonemta/read-config.ts";

const usage = `  zonefleet import-config [--env <name>] [--root <folder>] [--out <file>] [--force] <file or folder>
                                     write zonefleet.config.json from the configuration of a ZoneMTA, and
                                     name each key that could not be carried over; --env: its NODE_ENV
                                     (production), --root: where it was started (for its relative paths)`;

const DEFAULT_OUT = "zonefleet.config.json";

export const importConfigCommand: Command = {
  usage,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        env: { type: "string", default: "production" },
        root: { type: "string" },
        out: { type: "string", default: DEFAULT_OUT },
        force: { type: "boolean", default: false },
      },
      allowPositionals: true,
    });
    if (!/^[0-9a-z_-]+$/.test(values.env))
      throw new UsageError(`${JSON.stringify(values.env)} is not the name of an environment`);
    const source = resolve(onlyOperand(positionals, "configuration of ZoneMTA"));
    const theirs = await readForeignConfig(source, values.env);
    const { config, notes } = carryOver(
      theirs.tree,
      resolve(values.root ?? rootOf(theirs.files[0] ?? source)),
    );
    const out = resolve(values.out);
    await write(out, `${JSON.stringify(config, null, 2)}\n`, values.force);
    const functions = theirs.unusable.map((path): Note => ({ path, kind: "left out", why: "it is no data" }));
    report(
      [...notes, ...functions],
      { files: theirs.files.length, out, problem: problemOf(config, out) },
      terminal,
    );
  },
};

/** ZoneMTA is started in the folder that has `config` in it. */
function rootOf(mainFile: string): string {
  const folder = dirname(mainFile);
  return basename(folder) === "config" ? dirname(folder) : folder;
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
    for (const { path, why } of those) terminal.print(`  ${printPath(path)}: ${why}`);
  }
  if (problem !== null) terminal.print(`\nTo be put right before it can be used:\n\n${problem}`);
}
