/** The contract suites of all ports over every adapter there is. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "node:test";

import { dynamoBounceSink } from "#shared/aws/bounce-sink.ts";
import { dynamoConfigStore } from "#shared/aws/config-store.ts";
import { dynamoFleetStore } from "#shared/aws/fleet-store.ts";
import { dynamoIdempotencyStore } from "#shared/aws/idempotency-store.ts";
import { dynamoLimitStore } from "#shared/aws/limit-store.ts";
import { aesSealer, SEAL_KEY_BYTES, sealingBy } from "#shared/app/sealer.ts";
import { dynamoSecretStore } from "#shared/aws/secret-store.ts";
import { dynamoSuppressionStore } from "#shared/aws/suppression-store.ts";
import { embeddedBounceSink } from "#shared/embedded/bounce-sink.ts";
import { embeddedConfigStore } from "#shared/embedded/config-store.ts";
import type { EmbeddedDatabase } from "#shared/embedded/database.ts";
import { openDatabase } from "#shared/embedded/database.ts";
import { embeddedFleetStore } from "#shared/embedded/fleet-store.ts";
import { embeddedIdempotencyStore } from "#shared/embedded/idempotency-store.ts";
import { embeddedLimitStore } from "#shared/embedded/limit-store.ts";
import { embeddedSecretStore } from "#shared/embedded/secret-store.ts";
import { embeddedSuppressionStore } from "#shared/embedded/suppression-store.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { onOwnTable, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { awsQueueBackend } from "../support/aws-queue.ts";
import { embeddedBackend } from "../support/backend.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { bodyStoreContract } from "./body-store.contract.ts";
import { bounceSinkContract } from "./bounce-sink.contract.ts";
import { configStoreContract } from "./config-store.contract.ts";
import { eventLogContract } from "./event-log.contract.ts";
import { fleetStoreContract } from "./fleet-store.contract.ts";
import { idempotencyStoreContract } from "./idempotency-store.contract.ts";
import { limitStoreContract } from "./limit-store.contract.ts";
import { queueStoreContract } from "./queue-store.contract.ts";
import { secretStoreContract } from "./secret-store.contract.ts";
import { suppressionStoreContract } from "./suppression-store.contract.ts";

/** A store in a database of its own, both gone when the test ends. */
async function embedded<S>(
  storeOf: (database: EmbeddedDatabase) => S,
): Promise<{ store: S } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-contract-"));
  const database = openDatabase(folder);
  return {
    store: storeOf(database),
    async [Symbol.asyncDispose]() {
      await database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

suppressionStoreContract("LMDB", (clock) =>
  embedded((database) => embeddedSuppressionStore({ database, clock })),
);
limitStoreContract("LMDB", (clock) => embedded((database) => embeddedLimitStore({ database, clock })));
configStoreContract("LMDB", () => embedded((database) => embeddedConfigStore({ database })));
fleetStoreContract("LMDB", (clock) => embedded((database) => embeddedFleetStore({ database, clock })));
idempotencyStoreContract("LMDB", (clock) =>
  embedded((database) => embeddedIdempotencyStore({ database, clock })),
);
bounceSinkContract("LMDB", (clock) => embedded((database) => embeddedBounceSink({ database, clock })));
secretStoreContract("files", () => embedded(({ folder }) => embeddedSecretStore({ folder })));

bodyStoreContract("LMDB and files", embeddedBackend);
queueStoreContract("LMDB", embeddedBackend);
eventLogContract("LMDB", embeddedBackend);

stopLocalAwsAtEnd();

describe("on AWS", { skip: noLocalAws() }, () => {
  const sealer = aesSealer(randomBytes(SEAL_KEY_BYTES));
  const sealing = sealingBy(async () => sealer);

  suppressionStoreContract("DynamoDB", (clock) => onOwnTable(clock, dynamoSuppressionStore));
  limitStoreContract("DynamoDB", (clock) => onOwnTable(clock, dynamoLimitStore));
  configStoreContract("DynamoDB", () => onOwnTable(systemClock, dynamoConfigStore));
  fleetStoreContract("DynamoDB", (clock) => onOwnTable(clock, dynamoFleetStore));
  idempotencyStoreContract("DynamoDB", (clock) => onOwnTable(clock, dynamoIdempotencyStore));
  bounceSinkContract("DynamoDB", (clock) => onOwnTable(clock, dynamoBounceSink));
  secretStoreContract("DynamoDB", () =>
    onOwnTable(systemClock, (deps) => dynamoSecretStore({ ...deps, sealing })),
  );

  bodyStoreContract("S3", awsQueueBackend);
  queueStoreContract("DynamoDB and SQS", awsQueueBackend);
  // Events are the table's stream there: nobody claims it, and what it tells is tested with the queue (test/unit/aws).
});
