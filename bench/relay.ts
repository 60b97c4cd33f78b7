/** `npm run bench -- relay`: from the first mail handed in to the last one delivered, with durable accept, in turns. */

import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";

import type { SinkReport } from "./sink.ts";
import type { SourceJob, SourceReport } from "./source.ts";
import { usageOf } from "./process-tree.ts";
import { startSystem } from "./systems.ts";
import type { SystemName } from "./systems.ts";

export interface RelayOptions {
  readonly systems: readonly SystemName[];
  readonly sizesKib: readonly number[];
  readonly messages: number;
  readonly rounds: number;
  readonly reuse: boolean;
  readonly processes: number;
  readonly sessions: number;
  readonly connections: number;
}

export interface Measure {
  readonly system: SystemName;
  readonly sizeKib: number;
  readonly perSecond: number;
  readonly acceptsPerSecond: number;
  readonly cpuPerThousand: number;
  readonly residentMib: number;
}

const WARM_UP_MESSAGES = 500;
const DELIVERY_TIMEOUT_MS = 180_000;
const POLL_MS = 20;

export async function measureRelay(options: RelayOptions, say: (line: string) => void): Promise<Measure[]> {
  const sink = fork(join(import.meta.dirname, "sink.ts"));
  const { port } = (await nextMessage(sink)) as { port: number };
  const measures: Measure[] = [];
  try {
    for (let round = 1; round <= options.rounds; round++) {
      for (const sizeKib of options.sizesKib) {
        for (const system of options.systems) {
          const measure = await measureOnce(system, sizeKib, options, { sink, port });
          measures.push(measure);
          say(`  round ${round}, ${sizeKib} KiB, ${system.padEnd(9)} ${figures(measure)}`);
        }
      }
    }
  } finally {
    sink.disconnect();
  }
  return measures;
}

async function measureOnce(
  name: SystemName,
  sizeKib: number,
  options: RelayOptions,
  { sink, port }: { sink: ChildProcess; port: number },
): Promise<Measure> {
  const system = await startSystem(name, {
    sinkPort: port,
    processes: options.processes,
    connections: options.connections,
  });
  try {
    const { sessions, reuse, messages } = options;
    const job = {
      port: system.port,
      bytes: sizeKib * 1_024,
      sessions,
      reuse,
      recipient: "someone@receiver.example",
    };
    await relay({ ...job, messages: WARM_UP_MESSAGES }, sink);
    const before = usageOf(system.pid);
    const { startedAt, acceptedAt, lastAt } = await relay({ ...job, messages }, sink);
    const after = usageOf(system.pid);
    return {
      system: name,
      sizeKib,
      perSecond: (messages * 1_000) / (lastAt - startedAt),
      acceptsPerSecond: (messages * 1_000) / (acceptedAt - startedAt),
      cpuPerThousand: ((after.cpuSeconds - before.cpuSeconds) * 1_000) / messages,
      residentMib: after.residentBytes / 1_048_576,
    };
  } finally {
    await system.stop();
  }
}

/** Hand in the mails and wait until all have come out at the other end. */
async function relay(job: SourceJob, sink: ChildProcess): Promise<SourceReport & SinkReport> {
  await ask(sink, "reset");
  const source = fork(join(import.meta.dirname, "source.ts"));
  source.send(job);
  const report = (await nextMessage(source)) as SourceReport | { error: string };
  source.disconnect();
  if ("error" in report) throw new Error(report.error);
  const deadline = Date.now() + DELIVERY_TIMEOUT_MS;
  for (;;) {
    const received = await ask(sink, "report");
    if (received.received >= job.messages) {
      await pause(500); // what is still written about the last mails belongs to their cost
      return { ...report, ...received };
    }
    if (Date.now() > deadline)
      throw new Error(`only ${received.received} of ${job.messages} mails were delivered`);
    await pause(POLL_MS);
  }
}

function figures({ perSecond, acceptsPerSecond, cpuPerThousand, residentMib }: Measure): string {
  return (
    `${perSecond.toFixed(0).padStart(6)} mails/s  ${acceptsPerSecond.toFixed(0).padStart(6)} accepts/s  ` +
    `${cpuPerThousand.toFixed(2)} CPU s per 1,000  ${residentMib.toFixed(0)} MiB`
  );
}

export async function ask(sink: ChildProcess, what: "reset" | "report"): Promise<SinkReport> {
  sink.send(what);
  return (await nextMessage(sink)) as SinkReport;
}

export function nextMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void =>
      reject(new Error(`a helper process ended with code ${code}`));
    child.once("exit", onExit);
    child.once("message", (message) => {
      child.off("exit", onExit);
      resolve(message);
    });
  });
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
