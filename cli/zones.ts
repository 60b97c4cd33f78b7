/** `zonefleet zones`: the zones, and how much mail waits in each. */

import { parseArgs } from "node:util";

import { API_OPTIONS, apiClient } from "./api-client.ts";
import type { Command } from "./command.ts";
import { ASKS_API, UsageError } from "./command.ts";

const usage = `  zonefleet zones [--json]           the zones, with the recipients that wait in each`;

interface Counter {
  readonly entries: readonly { key: string; value: number }[];
  readonly rows: number;
}
/** What `/counter/zone/` answers. */
export interface Counts {
  readonly active: Counter;
  readonly deferred: Counter;
  readonly held: Counter;
}

export const zonesCommand: Command = {
  usage,
  worksOn: ASKS_API,
  async run(args, terminal) {
    const options = { ...API_OPTIONS, json: { type: "boolean" } } as const;
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    if (positionals.length > 0) throw new UsageError("zones takes nothing more");
    const api = apiClient(terminal, values);
    const zones = await api.json<{ name: string; disabled: boolean }[]>("GET", "/zones", {
      query: { includeDisabled: "yes" },
    });
    const counts = await api.json<Counts>("GET", "/counter/zone");
    for (const { name, disabled, configured } of withForgotten(zones, counts)) {
      const rows = {
        active: of(counts.active, name),
        deferred: of(counts.deferred, name),
        held: of(counts.held, name),
      };
      if (values.json === true) terminal.print(JSON.stringify({ name, disabled, configured, ...rows }));
      else {
        const numbers = Object.entries(rows).map(([state, count]) => `${state} ${count}`);
        const words = [
          ...(disabled ? ["disabled"] : []),
          ...(configured ? [] : ["not in the configuration"]),
        ];
        terminal.print([name, ...numbers, ...words].join("\t"));
      }
    }
  },
};

/** A zone that is not configured any more may still have mail. */
function withForgotten(zones: readonly { name: string; disabled: boolean }[], counts: Counts) {
  const known = new Set(zones.map(({ name }) => name));
  const others = [counts.active, counts.deferred, counts.held].flatMap(({ entries }) =>
    entries.map(({ key }) => key).filter((key) => !known.has(key)),
  );
  return [
    ...zones.map((zone) => ({ ...zone, configured: true })),
    ...[...new Set(others)].map((name) => ({ name, disabled: false, configured: false })),
  ];
}

function of({ entries }: Counter, zone: string): number {
  return entries.find(({ key }) => key === zone)?.value ?? 0;
}
