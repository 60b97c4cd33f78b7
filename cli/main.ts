#!/usr/bin/env node
/** The `zonefleet` command: finds the command that is meant, runs it, and turns what goes wrong into a message and an exit code. */

import { DomainError } from "#shared/domain/errors.ts";

import { accountCommand } from "./account.ts";
import { ApiError } from "./api-client.ts";
import { apiKeyCommand } from "./api-key.ts";
import { awsTrouble } from "./aws-trouble.ts";
import { checkBounceCommand } from "./check-bounce.ts";
import type { Command, Terminal } from "./command.ts";
import { isParseError, UsageError } from "./command.ts";
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

const HINTS = `queue, suppress, dkim, zones and status ask the HTTP API at --url <url> (or ZONEFLEET_URL; http://127.0.0.1:12080)
with the key of --key <key> (or ZONEFLEET_API_KEY). secrets works on the configuration and on AWS, dns and doctor on the configuration,
the DNS and what keeps mail, the others on the data folder: ./data, or ZONEFLEET_DATA;
account and api-key with ZONEFLEET_BACKEND=aws on the table ZONEFLEET_TABLE.`;

const USAGE = `Usage: zonefleet <command> ...

${Object.values(COMMANDS)
  .map(({ usage }) => usage)
  .join("\n")}

${HINTS}`;

/** Exit codes: 0 done · 1 refused or failed · 2 the command is not written as it should be. */
export async function run(args: readonly string[], terminal: Terminal): Promise<0 | 1 | 2> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    terminal.print(USAGE);
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    terminal.complain(`zonefleet: there is no command ${JSON.stringify(name)}\n\n${USAGE}`);
    return 2;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    terminal.print(`Usage:\n${command.usage}\n\n${HINTS}`);
    return 0;
  }
  try {
    await command.run(rest, terminal);
    return 0;
  } catch (error) {
    return explain(error, command, terminal);
  }
}

function explain(error: unknown, command: Command, terminal: Terminal): 1 | 2 {
  if (error instanceof UsageError || isParseError(error)) {
    terminal.complain(`zonefleet: ${error.message}\n\nUsage:\n${command.usage}`);
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
