/** `zonefleet api-key`: who may use the HTTP API. */

import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";

import { addApiKey, KEY_SCOPES, listApiKeys, removeApiKey } from "#shared/app/api-keys.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import type { Command, Terminal } from "./command.ts";
import { WORKS_ON_STORE, noSuchAction, onlyOperand, refuseMore, UsageError } from "./command.ts";

const usage = `  zonefleet api-key add --scope <${KEY_SCOPES.join(",")}> [--label <text>]
                                     make a key and print it; it is never shown again
  zonefleet api-key list
  zonefleet api-key remove <id>`;

export const apiKeyCommand: Command = {
  usage,
  worksOn: WORKS_ON_STORE,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { scope: { type: "string", multiple: true }, label: { type: "string" } },
      allowPositionals: true,
    });
    const [action, ...operands] = positionals;
    if (action !== "add" && (values.scope !== undefined || values.label !== undefined)) {
      throw new UsageError("--scope and --label go with add only");
    }
    switch (action) {
      case "add":
        refuseMore(operands);
        return add({ scopes: scopesOf(values.scope ?? []), label: values.label ?? "" }, terminal);
      case "list":
        if (operands.length > 0) throw new UsageError("list takes nothing more");
        return list(terminal);
      case "remove":
        return remove(onlyOperand(operands, "id of the key"), terminal);
      default:
        throw noSuchAction("api-key", action);
    }
  },
};

/** `--scope send,read` and `--scope send --scope read` are the same. */
function scopesOf(given: readonly string[]): string[] {
  return given.flatMap((text) => text.split(",")).map((scope) => scope.trim());
}

async function add(
  key: { scopes: string[]; label: string },
  { secrets, print, complain }: Terminal,
): Promise<void> {
  const clock = { now: () => Date.now() as EpochMs };
  const made = await addApiKey({ secrets, clock, random: randomBytes }, key);
  print(made.key);
  complain(`Key ${made.id} may ${key.scopes.join(", ")}. Keep it now: it is not shown again.`);
}

async function list({ secrets, print, complain }: Terminal): Promise<void> {
  const keys = await listApiKeys(secrets);
  if (keys.length === 0) complain("There is no API key.");
  for (const { id, scopes, createdAt, label } of keys) {
    print([id, scopes.join(","), new Date(createdAt).toISOString(), label].join("\t").trimEnd());
  }
}

async function remove(id: string, { secrets, print }: Terminal): Promise<void> {
  // the whole key is easily pasted here, and only its id is wanted
  const bare = id.split(".")[0] ?? id;
  if (!(await removeApiKey(secrets, bare))) {
    throw new DomainError(
      "not-found",
      `there is no key ${JSON.stringify(bare)}; zonefleet api-key list shows them`,
    );
  }
  print(`Key ${bare} removed. Running processes forget it within seconds.`);
}
