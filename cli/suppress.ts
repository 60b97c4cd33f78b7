/** `zonefleet suppress`: whom nothing is sent to. */

import { parseArgs } from "node:util";

import { csvLine, csvReader } from "#shared/domain/csv.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { DAY, HOUR, MINUTE } from "#shared/domain/units.ts";

import type { ApiClient } from "./api-client.ts";
import { API_OPTIONS, apiClient, refuseOtherOptions } from "./api-client.ts";
import type { Command, OptionValues, Terminal } from "./command.ts";
import { ASKS_API, limitOf, noSuchAction, onlyOperand, refuseMore, UsageError } from "./command.ts";

const usage = `  zonefleet suppress add <address or domain> [--sender <domain> | --user <user>]
                                     [--reason <text>] [--expires <15m, 6h, 30d or ISO 8601>]
                                     for all mail, or that of one sender domain or user
  zonefleet suppress remove <address, domain or id> [--sender <domain> | --user <user>]
  zonefleet suppress list [--limit <n>] [--json]
  zonefleet suppress import [<file>] [--format ndjson|csv] [--dry-run]
                                     what is there already stays; a CSV has a line of column names,
                                     or one address a line; exit code 1 when some were not understood
  zonefleet suppress export [--format ndjson|csv]`;

const OPTIONS = {
  ...API_OPTIONS,
  sender: { type: "string" },
  user: { type: "string" },
  reason: { type: "string" },
  expires: { type: "string" },
  limit: { type: "string" },
  json: { type: "boolean" },
  format: { type: "string" },
  "dry-run": { type: "boolean" },
} as const;

type Values = OptionValues<typeof OPTIONS>;
type Format = "ndjson" | "csv";

/** The options of each action. */
const OWN: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries<readonly string[]>({
    add: ["sender", "user", "reason", "expires"],
    remove: ["sender", "user"],
    list: ["limit", "json"],
    import: ["format", "dry-run"],
    export: ["format"],
  }),
);
const TYPES: Readonly<Record<Format, string>> = { ndjson: "application/x-ndjson", csv: "text/csv" };
/** What the API takes at once. */
const MAX_BATCH_ENTRIES = 1_000;
const MAX_BATCH_CHARS = 300_000;
/** More is not meant to be an entry. */
const MAX_LINE_CHARS = 65_536;
const PAGE = 1_000;
/** Entries that cannot be read are told one by one up to here. */
const MAX_TOLD = 20;

export const suppressCommand: Command = {
  usage,
  worksOn: ASKS_API,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    const [action, ...operands] = positionals;
    const api = apiClient(terminal, values);
    const own = OWN.get(action ?? "");
    if (action === undefined || own === undefined) throw noSuchAction("suppress", action);
    refuseOtherOptions(action, values, own);
    if (action === "add") return add(api, onlyOperand(operands, "address or domain"), values, terminal);
    if (action === "remove") {
      return remove(api, onlyOperand(operands, "address, domain or id"), values, terminal);
    }
    if (action === "import") return importFile(api, fileOf(operands), values, terminal);
    if (operands.length > 0) throw new UsageError(`${action} takes nothing more`);
    return action === "list" ? list(api, values, terminal) : exportAll(api, values, terminal);
  },
};

interface View {
  readonly id: string;
  readonly created: string;
  readonly address?: string;
  readonly domain?: string;
  readonly scope: string;
  readonly sender?: string;
  readonly user?: string;
  readonly reason: string | null;
  readonly expires: string | null;
}

async function add(api: ApiClient, what: string, values: Values, { print }: Terminal): Promise<void> {
  const { sender, user, reason } = values;
  const expires = values.expires === undefined ? undefined : endOf(values.expires);
  const json = { ...subjectOf(what), sender, user, reason, expires };
  const { suppressed } = await api.json<{ suppressed: View }>("POST", "/suppressionlist", { json });
  print(lineOf(suppressed));
}

async function remove(api: ApiClient, what: string, values: Values, { print }: Terminal): Promise<void> {
  const { sender, user } = values;
  const isName = /[@.]/.test(what);
  if (!isName && (sender !== undefined || user !== undefined)) {
    throw new UsageError("--sender and --user go with an address or a domain");
  }
  const json = isName ? { ...subjectOf(what), sender, user } : { id: what };
  const { deleted } = await api.json<{ deleted: string }>("DELETE", "/suppressionlist", { json });
  print(`Entry ${deleted} removed.`);
}

async function list(api: ApiClient, values: Values, { print, complain }: Terminal): Promise<void> {
  const limit = limitOf(values.limit, 100);
  let left = limit;
  let cursor: string | undefined;
  do {
    const query = { pageSize: String(Math.min(left, PAGE)), cursor };
    const page = await api.json<{ suppressed: View[]; cursor: string | null }>("GET", "/suppressionlist", {
      query,
    });
    for (const entry of page.suppressed) print(values.json === true ? JSON.stringify(entry) : lineOf(entry));
    left -= page.suppressed.length;
    cursor = page.cursor ?? undefined;
  } while (cursor !== undefined && left > 0);
  if (left === limit) complain("Nobody is on the list.");
  if (cursor !== undefined) complain(`There are more than these ${limit}: --limit <n> shows more.`);
}

async function exportAll(api: ApiClient, values: Values, { write }: Terminal): Promise<void> {
  const format = formatOf(values.format) ?? "ndjson";
  let cursor: string | undefined;
  do {
    const query = { format, pageSize: String(PAGE), cursor };
    const page = await api.ask("GET", "/suppressionlist/export", { query });
    await write(new Uint8Array(await page.arrayBuffer()));
    cursor = nextCursor(page.headers.get("link"));
  } while (cursor !== undefined);
}

/** Of a Link header (RFC 8288) as the API writes it. */
function nextCursor(link: string | null): string | undefined {
  const [, path] = /^<([^>]+)>; rel="next"/.exec(link ?? "") ?? [];
  if (path === undefined) return undefined;
  return new URL(path, "http://localhost").searchParams.get("cursor") ?? undefined;
}

interface Imported {
  entries: number;
  added: number;
  present: number;
  readonly invalid: readonly { entry: number; error: string }[];
}

async function importFile(
  api: ApiClient,
  file: string | null,
  values: Values,
  { readText, print, complain }: Terminal,
): Promise<void> {
  const format =
    formatOf(values.format) ?? (file?.toLowerCase().endsWith(".csv") === true ? "csv" : "ndjson");
  const dryRun = values["dry-run"] === true;
  const sum = { entries: 0, added: 0, present: 0, invalid: 0 };
  const text = readText(file);
  for await (const body of format === "csv" ? csvBatches(text) : ndjsonBatches(text)) {
    const report = await api.json<Imported>("POST", "/suppressionlist/import", {
      query: { dryRun: dryRun ? "yes" : "no" },
      text: { type: TYPES[format], body },
    });
    for (const { entry, error } of report.invalid) {
      if (sum.invalid++ < MAX_TOLD) complain(`entry ${sum.entries + entry}: ${error}`);
    }
    sum.entries += report.entries;
    sum.added += report.added;
    sum.present += report.present;
  }
  const would = dryRun ? "would be " : "";
  print(
    `${sum.entries} entries: ${sum.added} ${would}added, ${sum.present} there already, ${sum.invalid} not understood.`,
  );
  if (sum.invalid > 0)
    throw new DomainError(
      "refused",
      "what was not understood is not on the list; put it right, and import it again",
    );
}

async function* ndjsonBatches(text: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = "";
  async function* lines(): AsyncGenerator<string> {
    for await (const chunk of text) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      if (rest.length > MAX_LINE_CHARS) {
        throw new DomainError(
          "invalid-body",
          `a line has over ${MAX_LINE_CHARS} characters: this is no NDJSON`,
        );
      }
      for (const line of parts) if (line.trim() !== "") yield `${line}\n`;
    }
    if (rest.trim() !== "") yield `${rest}\n`;
  }
  yield* batches(lines(), "");
}

async function* csvBatches(text: AsyncIterable<string>): AsyncGenerator<string> {
  const reader = csvReader();
  async function* records(): AsyncGenerator<string[]> {
    for await (const chunk of text) yield* reader.push(chunk);
    yield* reader.end();
  }
  const all = records();
  const first = await all.next();
  if (first.done === true) return;
  const isHeader = first.value.length > 1 || first.value[0]?.includes("@") !== true;
  async function* lines(): AsyncGenerator<string> {
    if (!isHeader) yield csvLine(first.value as string[]);
    for await (const record of all) yield csvLine(record);
  }
  yield* batches(lines(), isHeader ? csvLine(first.value) : "");
}

/** Lines put together to what one request may have, each under the header. */
async function* batches(lines: AsyncIterable<string>, header: string): AsyncGenerator<string> {
  let batch = header;
  let count = 0;
  for await (const line of lines) {
    if (count > 0 && (count === MAX_BATCH_ENTRIES || batch.length + line.length > MAX_BATCH_CHARS)) {
      yield batch;
      batch = header;
      count = 0;
    }
    batch += line;
    count++;
  }
  if (count > 0) yield batch;
}

function fileOf(operands: readonly string[]): string | null {
  const [file, ...more] = operands;
  refuseMore(more);
  return file === undefined || file === "-" ? null : file;
}

function formatOf(text: string | undefined): Format | undefined {
  if (text === undefined || text === "ndjson" || text === "csv") return text;
  throw new UsageError(`--format is ndjson or csv, and not ${JSON.stringify(text)}`);
}

function subjectOf(what: string): { address: string } | { domain: string } {
  return what.includes("@") ? { address: what } : { domain: what };
}

const UNITS_MS: Readonly<Record<string, number>> = { m: MINUTE, h: HOUR, d: DAY };

function endOf(text: string): string {
  const [, count, unit = ""] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  return unitMs === undefined ? text : new Date(Date.now() + Number(count) * unitMs).toISOString();
}

function lineOf(entry: View): string {
  const scope = entry.sender ?? entry.user ?? "";
  const whose = scope === "" ? "all mail" : `${entry.scope} ${scope}`;
  const end = entry.expires === null ? "" : `until ${entry.expires}`;
  const reason = (entry.reason ?? "").replaceAll(/\p{Cc}+/gu, " ");
  return [entry.id, entry.address ?? entry.domain ?? "", whose, entry.created, end, reason]
    .join("\t")
    .trimEnd();
}
