/** All stores of one installation: what a wire.ts chooses, embedded or AWS. */

import type { BodyStore } from "./body-store.ts";
import type { BounceSink } from "./bounce-sink.ts";
import type { ConfigStore } from "./config-store.ts";
import type { EventLog } from "./event-log.ts";
import type { FleetStore } from "./fleet-store.ts";
import type { IdempotencyStore } from "./idempotency-store.ts";
import type { LimitStore } from "./limit-store.ts";
import type { QueueStore } from "./queue-store.ts";
import type { Sealing } from "./sealing.ts";
import type { SecretStore } from "./secret-store.ts";
import type { SuppressionStore } from "./suppression-store.ts";
import type { UploadStore } from "./upload-store.ts";

export interface Backend {
  readonly bodies: BodyStore;
  readonly queue: QueueStore;
  readonly suppressions: SuppressionStore;
  readonly limits: LimitStore;
  readonly configs: ConfigStore;
  readonly secrets: SecretStore;
  readonly sealing: Sealing;
  readonly events: EventLog;
  readonly fleet: FleetStore;
  readonly idempotency: IdempotencyStore;
  readonly bounceSink: BounceSink;
  /** Null: mail of any size streams in by itself, and nothing needs to be uploaded first. */
  readonly uploads: UploadStore | null;
  close(): Promise<void>;
}
