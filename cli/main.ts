#!/usr/bin/env node
/** The `zonefleet` command: finds the command that is meant, runs it, and turns what goes wrong into a message and an exit code. */

import { DomainError } from "#shared/domain/errors.ts";
import { nearestName } from "#shared/domain/nearest.ts";

import packageFile from "../package.json" with { type: "json" };
import { accountCommand } from "./account.ts";
import { ApiError } from "./api-client.ts";
import { apiKeyCommand } from "./api-key.ts";
import { awsTrouble } from "./aws-trouble.ts";
import { checkBounceCommand } from "./check-bounce.ts";
import type { Command, Terminal } from "./command.ts";
import { usageMistake } from "./command.ts";
import { dkimCommand } from "./dkim.ts";
import { dnsCommand } from "./dns.ts";
import { doctorCommand } from "./doctor.ts";
import { importConfigCommand } from "./import-config.ts";
import { queueCommand } from "./queue.ts";
import { secretsCommand } from "./secrets.ts";
import { statusCommand } from "./status.ts";
import { suppressCommand } from "./suppress.ts";
import { systemdCommand } from "./systemd.ts";
import { zonesCommand } from "./zones.ts";
import { systemTerminal } from "./wire.ts";

const COMMANDS: Readonly<Record<string, Command>> = {
  queue: queueCommand,
  suppress: suppressCommand,
  dkim: dkimCommand,
  zones: zonesCommand,
  status: statusCommand,
  account: accountCommand,
  "api-key": apiKeyCommand,
  "check-bounce": checkBounceCommand,
  "import-config": importConfigCommand,
  secrets: secretsCommand,
  dns: dnsCommand,
  doctor: doctorCommand,
  systemd: systemdCommand,
};

const USAGE = `Usage: zonefleet <command> ...

${Object.values(COMMANDS)
  .map(({ usage }) => usage)
  .join("\n")}

${worksOnOfAll()}
The others work on the configuration (ZONEFLEET_CONFIG, else zonefleet.config.ts or .json in this folder), or on what they are given.`;

/** What commands work on, told once for all of which it is true. */
function worksOnOfAll(): string {
  const byText = Map.groupBy(Object.entries(COMMANDS), ([, { worksOn }]) => worksOn);
  byText.delete(undefined);
  return [...byText]
    .map(([text, commands]) => `${commands.map(([name]) => name).join(", ")}: ${text}`)
    .join("\n");
}

/** Exit codes: 0 done · 1 refused or failed · 2 the command is not written as it should be. */
export async function run(args: readonly string[], terminal: Terminal): Promise<0 | 1 | 2> {
  const [name, ...rest] = args;
  if (name === "--version") {
    terminal.print(packageFile.version);
    return 0;
  }
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    terminal.print(USAGE);
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    terminal.complain(`zonefleet: ${noCommand(name)}`);
    return 2;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    const { usage, worksOn } = command;
    terminal.print(`Usage:\n${usage}${worksOn === undefined ? "" : `\n\nIt ${worksOn}`}`);
    return 0;
  }
  try {
    await command.run(rest, terminal);
    return 0;
  } catch (error) {
    return explain(error, command, terminal);
  }
}

function noCommand(name: string): string {
  const known = Object.keys(COMMANDS);
  const near = nearestName(name, known);
  const hint = near === null ? "" : `; did you mean ${near}?`;
  return `there is no command ${JSON.stringify(name)}${hint}
Commands: ${known.join(", ")}.
zonefleet <command> --help says what one does, zonefleet --help what all do.`;
}

function explain(error: unknown, command: Command, terminal: Terminal): 1 | 2 {
  const mistake = usageMistake(error);
  if (mistake !== null) {
    terminal.complain(`zonefleet: ${mistake}\n\nUsage:\n${command.usage}`);
    return 2;
  }
  terminal.complain(`zonefleet: ${wordsOf(error)}`);
  return 1;
}

/** Of what is not a fault of ours, what is wrong; else where it happened, too. */
function wordsOf(error: unknown): string {
  const trouble = awsTrouble(error);
  if (trouble !== null) return trouble;
  if (!(error instanceof Error)) return String(error);
  const isKnown = error instanceof DomainError || error instanceof ApiError || "syscall" in error;
  return isKnown ? error.message : (error.stack ?? error.message);
}

if (import.meta.main) process.exitCode = await run(process.argv.slice(2), systemTerminal());
