/**
 * The store of a relay in a test's process, on the local AWS: an installation of its own or one that it shares with others, and
 * what the Lambda of events does, done by a reader of the table's stream.
 */

import { bootstrapAws } from "#shared/aws/bootstrap.ts";
import { DEFAULT_VISIBILITY_MS } from "#shared/aws/storage-terms.ts";
import { awsClients, endpointsOf } from "#shared/aws/clients.ts";
import type { AwsClients } from "#shared/aws/clients.ts";
import { eventsOfRecord } from "#shared/aws/event-stream.ts";
import type { StreamRecord } from "#shared/aws/event-stream.ts";
import type { AwsNames } from "#shared/aws/names.ts";
import { openAws } from "#shared/aws/open.ts";
import { aesSealer, SEAL_KEY_BYTES, sealingBy } from "#shared/app/sealer.ts";
import { reportEvents } from "#shared/app/report-bounces.ts";
import type { Submit } from "#shared/app/submission.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { isForReader, STREAM_READERS } from "#shared/aws/stream-readers.ts";
import { readTableStream } from "../../sender/aws-local/table-stream.ts";
import { AWS_TERMS } from "../../sender/store-terms.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { sharedLocalAws } from "./aws-backend.ts";
import type { RelayStore } from "./relay.ts";
import { silentObserver } from "./silent-observer.ts";

export interface AwsInstallation {
  readonly names: AwsNames;
  /** All variables that lead a sender or the CLI to it. */
  readonly env: Readonly<Record<string, string>>;
}

const DEFAULT_ZONES = ["default", "bounces"] as ZoneName[];
/** As of a sender, so that what is tested is what runs (sender/aws/wire.ts). */
const LINGER_MS = 100;

/** A new one on the local AWS of this file. */
export async function newAwsInstallation({
  zones = DEFAULT_ZONES,
  stream = false,
}: { zones?: readonly ZoneName[]; stream?: boolean } = {}): Promise<AwsInstallation> {
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  const { clients, env } = aws;
  await bootstrapAws({ clients, names, zones, visibilityMs: DEFAULT_VISIBILITY_MS, stream });
  return {
    names,
    env: {
      ...env,
      ZONEFLEET_BACKEND: "aws",
      ZONEFLEET_TABLE: names.table,
      ZONEFLEET_BUCKET: names.bucket,
      ZONEFLEET_QUEUE_PREFIX: names.queuePrefix,
    },
  };
}

export function clientsOf(env: Readonly<Record<string, string>>): AwsClients {
  const { AWS_REGION: region = "", AWS_ACCESS_KEY_ID = "", AWS_SECRET_ACCESS_KEY = "" } = env;
  const credentials = { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY };
  return awsClients({ endpoints: endpointsOf(env), region, credentials });
}

export async function awsRelayStore(
  config: Config,
  options: { installation?: AwsInstallation; clock?: Clock },
): Promise<RelayStore> {
  const { clock = systemClock } = options;
  const zones = [...config.zones.keys()];
  const installation = options.installation ?? (await newAwsInstallation({ zones, stream: true }));
  const backend = await openAwsBackend(installation, { config, clock });
  const reportBounces = (submit: Submit): AsyncDisposable =>
    bounceReporter({ installation, config, backend, submit });
  return { backend, terms: AWS_TERMS, ...(options.installation ? {} : { reportBounces }) };
}

/** One for all processes of a test. */
const TEST_SEAL_KEY = Buffer.alloc(SEAL_KEY_BYTES, 7);

/** Closes its clients with itself. */
export async function openAwsBackend(
  { names, env }: AwsInstallation,
  { config, clock }: { config: Config; clock: Clock },
): Promise<Backend> {
  const clients = clientsOf(env);
  const zones = [...config.zones.keys()];
  const { historyMs } = config.queue;
  const sealing = sealingBy(async () => aesSealer(TEST_SEAL_KEY));
  const backend = await openAws({ clients, names, clock, zones, historyMs, sealing, lingerMs: LINGER_MS });
  return {
    ...backend,
    async close() {
      await backend.close();
      clients.close();
    },
  };
}

interface ReporterOptions {
  readonly installation: AwsInstallation;
  readonly config: Config;
  readonly backend: Backend;
  readonly submit: Submit;
}

function bounceReporter({ installation, config, backend, submit }: ReporterOptions): AsyncDisposable {
  const stop = new AbortController();
  const fail = (error: unknown): void => {
    if (!stop.signal.aborted) process.emitWarning(String(error));
  };
  const { queue, bodies } = backend;
  const reporting = {
    config,
    queue,
    bodies,
    submit,
    clock: systemClock,
    observer: silentObserver,
    onUnreportable: (_: unknown, error: unknown) => fail(error),
  };
  const reading = readTableStream({
    endpoint: endpointsOf(installation.env).dynamo ?? "",
    env: installation.env,
    table: installation.names.table,
    clock: systemClock,
    stop: stop.signal,
    batchSize: STREAM_READERS.events.batchSize,
    isWanted: (record) => isForReader(STREAM_READERS.events, record),
    async consume(records) {
      // One after the other, as the Lambda does: a report is of what one record tells.
      for (const record of records as readonly StreamRecord[])
        await reportEvents(reporting, eventsOfRecord(record));
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
