/** Backends on the local AWS: the servers are started once for a test file, and every test has names of its own. */

import { after } from "node:test";

import { statementCheck } from "#shared/aws/batch-statement.ts";
import { bootstrapAws, makeTable } from "#shared/aws/bootstrap.ts";
import { DEFAULT_VISIBILITY_MS } from "#shared/aws/storage-terms.ts";
import type { AwsClients } from "#shared/aws/clients.ts";
import type { TableDeps } from "#shared/aws/items.ts";
import type { AwsNames } from "#shared/aws/names.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { zoneA, zoneB } from "./builders.ts";
import { localAws, noLocalAws } from "./local-aws.ts";
import type { LocalAws } from "./local-aws.ts";

let started: Promise<LocalAws> | null = null;

/** The servers of this test file, started by whoever asks first and stopped when its tests are done. */
export function sharedLocalAws(): Promise<LocalAws> {
  started ??= localAws();
  return started;
}

let takesStatements: Promise<boolean> | null = null;

/** Whether the local server does statements as DynamoDB does them: asked once for a test file, on a table of its own. */
export function localTakesStatements(): Promise<boolean> {
  takesStatements ??= onOwnTable(systemClock, statementCheck).then(({ store }) => store());
  return takesStatements;
}

/** For tests of what is done with many writes in one call. As `noLocalAws`. */
export async function noLocalStatements(): Promise<string | false> {
  const none = noLocalAws();
  if (none !== false || (await localTakesStatements())) return none;
  return "this local AWS does no BatchExecuteStatement with conditions: every write is a call of its own";
}

/** Call once at the top of a file that uses `sharedLocalAws`. */
export function stopLocalAwsAtEnd(): void {
  after(async () => {
    await takesStatements?.catch(() => undefined); // a file that skips its tests is at its end before it has the answer
    await (await started)?.[Symbol.asyncDispose]();
  });
}

/** An empty table, bucket and queues for zones `a` and `b`. */
export async function newInstallation(
  clients: AwsClients,
  names: AwsNames,
  { stream = false }: { stream?: boolean } = {},
): Promise<void> {
  const zones = [zoneA, zoneB];
  await bootstrapAws({ clients, names, zones, visibilityMs: DEFAULT_VISIBILITY_MS, stream });
}

/**
 * The test tells what time it is, but waits are real: an adapter waits for some milliseconds when it met a throttle or lost a race,
 * and no test turns the clock for that.
 */
export function storeClock(clock: Clock): Clock {
  return { now: () => clock.now(), sleep: (ms, signal) => systemClock.sleep(ms, signal) };
}

/** A store on a table of its own; disposing of it leaves the table to the end of the servers. */
export async function onOwnTable<S>(
  clock: Clock,
  storeOf: (deps: TableDeps) => S,
): Promise<{ store: S } & AsyncDisposable> {
  const aws = await sharedLocalAws();
  const { dynamo } = aws.clients;
  const { table } = aws.newNames();
  await makeTable(dynamo, table, { stream: false });
  const deps = { dynamo, table, clock: storeClock(clock) };
  return { store: storeOf(deps), [Symbol.asyncDispose]: () => Promise.resolve() };
}
