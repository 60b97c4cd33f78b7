/** The queue on the local AWS for tests: with a table, a bucket and queues of its own, and its events read from the stream. */

import { s3BodyStore } from "#shared/aws/body-store.ts";
import type { S3BodyStore } from "#shared/aws/body-store.ts";
import type { TakesStatements } from "#shared/aws/batch-statement.ts";
import type { AwsClients } from "#shared/aws/clients.ts";
import type { AwsNames } from "#shared/aws/names.ts";
import type { QueueTrouble, SignalsOfNewMail } from "#shared/aws/queue-context.ts";
import { dynamoQueueStore } from "#shared/aws/queue-store.ts";
import type { DynamoQueueStore } from "#shared/aws/queue-store.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { DAY } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { localTakesStatements, newInstallation, sharedLocalAws, storeClock } from "./aws-backend.ts";
import { zoneA, zoneB } from "./builders.ts";
import { sdkFaults } from "./sdk-faults.ts";
import type { SdkFaults } from "./sdk-faults.ts";
import { statementFaults } from "./statement-faults.ts";
import type { StatementFaults } from "./statement-faults.ts";
import { streamEvents } from "./stream-events.ts";

export interface AwsQueue {
  readonly queue: DynamoQueueStore;
  readonly bodies: S3BodyStore;
  /** What was told beside the mail's way. */
  readonly troubles: QueueTrouble[];
  close(): Promise<void>;
}

export interface AwsQueueOptions {
  readonly clients: AwsClients;
  readonly names: AwsNames;
  readonly clock: Clock;
  readonly historyMs?: number;
  readonly signals?: SignalsOfNewMail;
  /** Left out: what is known of the local server, so that the queue's own calls are all there is to count. */
  readonly takesStatements?: TakesStatements;
}

/** One process's queue store with its bodies; several may be opened on one installation. */
export function openAwsQueue(options: AwsQueueOptions): AwsQueue {
  const { clients, names, clock, historyMs = 7 * DAY, takesStatements = localTakesStatements } = options;
  const troubles: QueueTrouble[] = [];
  const bodies = s3BodyStore({
    s3: clients.s3,
    bucket: names.bucket,
    clock: systemClock,
    readRef: (id) => queue.readBodyRef(id),
    onNotDeleted: (error) => troubles.push({ kind: "body-not-deleted", error }),
  });
  const queue = dynamoQueueStore({
    dynamo: clients.dynamo,
    sqs: clients.sqs,
    table: names.table,
    queuePrefix: names.queuePrefix,
    zones: [zoneA, zoneB],
    bodies,
    clock,
    historyMs,
    ...(options.signals === undefined ? {} : { signals: options.signals }),
    takesStatements,
    onTrouble: (trouble) => troubles.push(trouble),
  });
  return {
    queue,
    bodies,
    troubles,
    async close() {
      await queue.stop();
      await bodies.close();
    },
  };
}

/** For the contract suites of the queue: the backend has a queue, bodies and events, and nothing else. */
export async function awsQueueBackend(
  clock: Clock,
  options: { historyMs?: number } = {},
): Promise<{ backend: Backend; aws: AwsQueue; names: AwsNames } & AsyncDisposable> {
  const local = await sharedLocalAws();
  const { clients } = local;
  const names = local.newNames();
  await newInstallation(clients, names, { stream: true });
  const aws = openAwsQueue({ clients, names, clock, ...options });
  const { queue, bodies } = aws;
  const close = (): Promise<void> => aws.close();
  const backend = { queue, bodies, events: streamEvents(clients, names.table), close };
  return { backend: backend as unknown as Backend, aws, names, [Symbol.asyncDispose]: close };
}

/** An installation whose process has its own clients, so that faults can be put between them and AWS. */
export async function faultyAwsQueue(
  clock: Clock,
  options: Pick<AwsQueueOptions, "historyMs" | "signals" | "takesStatements"> & { stream?: boolean } = {},
): Promise<FaultyAwsQueue & AsyncDisposable> {
  const local = await sharedLocalAws();
  const names = local.newNames();
  await newInstallation(local.clients, names, { stream: options.stream ?? false });
  const clients = local.newClients();
  const faults = sdkFaults(clients);
  const statements = statementFaults(clients);
  const aws = openAwsQueue({ clients, names, clock: storeClock(clock), ...options });
  const others: AwsQueue[] = [];
  return {
    ...aws,
    clients,
    names,
    faults,
    statements,
    openAnother(other = clock) {
      const opened = openAwsQueue({ clients: local.clients, names, clock: storeClock(other), ...options });
      others.push(opened);
      return opened;
    },
    async [Symbol.asyncDispose]() {
      faults.heal();
      statements.heal();
      for (const opened of [aws, ...others]) await opened.close();
    },
  };
}

export interface FaultyAwsQueue extends AwsQueue {
  readonly clients: AwsClients;
  readonly names: AwsNames;
  readonly faults: SdkFaults;
  readonly statements: StatementFaults;
  /** The queue as another process has it open, without faults and perhaps with another clock. */
  openAnother(clock?: Clock): AwsQueue;
}
