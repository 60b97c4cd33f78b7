/** Opens the AWS backend: all ports on one table, one bucket and a queue for each zone. Nothing is asked of AWS before it is used. */

import type { Clock } from "../domain/clock.ts";
import { DAY } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { Backend } from "../ports/backend.ts";
import type { BodyLinks } from "../ports/body-links.ts";
import type { EventBacklog } from "../ports/event-backlog.ts";
import type { Sealing } from "../ports/sealing.ts";
import { s3BodyLinks } from "./body-links.ts";
import { s3BodyStore } from "./body-store.ts";
import { dynamoBounceSink } from "./bounce-sink.ts";
import type { AwsClients } from "./clients.ts";
import { dynamoConfigStore } from "./config-store.ts";
import { noDeploymentSecret } from "./deployment-secret.ts";
import { dynamoEventBacklog } from "./event-backlog.ts";
import { streamedEventLog } from "./event-log.ts";
import { dynamoFleetStore } from "./fleet-store.ts";
import { dynamoIdempotencyStore } from "./idempotency-store.ts";
import { dynamoLimitStore } from "./limit-store.ts";
import type { AwsNames } from "./names.ts";
import type { QueueTrouble, SignalsOfNewMail } from "./queue-context.ts";
import { dynamoQueueStore } from "./queue-store.ts";
import type { DynamoQueueStore } from "./queue-store.ts";
import { dynamoSecretStore } from "./secret-store.ts";
import { dynamoSuppressionStore } from "./suppression-store.ts";
import { s3UploadStore } from "./upload-store.ts";

export interface AwsOptions {
  /** Of the caller, who closes them after the backend. */
  readonly clients: AwsClients;
  readonly names: AwsNames;
  readonly clock: Clock;
  /** All that mail is accepted for; each has its queue. */
  readonly zones: readonly ZoneName[];
  /** How long messages are kept when all their rows are final. */
  readonly historyMs?: number;
  /** For DKIM keys and the passwords of relays; left out: this process can neither store nor read one. */
  readonly sealing?: Sealing;
  /** Who signals new mail; left out: this process. */
  readonly signals?: SignalsOfNewMail;
  /** How long a signal waits for others, in a process that lives on; left out: nothing is left to do when a call has resolved. */
  readonly lingerMs?: number;
  /** For jitter: 0 to 1. */
  readonly random?: () => number;
  /** What went wrong beside the mail's way, and is set right by others later. */
  readonly onTrouble?: (trouble: QueueTrouble) => void;
}

export interface AwsBackend extends Backend {
  readonly queue: DynamoQueueStore;
  /** Of receivers of events, which are told from the table's stream. */
  readonly backlog: EventBacklog;
  /** To bodies, for who cannot hand a large one through. */
  readonly links: BodyLinks;
}

const DEFAULT_HISTORY_MS = 7 * DAY;

// Asynchronous as the embedded one is, so that a wire.ts awaits either.
// oxlint-disable-next-line typescript/require-await
export async function openAws(options: AwsOptions): Promise<AwsBackend> {
  const { clients, names, clock, zones, historyMs = DEFAULT_HISTORY_MS } = options;
  const { sealing = noDeploymentSecret.sealing } = options;
  const { random = Math.random, lingerMs = 0, signals = "own", onTrouble = () => undefined } = options;
  const { dynamo, sqs, s3 } = clients;
  const { table, bucket, queuePrefix } = names;
  const deps = { dynamo, table, clock, random };
  const bodies = s3BodyStore({
    s3,
    bucket,
    clock,
    readRef: (id) => queue.readBodyRef(id),
    onNotDeleted: (error) => onTrouble({ kind: "body-not-deleted", error }),
  });
  const queue = dynamoQueueStore({
    ...deps,
    sqs,
    queuePrefix,
    zones,
    bodies,
    historyMs,
    signals,
    lingerMs,
    onTrouble,
  });
  return {
    bodies,
    queue,
    suppressions: dynamoSuppressionStore(deps),
    limits: dynamoLimitStore(deps),
    configs: dynamoConfigStore(deps),
    secrets: dynamoSecretStore({ ...deps, sealing }),
    sealing,
    events: streamedEventLog(),
    backlog: dynamoEventBacklog(deps),
    links: s3BodyLinks({ s3, bucket, clock, readRef: (id) => queue.readBodyRef(id) }),
    fleet: dynamoFleetStore(deps),
    idempotency: dynamoIdempotencyStore(deps),
    bounceSink: dynamoBounceSink(deps),
    uploads: s3UploadStore({ s3, bucket, clock }),
    async close() {
      await queue.stop();
      await bodies.close();
    },
  };
}
