/** Opens what `dns` and `doctor` look at: the configuration, name servers, and the stores of the data folder or of AWS. */

import { stat } from "node:fs/promises";
import { join } from "node:path";

import type { Config, DkimKeySource } from "#shared/domain/config.ts";
import { dkimRecordName } from "#shared/domain/dkim-record.ts";
import type { DkimKey } from "#shared/domain/dkim.ts";
import { parseAllMailKey, parseDkimKey } from "#shared/domain/dkim.ts";
import { embeddedSecretStore } from "#shared/embedded/secret-store.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import type { AwsSettings } from "#shared/runtime/aws-settings.ts";
import { loadConfig } from "#shared/runtime/config.ts";
import { cachedDns } from "#shared/runtime/dns/cache.ts";
import { stubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

import type { SiteKeys } from "./published-keys.ts";
import type { Reach, Site } from "./site.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Keys of the store that are read; a directory of senders may have left more there than anybody publishes by hand. */
const MAX_STORED_KEYS = 500;

export async function openSite(env: Env): Promise<Site> {
  const {
    config: written,
    secretsElsewhere,
    source,
    dataDir,
    aws,
  } = await loadConfig({ env, cwd: process.cwd() });
  const clock = systemClock;
  const { nameservers, timeoutMs } = written.dns;
  const resolver = stubResolver({ nameservers, timeoutMs, clock });
  const opened = aws === null ? null : await openAwsParts(aws, written, env);
  const whole =
    secretsElsewhere && opened ? await wholeOf(written, opened) : { config: written, trouble: null };
  const { config } = whole;
  const secrets = opened?.secrets ?? embeddedSecretStore({ folder: join(dataDir, "secrets") });
  const hasStore = async () => opened !== null || (await stat(dataDir).catch(() => null)) !== null;
  return {
    config,
    source,
    dataDir: aws === null ? dataDir : null,
    dns: cachedDns(resolver, { clock }),
    async dkimKeys() {
      if (whole.trouble !== null) return { keys: [], forAnyDomain: null, trouble: whole.trouble };
      const { keys, forAnyDomain } = configuredKeys(config);
      if (!(await hasStore())) return { keys, forAnyDomain, trouble: null };
      const stored = await storedKeys(secrets);
      return { keys: distinct([...keys, ...stored.keys]), forAnyDomain, trouble: stored.trouble };
    },
    apiKeyCount: async () => ((await hasStore()) ? (await secrets.list("api-key")).length : 0),
    elasticIps: opened?.elasticIps ?? null,
    reach: opened?.reach ?? null,
    clockUrl: opened?.clockUrl ?? null,
    [Symbol.dispose]() {
      resolver.close();
      opened?.close();
    },
  };
}

/** A deployed configuration with its secrets; without them when they are not to be had, which `doctor` is to tell of. */
async function wholeOf(
  deployed: Config,
  { whole }: { whole: (config: Config) => Promise<Config> },
): Promise<{ config: Config; trouble: string | null }> {
  try {
    return { config: await whole(deployed), trouble: null };
  } catch (error) {
    return { config: deployed, trouble: error instanceof Error ? error.message : String(error) };
  }
}

async function openAwsParts(aws: AwsSettings, config: Config, env: Env) {
  // One machine does without the SDK.
  const { awsClients, endpointsOf } = await import("#shared/aws/clients.ts");
  const { deploymentSecret, noDeploymentSecret } = await import("#shared/aws/deployment-secret.ts");
  const { secretText } = await import("#shared/aws/secrets-manager.ts");
  const { dynamoSecretStore } = await import("#shared/aws/secret-store.ts");
  const { listElasticIps } = await import("#shared/aws/elastic-ips.ts");
  const { partsOf } = await import("#shared/aws/reach.ts");
  const clients = awsClients({ endpoints: endpointsOf(env) });
  const text = aws.secret === null ? null : secretText(aws.secret, env);
  const secret = text === null ? noDeploymentSecret : deploymentSecret(text, { clock: systemClock });
  const { dynamo } = clients;
  const readSecret: Reach[] = text
    ? [{ what: `secret ${text.name}`, ask: async () => void (await text.read()) }]
    : [];
  return {
    secrets: dynamoSecretStore({ dynamo, table: aws.table, clock: systemClock, sealing: secret.sealing }),
    whole: (deployed: Config) => secret.whole(deployed),
    elasticIps: () => listElasticIps(aws.installation ?? aws.table, env),
    reach: [...partsOf(clients, aws, [...config.zones.keys()]), ...readSecret],
    clockUrl: await clockOf(clients.dynamo.config),
    close: () => clients.close(),
  };
}

/** The address of DynamoDB, which tells the time in every answer. Null: no region is set. */
async function clockOf(config: {
  endpoint?: () => Promise<{ protocol: string; hostname: string; port?: number }>;
  region: () => Promise<string>;
}): Promise<string | null> {
  const { protocol, hostname, port } = (await config.endpoint?.()) ?? {};
  if (hostname !== undefined) return `${protocol}//${hostname}${port === undefined ? "" : `:${port}`}/`;
  return config.region().then(
    (region) => `https://dynamodb.${region}.amazonaws.com/`,
    () => null,
  );
}

function configuredKeys({ dkim: { enabled, keys, allMailKey } }: Config): SiteKeys {
  if (!enabled) return { keys: [], forAnyDomain: null };
  const parsed = keys.map(parseDkimKey);
  if (allMailKey === null) return { keys: parsed, forAnyDomain: null };
  const { domain } = allMailKey;
  return domain === null
    ? { keys: parsed, forAnyDomain: parseAllMailKey(allMailKey) }
    : { keys: [...parsed, parseDkimKey({ ...allMailKey, domain })], forAnyDomain: null };
}

async function storedKeys(secrets: SecretStore): Promise<{ keys: DkimKey[]; trouble: string | null }> {
  const keys: DkimKey[] = [];
  try {
    const domainNames = (await secrets.list("dkim-domain")).map((name) => ["dkim-domain", name] as const);
    const mailNames = (await secrets.list("dkim")).map((name) => ["dkim", name] as const);
    const names = [...domainNames, ...mailNames];
    for (const [kind, name] of names.slice(0, MAX_STORED_KEYS)) {
      const stored = await secrets.get(kind, name);
      if (stored !== null) keys.push(parseDkimKey(JSON.parse(stored) as DkimKeySource));
    }
    if (names.length <= MAX_STORED_KEYS) return { keys, trouble: null };
    return { keys, trouble: `there are ${names.length}, and the first ${MAX_STORED_KEYS} were read` };
  } catch (error) {
    return { keys, trouble: error instanceof Error ? error.message : String(error) };
  }
}

/** The first of each record: where the store has another key than the configuration, it is that of the configuration which signs. */
function distinct(keys: readonly DkimKey[]): DkimKey[] {
  return [...Map.groupBy(keys, dkimRecordName).values()].flatMap(([first]) => first ?? []);
}
