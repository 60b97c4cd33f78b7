/** The terminal of this process, and the secrets of its data folder. */

import { join, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";

import { embeddedSecretStore } from "#shared/embedded/secret-store.ts";

import type { Terminal } from "./command.ts";

export function systemTerminal(): Terminal {
  const dataDir = resolve(process.env["ZONEFLEET_DATA"] ?? "data");
  return {
    secrets: embeddedSecretStore({ folder: join(dataDir, "secrets") }),
    print: (line) => process.stdout.write(`${line}\n`),
    complain: (line) => process.stderr.write(`${line}\n`),
    readSecret: (prompt) => (process.stdin.isTTY ? ask(prompt) : firstLine()),
  };
}

async function firstLine(): Promise<string | null> {
  const line = (await text(process.stdin)).split(/\r?\n/, 1)[0] ?? "";
  return line === "" ? null : line;
}

/** What is typed goes nowhere but here. */
async function ask(prompt: string): Promise<string | null> {
  process.stderr.write(prompt);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    const line = await lines.question("");
    return line === "" ? null : line;
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
