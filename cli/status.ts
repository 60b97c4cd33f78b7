/** `zonefleet status`: whether mail can be taken, what waits, and where it cannot go out. */

import { parseArgs } from "node:util";

import { API_OPTIONS, apiClient } from "./api-client.ts";
import type { Command } from "./command.ts";
import { ASKS_API, UsageError } from "./command.ts";
import type { Counts } from "./zones.ts";

const usage = `  zonefleet status [--json]          health and numbers at a glance; exit code 1 when it is not well`;

export const statusCommand: Command = {
  usage,
  worksOn: ASKS_API,
  async run(args, terminal) {
    const options = { ...API_OPTIONS, json: { type: "boolean" } } as const;
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    if (positionals.length > 0) throw new UsageError("status takes nothing more");
    const api = apiClient(terminal, values);
    const { status } = await api.json<{ status: string }>("GET", "/healthz");
    const { active, deferred, held } = await api.json<Counts>("GET", "/counter/zone");
    const blacklist = (await api.json<{ list: unknown[] }>("GET", "/blacklist")).list.length;
    const slowed = (await api.json<{ list: { id: string }[] }>("GET", "/slowed")).list.map(({ id }) => id);
    const { skipDomains } = await api.json<{ skipDomains: false | string[] }>("GET", "/skipdomains");
    const facts = {
      status,
      active: active.rows,
      deferred: deferred.rows,
      held: held.rows,
      blacklist,
      slowed,
      skipDomains: skipDomains === false ? [] : skipDomains,
    };
    if (values.json === true) return terminal.print(JSON.stringify(facts));
    terminal.print(`health     ${status}`);
    terminal.print(`active     ${facts.active}`);
    terminal.print(`deferred   ${facts.deferred}`);
    terminal.print(`held       ${facts.held}`);
    terminal.print(`blacklist  ${blacklist} (addresses of ours that a site refuses)`);
    terminal.print(`slowed     ${slowed.join(", ") || "-"} (zones and sites that asked them for less mail)`);
    terminal.print(
      `full       ${facts.skipDomains.join(" ") || "-"} (domains whose connections are all in use)`,
    );
  },
};
