/**
 * The suppression list in bulk, as NDJSON or CSV: pages out, batches in. A batch is bounded and may be sent again: what is there
 * stays. What is exported can be imported as it is.
 */

import { csvLine, readCsv } from "../domain/csv.ts";
import { DomainError } from "../domain/errors.ts";
import type { EpochMs } from "../domain/units.ts";
import type { SuppressionRequest, SuppressionStore } from "../ports/suppression-store.ts";
import { MAX_ADDED } from "../ports/suppression-store.ts";
import { readSuppression, suppressionView } from "./suppress.ts";

export type TransferFormat = "ndjson" | "csv";

const COLUMNS = ["address", "domain", "scope", "sender", "user", "reason", "expires", "created"] as const;
/** Made by the store: an import takes them and looks at neither. */
const MADE: ReadonlySet<string> = new Set(["id", "created"]);

/** One page as text. The cursor is null when it was the last one; a CSV has its header in the first. */
export async function exportSuppressions(
  store: SuppressionStore,
  request: { format: TransferFormat; pageSize: number; cursor: string | undefined },
): Promise<{ text: string; cursor: string | null }> {
  const { format, pageSize } = request;
  const { entries, cursor } = await store.list({ limit: pageSize, cursor: request.cursor ?? null });
  const views: Readonly<Record<string, string | null>>[] = entries.map(suppressionView);
  if (format === "ndjson") return { text: views.map((view) => `${JSON.stringify(view)}\n`).join(""), cursor };
  const header = request.cursor === undefined ? [csvLine(COLUMNS)] : [];
  const lines = views.map((view) => csvLine(COLUMNS.map((column) => view[column] ?? "")));
  return { text: [...header, ...lines].join(""), cursor };
}

/** Add what can be read and tell of the rest; `dryRun` looks and adds nothing. Throws for what is no NDJSON or CSV at all. */
export async function importSuppressions(
  store: SuppressionStore,
  text: string,
  { format, dryRun, now }: { format: TransferFormat; dryRun: boolean; now: EpochMs },
) {
  const given = format === "csv" ? csvEntries(text) : ndjsonEntries(text);
  if (given.length > MAX_ADDED) {
    throw new DomainError("too-large", `there are over ${MAX_ADDED} entries; send them in parts`);
  }
  const invalid: { entry: number; error: string }[] = [];
  const requests: SuppressionRequest[] = [];
  for (const [i, read] of given.entries()) {
    const request = readOne(read, now);
    if (request instanceof DomainError) invalid.push({ entry: i + 1, error: request.message });
    else requests.push(request);
  }
  const isNew = dryRun ? await lookUp(store, requests) : await add(store, requests);
  const added = isNew.filter(Boolean).length;
  return { dryRun, entries: given.length, added, present: requests.length - added, invalid };
}

/** An entry still to be read, so that one that cannot be stops no other. */
type Unread = () => unknown;

function readOne(read: Unread, now: EpochMs): SuppressionRequest | DomainError {
  try {
    return readSuppression(withoutMade(read()), now);
  } catch (error) {
    if (error instanceof DomainError) return error;
    if (error instanceof SyntaxError) return new DomainError("invalid-body", `not JSON: ${error.message}`);
    throw error;
  }
}

function withoutMade(entry: unknown): unknown {
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return entry;
  return Object.fromEntries(Object.entries(entry).filter(([name]) => !MADE.has(name)));
}

async function add(store: SuppressionStore, requests: readonly SuppressionRequest[]): Promise<boolean[]> {
  return (await store.addAll(requests)).map(({ added }) => added);
}

/** How many `get` are under way at once. */
const LOOKUPS_AT_ONCE = 50;

async function lookUp(store: SuppressionStore, requests: readonly SuppressionRequest[]): Promise<boolean[]> {
  const found: boolean[] = [];
  for (let at = 0; at < requests.length; at += LOOKUPS_AT_ONCE) {
    const some = requests.slice(at, at + LOOKUPS_AT_ONCE);
    found.push(...(await Promise.all(some.map(async (request) => (await store.get(request)) === null))));
  }
  return found;
}

function ndjsonEntries(text: string): Unread[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => () => JSON.parse(line) as unknown);
}

/** The first line names the columns, in any order; without such a line it is one address a line. */
function csvEntries(text: string): Unread[] {
  const [first, ...rest] = readCsv(text);
  if (first === undefined) return [];
  if (first.length === 1 && first[0]?.includes("@") === true) {
    return [first, ...rest].map(([address]) => () => ({ address }));
  }
  const columns = first.map((name) => name.trim().toLowerCase());
  const unknown = columns.find((name) => !MADE.has(name) && !(COLUMNS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    const problem = `the first line has to name the columns (${COLUMNS.join(", ")}), and ${JSON.stringify(unknown.slice(0, 80))} is none`;
    throw new DomainError("invalid-body", problem);
  }
  return rest.map((fields) => () => entryOfFields(columns, fields));
}

function entryOfFields(columns: readonly string[], fields: readonly string[]): Record<string, string> {
  if (fields.length > columns.length)
    throw new DomainError("invalid-body", "there are more fields than columns");
  const named = fields.map((field, i) => [columns[i] ?? "", field] as const);
  return Object.fromEntries(named.filter(([, field]) => field !== ""));
}
