/** Opens the embedded backend: all ports on one data folder. Any number of processes may have the same folder open. */

import { join } from "node:path";

import { sealingBy } from "../app/sealer.ts";
import type { Sealer } from "../app/sealer.ts";
import type { Clock } from "../domain/clock.ts";
import { DAY } from "../domain/units.ts";
import type { Backend } from "../ports/backend.ts";
import { embeddedBodyStore } from "./body-store.ts";
import { embeddedBounceSink } from "./bounce-sink.ts";
import { embeddedConfigStore } from "./config-store.ts";
import { readyFolder } from "./data-folder.ts";
import { openDatabase } from "./database.ts";
import type { EmbeddedDatabase } from "./database.ts";
import { DEFAULT_RESERVE_BYTES, diskSpace } from "./disk-space.ts";
import { embeddedEventLog } from "./event-log.ts";
import { embeddedFleetStore } from "./fleet-store.ts";
import { embeddedIdempotencyStore } from "./idempotency-store.ts";
import { embeddedLimitStore } from "./limit-store.ts";
import { embeddedQueueStore } from "./queue-store.ts";
import type { EmbeddedQueueStore } from "./queue-store.ts";
import { queueTables } from "./queue-tables.ts";
import { embeddedSealer } from "./seal-key.ts";
import { embeddedSecretStore } from "./secret-store.ts";
import type { SetAsideRecord } from "./set-aside.ts";
import { embeddedSuppressionStore } from "./suppression-store.ts";

const DEFAULT_HISTORY_MS = 7 * DAY;

export interface EmbeddedOptions {
  /** Made when there is none. */
  readonly dataDir: string;
  readonly clock: Clock;
  /** How long messages are kept when all their rows are final, and events. */
  readonly historyMs?: number;
  /** Room on the disk that accepts leave to everything else. */
  readonly reserveBytes?: number;
  /** Told of each record that could not be read and was set aside (set-aside.ts). Must not throw. */
  readonly onSetAside?: (record: SetAsideRecord) => void;
}

export interface EmbeddedBackend extends Backend {
  /**
   * Queue again, at once, the rows leased by workers that are not in `livingWorkers`, and resolve with their number. For who
   * knows that they are dead: the supervisor of a process that ended, or a start on a folder that nobody else uses.
   */
  recover: EmbeddedQueueStore["recover"];
}

/** Throws a `DataFolderError` when the folder cannot be used. */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedBackend> {
  readyFolder(options.dataDir);
  const sealer = await embeddedSealer({ folder: join(options.dataDir, "secrets") });
  const database = openDatabase(options.dataDir);
  return database.opening(() => backendOn(database, { ...options, sealer }));
}

function backendOn(
  database: EmbeddedDatabase,
  options: EmbeddedOptions & { readonly sealer: Sealer },
): EmbeddedBackend {
  const { dataDir, clock, historyMs = DEFAULT_HISTORY_MS, reserveBytes = DEFAULT_RESERVE_BYTES } = options;
  const { onSetAside = () => undefined, sealer } = options;
  const tables = queueTables({ database, clock, onSetAside });
  const space = diskSpace({ database, clock, reserveBytes });
  const bodies = embeddedBodyStore({ database, clock, space });
  const events = embeddedEventLog({ database, tables, clock });
  const queue = embeddedQueueStore({ database, tables, clock, bodies, events, space, historyMs });
  return {
    bodies,
    events,
    queue,
    suppressions: embeddedSuppressionStore({ database, clock }),
    limits: embeddedLimitStore({ database, clock }),
    configs: embeddedConfigStore({ database }),
    fleet: embeddedFleetStore({ database, clock }),
    idempotency: embeddedIdempotencyStore({ database, clock }),
    bounceSink: embeddedBounceSink({ database, clock }),
    uploads: null,
    secrets: embeddedSecretStore({ folder: join(dataDir, "secrets") }),
    sealing: sealingBy(async () => sealer),
    recover: (livingWorkers) => queue.recover(livingWorkers),
    async close() {
      queue.stop();
      await database.close();
    },
  };
}
