/**
 * The store of a relay in a test's process, on the local AWS: an installation of its own, and what the Lambda of events does, done
 * by a reader of the table's stream.
 */

import { bootstrapAws, DEFAULT_VISIBILITY_MS } from "#shared/aws/bootstrap.ts";
import { eventsOfRecord } from "#shared/aws/event-stream.ts";
import type { StreamRecord } from "#shared/aws/event-stream.ts";
import { openAws } from "#shared/aws/open.ts";
import { reportEvents } from "#shared/app/report-bounces.ts";
import type { Submit } from "#shared/app/submit.ts";
import type { Config } from "#shared/domain/config.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { readTableStream } from "../../sender/aws-local/table-stream.ts";
import { AWS_TERMS } from "../../sender/store-terms.ts";
import { systemClock } from "../../sender/system-clock.ts";
import { sharedLocalAws } from "./aws-backend.ts";
import type { RelayStore } from "./relay.ts";

export async function awsRelayStore(config: Config): Promise<RelayStore> {
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  const zones = [...config.zones.keys()];
  const clients = aws.newClients();
  const { historyMs } = config.queue;
  await bootstrapAws({ clients, names, zones, visibilityMs: DEFAULT_VISIBILITY_MS, stream: true });
  const backend = await openAws({ clients, names, clock: systemClock, zones, historyMs });
  const endpoint = aws.env["AWS_ENDPOINT_URL_DYNAMODB"] ?? aws.env["AWS_ENDPOINT_URL"] ?? "";
  return {
    backend: {
      ...backend,
      async close() {
        await backend.close();
        clients.close();
      },
    },
    terms: AWS_TERMS,
    reportBounces: (submit) => bounceReporter({ endpoint, table: names.table, config, backend, submit }),
  };
}

interface ReporterOptions {
  readonly endpoint: string;
  readonly table: string;
  readonly config: Config;
  readonly backend: Backend;
  readonly submit: Submit;
}

function bounceReporter({ endpoint, table, config, backend, submit }: ReporterOptions): AsyncDisposable {
  const stop = new AbortController();
  const observer = {
    accepted: () => undefined,
    notAccepted: () => undefined,
    settled: () => undefined,
    settledLate: () => undefined,
    bounceSent: () => undefined,
  };
  const fail = (error: unknown): void => {
    if (!stop.signal.aborted) process.emitWarning(String(error));
  };
  const reading = readTableStream({
    endpoint,
    table,
    clock: systemClock,
    stop: stop.signal,
    async consume(records) {
      const events = (records as readonly StreamRecord[]).flatMap(eventsOfRecord);
      const { queue, bodies } = backend;
      await reportEvents(
        {
          config,
          queue,
          bodies,
          submit,
          clock: systemClock,
          observer,
          onUnreportable: (_, error) => fail(error),
        },
        events,
      );
      return null;
    },
    onError: fail,
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await reading;
    },
  };
}
