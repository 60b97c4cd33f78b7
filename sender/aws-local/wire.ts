/** The installation that local servers begin without: table, bucket and queues, the secret, and a key for its API. */

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { addApiKey } from "#shared/app/api-keys.ts";
import { printDocument, pushed, readDocument } from "#shared/app/secret-document.ts";
import { bootstrapAws } from "#shared/aws/bootstrap.ts";
import { DEFAULT_VISIBILITY_MS } from "#shared/aws/storage-terms.ts";
import { awsClients, endpointsOf } from "#shared/aws/clients.ts";
import { openAws } from "#shared/aws/open.ts";
import { secretText } from "#shared/aws/secrets-manager.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import { splitSecrets } from "#shared/domain/config-secrets.ts";
import type { AwsSettings } from "#shared/runtime/aws-settings.ts";

// What the front door has to know of AWS besides, so that only this file names it.
export { isForReader, STREAM_READERS } from "#shared/aws/stream-readers.ts";
export type { StreamReader } from "#shared/aws/stream-readers.ts";

export interface InstallationOptions {
  readonly aws: AwsSettings;
  readonly config: Config;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Installation {
  /** Where its table is. */
  readonly dynamoUrl: string;
  /** Opens all routes of the API. */
  readonly apiKey: string;
}

/** What is there already is used as it is. */
export async function makeInstallation({
  aws,
  config,
  clock,
  env,
}: InstallationOptions): Promise<Installation> {
  const endpoints = endpointsOf(env);
  if (endpoints.dynamo === null) throw new Error("the endpoint of the local DynamoDB is not known");
  const clients = awsClients({ endpoints });
  const zones = [...config.zones.keys()];
  const { historyMs } = config.queue;
  if (aws.secret?.startsWith("file:") === true) await fillSecret(aws.secret, config);
  await bootstrapAws({ clients, names: aws, zones, visibilityMs: DEFAULT_VISIBILITY_MS, stream: true });
  const backend = await openAws({ clients, names: aws, clock, zones, historyMs });
  try {
    const made = await addApiKey(
      { secrets: backend.secrets, clock, random: randomBytes },
      { scopes: ["admin"], label: "made by start:aws-local" },
    );
    return { dynamoUrl: endpoints.dynamo, apiKey: made.key };
  } finally {
    await backend.close();
    clients.close();
  }
}

/** What `zonefleet secrets push` would write, into the file that stands in for the secret. Its seal key stays. */
async function fillSecret(name: string, config: Config): Promise<void> {
  const file = fileURLToPath(name);
  await mkdir(dirname(file), { recursive: true });
  const text = secretText(name, {});
  const document = readDocument(existsSync(file) ? await text.read() : "{}", name);
  const { secrets } = splitSecrets(config);
  await text.write(printDocument(pushed(document, secrets, { prune: true, random: randomBytes })));
}
