/** `zonefleet dkim`: the keys that mail is signed with, beside those of the configuration. */

import { parseArgs } from "node:util";

import type { DkimKeyView } from "#shared/app/dkim-schemas.ts";
import { zoneLine } from "#shared/domain/zone-file.ts";

import type { ApiClient } from "./api-client.ts";
import { API_OPTIONS, apiClient } from "./api-client.ts";
import type { Command, Terminal } from "./command.ts";
import { ASKS_API, noSuchAction, refuseMore, UsageError } from "./command.ts";

const usage = `  zonefleet dkim generate <domain> <selector> [--algorithm rsa|ed25519] [--json]
                                     make a key (rsa, 2048 bits), and print the record to publish
  zonefleet dkim add <domain> <selector> [<file>] [--json]
                                     a private key of your own: PEM, else from standard input
  zonefleet dkim list [<domain>] [--json]
  zonefleet dkim remove <domain> <selector>`;

const OPTIONS = { ...API_OPTIONS, algorithm: { type: "string" }, json: { type: "boolean" } } as const;

/** A file that is longer is no key. */
const MAX_PEM_CHARS = 65_536;

interface Asked {
  readonly operands: readonly string[];
  readonly algorithm: string | undefined;
  readonly json: boolean;
}
type Action = (api: ApiClient, asked: Asked, terminal: Terminal) => Promise<void>;

const ACTIONS: ReadonlyMap<string, Action> = new Map(Object.entries({ generate, add, list, remove }));

export const dkimCommand: Command = {
  usage,
  worksOn: ASKS_API,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    const [name, ...operands] = positionals;
    const action = ACTIONS.get(name ?? "");
    if (!action) throw noSuchAction("dkim", name);
    const { algorithm, json = false } = values;
    if (algorithm !== undefined && name !== "generate")
      throw new UsageError(`--algorithm does not go with ${name}`);
    await action(apiClient(terminal, values), { operands, algorithm, json }, terminal);
  },
};

async function generate(
  api: ApiClient,
  { operands, algorithm, json }: Asked,
  terminal: Terminal,
): Promise<void> {
  const path = pathOf(operands, 2);
  const { key } = await api.json<{ key: DkimKeyView }>("PUT", path, { query: { algorithm } });
  show([key], json, terminal);
}

async function add(api: ApiClient, { operands, json }: Asked, terminal: Terminal): Promise<void> {
  const path = pathOf(operands, 3);
  const file = operands[2];
  let body = "";
  for await (const chunk of terminal.readText(file === undefined || file === "-" ? null : file)) {
    body += chunk;
    if (body.length > MAX_PEM_CHARS) break;
  }
  // Without a body a key would be made.
  if (!body.includes("-----BEGIN")) throw new UsageError("that is not a private key in PEM");
  const text = { type: "application/x-pem-file", body };
  const { key } = await api.json<{ key: DkimKeyView }>("PUT", path, { text });
  show([key], json, terminal);
}

async function list(api: ApiClient, { operands, json }: Asked, terminal: Terminal): Promise<void> {
  const [domain, ...more] = operands;
  refuseMore(more);
  const path = domain === undefined ? "/dkim" : `/dkim/${encodeURIComponent(domain)}`;
  let cursor: string | undefined;
  do {
    const page = await api.json<{ keys: DkimKeyView[]; cursor: string | null }>("GET", path, {
      query: { cursor },
    });
    show(page.keys, json, terminal);
    cursor = page.cursor ?? undefined;
  } while (cursor !== undefined);
}

async function remove(api: ApiClient, { operands }: Asked, { print }: Terminal): Promise<void> {
  const { deleted } = await api.json<{ deleted: string }>("DELETE", pathOf(operands, 2));
  print(`${deleted} removed: take its record out of the DNS in a week, when no mail is under way any more.`);
}

function pathOf([domain, selector, ...more]: readonly string[], most: 2 | 3): string {
  if (domain === undefined || selector === undefined) throw new UsageError("say a domain and a selector");
  refuseMore(more.slice(most - 2));
  return `/dkim/${encodeURIComponent(domain)}/${encodeURIComponent(selector)}`;
}

function show(keys: readonly DkimKeyView[], json: boolean, { print, complain }: Terminal): void {
  for (const key of keys) {
    print(json ? JSON.stringify(key) : zoneLine(key.dns));
    if (key.warning !== null) complain(key.warning);
  }
}
