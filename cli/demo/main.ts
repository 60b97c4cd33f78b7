/** `npm run demo`: a tour of at most a minute. It sends a mail of every fate to the sandbox receiver and tells what became of each. */

import { FATES, SUPPRESSED } from "./fates.ts";
import type { Fate } from "./fates.ts";
import { startRelayProcess } from "./relay-process.ts";
import type { RelayProcess } from "./relay-process.ts";

/** The part of `GET /message/{id}` that is shown. */
interface View {
  readonly messages: readonly {
    readonly recipient: string;
    readonly status: string;
    readonly attempts: number;
    readonly lastAttempt: { readonly detail: string } | null;
  }[];
}

interface Result {
  readonly fate: Fate;
  readonly view: View;
  readonly seconds: number;
}

const TOUR_TIMEOUT_MS = 50_000;
const POLL_MS = 250;
const OPEN = new Set(["QUEUED", "LEASED", "DEFERRED", "HELD"]);

async function tour(): Promise<number> {
  console.log("Starting ZoneFleet on a scratch data folder …");
  const relay = await startRelayProcess();
  try {
    console.log(`It takes mail on 127.0.0.1:${relay.smtpPort} (SMTP) and ${relay.httpUrl} (HTTP).\n`);
    await suppress(relay, SUPPRESSED);
    const results = await watch(relay, await sendAll(relay));
    const bounces = await reportsIn(relay);
    print(results, bounces, await relay.transactions());
    return results.every(asExpected) ? 0 : 1;
  } finally {
    console.log("\nStopping: what is in flight is finished first …");
    await relay.stop();
  }
}

async function suppress(relay: RelayProcess, address: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ address, reason: "asked not to be written to" });
  const response = await fetch(`${relay.httpUrl}/suppressionlist`, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`POST /suppressionlist: ${response.status} ${await response.text()}`);
}

interface Sent {
  readonly fate: Fate;
  readonly id: string;
  readonly at: number;
}

async function sendAll(relay: RelayProcess): Promise<Sent[]> {
  const sent: Sent[] = [];
  for (const fate of FATES) {
    const at = Date.now();
    const id = await fate.send(relay);
    console.log(`  ${fate.how}  accepted ${id}  ${fate.title}  (${Date.now() - at} ms)`);
    sent.push({ fate, id, at });
  }
  return sent;
}

/** Until each mail has come to its end. */
async function watch(relay: RelayProcess, sent: readonly Sent[]): Promise<Result[]> {
  const startedAt = Date.now();
  const results = new Map<string, Result>();
  const progress = process.stdout.isTTY ? "\r" : "";
  console.log("\nWaiting for each mail to come to its end …");
  while (results.size < sent.length && Date.now() - startedAt < TOUR_TIMEOUT_MS) {
    for (const { fate, id, at } of sent) {
      if (results.has(id)) continue;
      const view = await viewOf(relay, id);
      if (view.messages.some(({ status }) => OPEN.has(status))) continue;
      results.set(id, { fate, view, seconds: (Date.now() - at) / 1_000 });
      console.log(
        `${progress}  ${((Date.now() - startedAt) / 1_000).toFixed(1).padStart(5)} s  ${fate.title}: ${statesOf(view)}`,
      );
    }
    if (progress !== "")
      process.stdout.write(
        `\r  ${((Date.now() - startedAt) / 1_000).toFixed(0).padStart(5)} s  ${results.size} of ${sent.length} done`,
      );
    await new Promise((resolve) => {
      setTimeout(resolve, POLL_MS);
    });
  }
  if (progress !== "") process.stdout.write("\r\u001b[K");
  const unfinished = sent.filter(({ id }) => !results.has(id));
  for (const { fate, id, at } of unfinished) {
    results.set(id, { fate, view: await viewOf(relay, id), seconds: (Date.now() - at) / 1_000 });
  }
  return sent.map(({ id }) => results.get(id) as Result);
}

async function viewOf(relay: RelayProcess, id: string): Promise<View> {
  const response = await fetch(`${relay.httpUrl}/message/${id}`);
  if (!response.ok) throw new Error(`GET /message/${id}: ${response.status} ${await response.text()}`);
  return (await response.json()) as View;
}

/** Transactions to the sender's address: the reports on what bounced. */
async function reportsIn(relay: RelayProcess): Promise<number> {
  const deadline = Date.now() + 5_000;
  const wanted = FATES.filter(({ expected }) => expected !== "DELIVERED").length;
  for (;;) {
    const reports = (await relay.transactions()).filter((to) => to.includes("demo@sender.example")).length;
    if (reports >= wanted || Date.now() > deadline) return reports;
    await new Promise((resolve) => {
      setTimeout(resolve, POLL_MS);
    });
  }
}

function print(results: readonly Result[], reports: number, transactions: readonly string[][]): void {
  const rows = results.map((result) => [
    result.fate.title,
    result.fate.how,
    statesOf(result.view),
    String(Math.max(...result.view.messages.map(({ attempts }) => attempts))),
    `${result.seconds.toFixed(1)} s`,
    asExpected(result) ? "" : `expected ${result.fate.expected}; `,
  ]);
  const heads = ["mail", "by", "what became of it", "attempts", "after", "why"];
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => (row[i] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  console.log(`\n${line(heads)}\n${line(widths.map((width) => "-".repeat(width)))}`);
  rows.forEach((row, i) =>
    console.log(line([...row.slice(0, 5), `${row[5]}${reasonOf(results[i] as Result)}`])),
  );
  const largest = Math.max(...transactions.map((recipients) => recipients.length));
  console.log(
    `\nThe receiver took ${transactions.length} transactions; the largest had ${largest} recipients.`,
  );
  console.log(`${reports} reports on what could not be delivered went to the sender.`);
}

function statesOf({ messages }: View): string {
  const counts = new Map<string, number>();
  for (const { status } of messages) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].map(([status, count]) => (count === 1 ? status : `${count} x ${status}`)).join(", ");
}

function reasonOf({ view }: Result): string {
  return view.messages[0]?.lastAttempt?.detail ?? "not tried yet";
}

function asExpected({ fate, view }: Result): boolean {
  return view.messages.every(({ status }) => status === fate.expected);
}

process.exitCode = await tour();
