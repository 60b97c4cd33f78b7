/** Answers a worker's request for the totals over all processes: asks every worker for its newest counts, waits a little, sums. */

import { SECOND } from "#shared/domain/units.ts";
import type { MetricsSnapshot } from "#shared/runtime/metrics.ts";
import { metricTotals } from "#shared/runtime/metrics.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** A worker that does not answer by then is summed with what it said last. Less than a scrape waits (worker-link.ts). */
const ANSWER_TIMEOUT_MS = SECOND;

export interface MetricsGatherer {
  report(worker: string, snapshot: MetricsSnapshot): void;
  bury(worker: string): void;
  answer(child: WorkerProcess, request: number): Promise<void>;
}

export function metricsGatherer(workers: () => readonly WorkerProcess[]): MetricsGatherer {
  const totals = metricTotals();

  async function gather(): Promise<string> {
    await Promise.all(
      workers().map((worker) => {
        const answered = worker.next("metrics", ANSWER_TIMEOUT_MS);
        worker.send({ type: "metrics-request" });
        return answered;
      }),
    );
    return totals.text();
  }

  return {
    report: (worker, snapshot) => totals.report(worker, snapshot),
    bury: (worker) => totals.bury(worker),
    async answer(child, request) {
      child.send({ type: "totals", request, text: await gather() });
    },
  };
}
