/** `zonefleet check-bounce`: what a reply means, by the rules of this installation. */

import { parseArgs } from "node:util";

import type { BounceCheck } from "#shared/app/check-bounce.ts";
import { checkBounce } from "#shared/app/check-bounce.ts";
import { classifierWith } from "#shared/domain/own-bounce-rules.ts";

import type { Command, Terminal } from "./command.ts";
import { UsageError } from "./command.ts";

const usage = `  zonefleet check-bounce [--json] [--rules <file>]
                                     say what the reply of a mail server on standard input means;
                                     own rules are those of <file>, or of bouncesFile in the configuration`;

export const checkBounceCommand: Command = {
  usage,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { json: { type: "boolean" }, rules: { type: "string" } },
      allowPositionals: true,
    });
    if (positionals.length > 0) throw new UsageError("the reply is read from standard input");
    const classify = classifierWith(await terminal.bounceRules(values.rules ?? null));
    const check = checkBounce(await terminal.readInput(), classify);
    if (!check) throw new UsageError("there is no reply on standard input");
    print(check, { json: values.json ?? false }, terminal);
  },
};

const NAME_WIDTH = 9;

function print(check: BounceCheck, { json }: { json: boolean }, terminal: Terminal): void {
  if (json) return terminal.print(JSON.stringify(check));
  const { data, action, message, category, code, status, rule } = check;
  const indented = data.replaceAll(/\r\n|\r|\n/g, `\n${" ".repeat(NAME_WIDTH + ": ".length)}`);
  for (const [name, value] of Object.entries({
    data: indented,
    action,
    message,
    category,
    code,
    status,
    rule,
  }))
    terminal.print(`${name.padEnd(NAME_WIDTH)}: ${value}`);
}
