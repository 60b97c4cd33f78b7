/** `zonefleet account`: who may submit by SMTP with AUTH, and in whose name. */

import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";

import { putAccount, removeAccount, sendersOf } from "#shared/app/accounts.ts";
import { DomainError } from "#shared/domain/errors.ts";

import type { Command, Terminal } from "./command.ts";
import { WORKS_ON_STORE, noSuchAction, onlyOperand, UsageError } from "./command.ts";

const usage = `  zonefleet account add <user> [--from <domain or address>,...]
                                     make an account or change its password, which is read from
                                     standard input or asked for; --from limits whom its mail
                                     may come from, and stays until another --from
  zonefleet account list
  zonefleet account remove <user>`;

export const accountCommand: Command = {
  usage,
  worksOn: WORKS_ON_STORE,
  async run(args, terminal) {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: { from: { type: "string", multiple: true } },
      allowPositionals: true,
    });
    const [action, ...operands] = positionals;
    if (action !== "add" && values.from !== undefined) throw new UsageError("--from goes with add only");
    switch (action) {
      case "add":
        return add({ user: onlyOperand(operands, "user"), from: values.from ?? null }, terminal);
      case "list":
        return list(operands, terminal);
      case "remove":
        return remove(onlyOperand(operands, "user"), terminal);
      default:
        throw noSuchAction("account", action);
    }
  },
};

async function add(
  { user, from }: { user: string; from: readonly string[] | null },
  { secrets, print, readSecret }: Terminal,
): Promise<void> {
  const senders = from?.flatMap((text) => text.split(",")).map((sender) => sender.trim());
  const password = await readSecret(`Password of ${user}: `);
  if (password === null) throw new UsageError("there is no password on standard input");
  const existed = (await secrets.get("account", user)) !== null;
  await putAccount({ secrets, randomBytes }, { user, password, ...(senders && { senders }) });
  print(existed ? `Password of ${user} changed.` : `Account ${user} made.`);
}

async function list(operands: readonly string[], { secrets, print, complain }: Terminal): Promise<void> {
  if (operands.length > 0) throw new UsageError("list takes nothing more");
  const users = await secrets.list("account");
  if (users.length === 0) complain("There is no account.");
  for (const user of users) {
    const senders = await sendersOf(secrets, user);
    print(senders === null ? user : `${user}\t${senders.join(",")}`);
  }
}

async function remove(user: string, { secrets, print }: Terminal): Promise<void> {
  if (!(await removeAccount({ secrets }, user))) {
    throw new DomainError("not-found", `there is no account ${JSON.stringify(user)}`);
  }
  print(`Account ${user} removed.`);
}
