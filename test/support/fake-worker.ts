/**
 * A worker for tests of the supervisor: it really joins the folder, listens and counts, and has no store and no mail. What it is to do
 * wrong is in FAKE_WORKER; what it does is told in lines like the log's.
 *
 * - `refuse` it cannot start and says why · `crash` it dies at start without a word · `stubborn` it never ends when drained
 * - `hang` its start never comes to an end, nor does the recovery it was to do first
 * - `slow` it takes a moment to drain · unset: it does everything right
 */

import { createServer } from "node:http";
import type { Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { createMetrics } from "#shared/runtime/metrics.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { LinkedWorker, WorkerStart } from "../../sender/worker-link.ts";
import { runUnderSupervisor } from "../../sender/worker-link.ts";

const SLOW_MS = 700;
/** Longer than a process takes to start on a busy machine. */
const SLOW_DRAIN_MS = 5_000;
const mode = process.env["FAKE_WORKER"];

await runUnderSupervisor(start, systemClock);

async function start({ assignment, recovered, totals }: WorkerStart): Promise<LinkedWorker> {
  const { worker, index, recovery, settings } = assignment;
  const tell = (msg: string, fields: object = {}): void =>
    void process.stdout.write(
      `${JSON.stringify({ msg, worker, index, workerPid: process.pid, ...fields })}\n`,
    );
  tell("fake started", { recovery });
  if (mode === "refuse") throw new Error("the store is upside down: turn it over");
  if (mode === "crash") process.exit(7);
  if (mode === "hang") await new Promise(() => undefined);
  if (recovery) recovered();
  const metrics = createMetrics({
    zones: [],
    readStore: () => Promise.resolve({ queued: 5, deferred: 0, blacklisted: 0, slowed: 0 }),
    totals,
    onError: (error) => tell("fake error", { error: String(error) }),
  });
  const server = createServer((request, response) => {
    void answer(request.url ?? "").then((text) => response.end(text));
  });
  /** `/push` counts one; `/slow` answers late. */
  async function answer(url: string): Promise<string> {
    if (url === "/metrics") return metrics.text();
    if (url === "/push") metrics.messagePush.inc({ result: "success" });
    if (url === "/slow") {
      tell("fake is slow");
      await sleep(SLOW_MS);
    }
    return String(process.pid);
  }
  const { host, port } = settings.config.api;
  await listening(server, host, port);
  return {
    listens: [{ kind: "http", name: "api", address: host, port }],
    async recover(recovery) {
      tell("fake recovers", { recovery });
    },
    snapshot: () => metrics.snapshot(),
    sockets: () => new Map(),
    async drain(graceMs) {
      tell("fake drains", { graceMs });
      if (mode === "stubborn") await sleep(2 * graceMs);
      if (mode === "slow") await sleep(SLOW_DRAIN_MS);
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      await closed;
      tell("fake ends");
    },
    onError: (what, error) => tell("fake error", { what, error: String(error) }),
  };
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort: true }, resolve);
  });
}
