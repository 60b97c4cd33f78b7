/** `zonefleet queue`: see the mail that waits, and change what becomes of it. */

import { parseArgs } from "node:util";

import type { ApiClient } from "./api-client.ts";
import { API_OPTIONS, apiClient, ApiError, refuseOtherOptions } from "./api-client.ts";
import type { Command, OptionValues, Terminal } from "./command.ts";
import { ASKS_API, limitOf, noSuchAction, onlyOperand, refuseMore, UsageError } from "./command.ts";

const usage = `  zonefleet queue list [<conditions>] [--state <state>] [--limit <n>] [--cursor <cursor>] [--json]
                                     a list that is cut off tells the cursor to go on with
  zonefleet queue show <id> [--json]
  zonefleet queue fetch <id>         print the stored message
  zonefleet queue retry|hold|release|drop <id> [<seq>]
                                     change a message, or one of its recipients
  zonefleet queue retry|hold|release|drop <conditions>|--all [--dry-run] [--yes]
                                     count what matches, ask (unless --yes), and change it;
                                     --dry-run only counts
                                     conditions, which all have to be true: --zone <zone>
                                     --sender <address, domain or "<>"> --domain <recipient domain>
                                     --recipient <address> --older-than <30s, 15m, 6h, 2d>
                                     --error <part of the last reply or its category>`;

const OPTIONS = {
  ...API_OPTIONS,
  zone: { type: "string" },
  sender: { type: "string" },
  domain: { type: "string" },
  recipient: { type: "string" },
  "older-than": { type: "string" },
  error: { type: "string" },
  all: { type: "boolean" },
  state: { type: "string" },
  limit: { type: "string" },
  cursor: { type: "string" },
  json: { type: "boolean" },
  "dry-run": { type: "boolean" },
  yes: { type: "boolean" },
} as const;

type Values = OptionValues<typeof OPTIONS>;

const CONDITIONS = ["zone", "sender", "domain", "recipient", "older-than", "error"] as const;
const DONE = { retry: "due now", hold: "held", release: "released", drop: "dropped" } as const;
type Operation = keyof typeof DONE;

const MATCHING = [...CONDITIONS, "all", "dry-run", "yes"];
/** The options of each action. */
const OWN: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries<readonly string[]>({
    list: [...CONDITIONS, "state", "limit", "cursor", "json"],
    show: ["json"],
    fetch: [],
    retry: MATCHING,
    hold: MATCHING,
    release: MATCHING,
    drop: MATCHING,
  }),
);

/** Rows in one page of a list. */
const PAGE = 500;

export const queueCommand: Command = {
  usage,
  worksOn: ASKS_API,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    const [action, ...operands] = positionals;
    const own = OWN.get(action ?? "");
    if (action === undefined || own === undefined) throw noSuchAction("queue", action);
    refuseOtherOptions(action, values, own);
    const api = apiClient(terminal, values);
    switch (action) {
      case "list":
        if (operands.length > 0) throw new UsageError("list takes conditions, and no word more");
        return list(api, values, terminal);
      case "show":
        return show(api, onlyOperand(operands, "id of the message"), values, terminal);
      case "fetch":
        return fetchMessage(api, onlyOperand(operands, "id of the message"), terminal);
      case "retry":
      case "hold":
      case "release":
      case "drop":
        return operands.length > 0
          ? operateOne(api, action, operands, values, terminal)
          : operateMatching(api, action, values, terminal);
      default:
        throw noSuchAction("queue", action);
    }
  },
};

function conditionsOf(values: Values): Record<string, string> {
  const given = CONDITIONS.flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [[name === "older-than" ? "olderThan" : name, value] as const];
  });
  return Object.fromEntries(given);
}

interface Entry {
  readonly id: string;
  readonly seq: string;
  readonly zone: string;
  readonly from: string | null;
  readonly recipient: string;
  readonly status: string;
  readonly created: string;
  readonly deferred: number;
  readonly response: string | null;
}

async function list(api: ApiClient, values: Values, { print, complain }: Terminal): Promise<void> {
  const limit = limitOf(values.limit, 100);
  let { cursor } = values;
  let left = limit;
  do {
    const query = {
      ...conditionsOf(values),
      state: values.state,
      cursor,
      pageSize: String(Math.min(left, PAGE)),
    };
    const page = await api.json<{ list: Entry[]; cursor: string | null }>("GET", "/queue", { query });
    for (const entry of page.list) print(values.json === true ? JSON.stringify(entry) : lineOf(entry));
    left -= page.list.length;
    cursor = page.cursor ?? undefined;
  } while (cursor !== undefined && left > 0);
  if (left === limit) complain("No recipient matches.");
  if (cursor !== undefined)
    complain(`There may be more: --cursor ${cursor} goes on behind these, --limit <n> shows more of them.`);
}

function lineOf({ id, seq, status, zone, from, recipient, created, deferred, response }: Entry): string {
  const tried = deferred === 0 ? "" : `${deferred}x: ${oneLine(response ?? "")}`;
  return [`${id} ${seq}`, status, zone, created, from === "" ? "<>" : (from ?? "?"), recipient, tried]
    .join("\t")
    .trimEnd();
}

interface MessageView {
  readonly meta: { from: string; subject: string | null; time: number; size: number; user: string | null };
  readonly messages: readonly {
    seq: string;
    zone: string;
    recipient: string;
    status: string;
    attempts: number;
    next: number | null;
    way?: string;
    note?: string;
    lastAttempt: { response: string; detail: string; mx: string | null } | null;
  }[];
}

async function show(api: ApiClient, id: string, values: Values, { print }: Terminal): Promise<void> {
  const view = await api.json<MessageView>("GET", `/message/${encodeURIComponent(id)}`);
  if (values.json === true) return print(JSON.stringify(view));
  const { meta } = view;
  print(`from      ${meta.from === "" ? "<>" : meta.from}`);
  print(`accepted  ${new Date(meta.time).toISOString()}`);
  if (meta.user !== null) print(`user      ${oneLine(meta.user)}`);
  print(`subject   ${oneLine(meta.subject ?? "")}`);
  print(`bytes     ${meta.size}`);
  for (const { seq, recipient, status, zone, attempts, next, way, note, lastAttempt } of view.messages) {
    print(`${seq}  ${recipient}  ${status}  zone ${zone}  attempts ${attempts}`);
    if (way !== undefined) print(`     by ${oneLine(way)}`);
    if (lastAttempt)
      print(`     ${lastAttempt.mx ?? "-"}: ${oneLine(lastAttempt.response || lastAttempt.detail)}`);
    if (note !== undefined) print(`     ${oneLine(note)}`);
    else if (next !== null) print(`     next try ${new Date(next).toISOString()}`);
  }
}

async function fetchMessage(api: ApiClient, id: string, { write }: Terminal): Promise<void> {
  const { body } = await api.ask("GET", `/fetch/${encodeURIComponent(id)}`);
  if (body) for await (const chunk of body) await write(chunk as Uint8Array);
}

async function operateOne(
  api: ApiClient,
  operation: Operation,
  operands: readonly string[],
  values: Values,
  { print }: Terminal,
): Promise<void> {
  const [id = "", seq, ...more] = operands;
  refuseMore(more);
  if (CONDITIONS.some((name) => values[name] !== undefined) || values.all || values["dry-run"]) {
    throw new UsageError("name a message, or conditions, and not both");
  }
  const path = `/message/${[id, ...(seq === undefined ? [] : [seq])].map(encodeURIComponent).join("/")}`;
  const { rows } =
    operation === "drop"
      ? await api.json<{ rows: string[] }>("DELETE", path)
      : await api.json<{ rows: string[] }>("PUT", path, { query: { action: operation } });
  for (const row of rows) print(`${row} ${DONE[operation]}`);
}

interface Report {
  matched: number;
  busy: number;
  changed: number;
}

async function operateMatching(
  api: ApiClient,
  operation: Operation,
  values: Values,
  terminal: Terminal,
): Promise<void> {
  const conditions = conditionsOf(values);
  if (Object.keys(conditions).length === 0 && values.all !== true) {
    throw new UsageError("say which recipients: conditions, the id of a message, or --all");
  }
  const request = { ...conditions, ...(values.all === true ? { all: true } : {}) };
  if (values["dry-run"] === true || values.yes !== true) {
    const counted = await pass(api, operation, { ...request, dryRun: true });
    terminal.print(`${recipients(counted.matched)} would be ${DONE[operation]}${busyOf(counted)}.`);
    if (values["dry-run"] === true || counted.matched === 0) return;
    if (!(await isMeant(terminal, `${operation} ${recipients(counted.matched)}`))) return;
  }
  const done = await pass(api, operation, request);
  terminal.print(`${recipients(done.changed)} ${DONE[operation]}${busyOf(done)}.`);
}

/** Call after call until all have been looked at. */
async function pass(api: ApiClient, operation: Operation, request: object): Promise<Report> {
  const sum: Report = { matched: 0, busy: 0, changed: 0 };
  let cursor: string | null = null;
  do {
    const json: object = { ...request, ...(cursor === null ? {} : { cursor }) };
    const report = await api
      .json<Report & { cursor: string | null }>("POST", `/queue/${operation}`, { json })
      .catch((error: unknown) => {
        if (sum.changed === 0 || !(error instanceof ApiError)) throw error;
        const far = `${recipients(sum.changed)} ${DONE[operation]} so far; the same command does the rest`;
        throw new ApiError(`${error.message} (${far})`, { cause: error });
      });
    sum.matched += report.matched;
    sum.busy += report.busy;
    sum.changed += report.changed;
    ({ cursor } = report);
  } while (cursor !== null);
  return sum;
}

async function isMeant({ confirm, print }: Terminal, what: string): Promise<boolean> {
  const answer = await confirm(`${what}? [y/N] `);
  if (answer === null) throw new UsageError("there is nobody to ask; --yes does it without");
  if (!answer) print("Nothing was changed.");
  return answer;
}

function busyOf({ busy }: Report): string {
  return busy === 0 ? "" : ` (${busy} more are being sent just now and left alone)`;
}

function recipients(count: number): string {
  return count === 1 ? "1 recipient" : `${count} recipients`;
}

/** What came from outside must not steer the terminal. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ");
}
