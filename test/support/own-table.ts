/** A table of a test's own on the local DynamoDB, and processes that share it: each has clients of its own, whose calls can be made to fail. */

import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { ScanCommand } from "@aws-sdk/client-dynamodb";

import type { TableDeps } from "#shared/aws/items.ts";
import { newInstallation, sharedLocalAws, storeClock } from "./aws-backend.ts";
import { fakeClock } from "./fake-clock.ts";
import type { FakeClock } from "./fake-clock.ts";
import { sdkFaults } from "./sdk-faults.ts";
import type { SdkFaults } from "./sdk-faults.ts";

export interface TableProcess {
  /** What its stores are made of. */
  readonly deps: TableDeps;
  readonly faults: SdkFaults;
}

export interface OwnTable {
  readonly clock: FakeClock;
  readonly newProcess: () => TableProcess;
  /** All that lies in it, as it is written. */
  readonly items: () => Promise<Record<string, AttributeValue>[]>;
}

export async function ownTable(): Promise<OwnTable> {
  const clock = fakeClock();
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  await newInstallation(aws.clients, names);
  const { table } = names;
  return {
    clock,
    newProcess() {
      const clients = aws.newClients();
      return {
        deps: { dynamo: clients.dynamo, table, clock: storeClock(clock) },
        faults: sdkFaults(clients),
      };
    },
    items: async () => (await aws.clients.dynamo.send(new ScanCommand({ TableName: table }))).Items ?? [],
  };
}
