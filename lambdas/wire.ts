/**
 * Chooses the adapters of a Lambda: the stores on AWS, by the names in its environment, and the configuration that lies beside its
 * bundle. Nothing is asked over the network here, so that a Lambda starts as fast as its code loads.
 */

import { readFileSync } from "node:fs";

import { apiAccess } from "#shared/app/api-access.ts";
import { apiKeyRing } from "#shared/app/api-keys.ts";
import { awsClients, endpointsOf } from "#shared/aws/clients.ts";
import type { DeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { openAws } from "#shared/aws/open.ts";
import type { AwsBackend, AwsOptions } from "#shared/aws/open.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import { awsSettingsOf } from "#shared/runtime/aws-settings.ts";
import { readDeployedConfig } from "#shared/runtime/deployed-config.ts";

import { CONFIG_FILE } from "./bundle-config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { EndpointDeps } from "./endpoint.ts";
import type { Telemetry } from "./telemetry.ts";
import { telemetry } from "./telemetry.ts";

// What else of AWS a Lambda needs, so that only this file names an adapter.
export { eventsOfRecord as eventsOf } from "#shared/aws/event-stream.ts";
export { readSignal } from "#shared/aws/signals.ts";

export interface Wired {
  /** With names in the places of secrets. */
  readonly config: Config;
  /** With its secrets, which are asked for when they are first wanted. */
  readonly wholeConfig: () => Promise<Config>;
  readonly backend: AwsBackend;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** For every route of the API. */
  readonly endpoints: EndpointDeps;
}

export interface LambdaOptions {
  readonly secret?: DeploymentSecret;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * `service` names the Lambda in log and metrics; `bundle` is the URL of the file that runs, beside which the configuration lies;
 * `secret` is for those that need one (secret/wire.ts).
 */
export async function wireLambda(
  service: string,
  bundle: string,
  { secret = noDeploymentSecret, env = process.env }: LambdaOptions = {},
): Promise<Wired> {
  const config = readDeployedConfig(readFileSync(new URL(CONFIG_FILE, bundle), "utf8"));
  const { table, bucket, queuePrefix } = awsSettingsOf(env);
  const told = telemetry(service, table);
  const backend = await openAws({
    clients: awsClients({ endpoints: endpointsOf(env) }),
    names: { table, bucket, queuePrefix },
    clock: systemClock,
    zones: [...config.zones.keys()],
    historyMs: config.queue.historyMs,
    signals: "streamed", // by the Lambda of events
    sealing: secret.sealing,
    onTrouble: troubleTo(told),
  });
  const keys = apiKeyRing({ secrets: backend.secrets, clock: systemClock });
  // A Lambda is reached from everywhere, so nobody is let in without a key.
  const authorize = apiAccess({ keys, listensOnLoopback: false });
  const endpoints = { authorize, clock: systemClock, log: told.log };
  const wholeConfig = (): Promise<Config> => secret.whole(config);
  return { config, wholeConfig, backend, clock: systemClock, telemetry: told, endpoints };
}

/** What the sweep sets right later. */
function troubleTo({ log, count }: Telemetry): NonNullable<AwsOptions["onTrouble"]> {
  return (trouble) => {
    const { kind, ...fields } = trouble;
    if (kind === "signal-not-sent") count("SignalsNotSent", trouble.rows);
    const { error: err, ...others } = { error: undefined, ...fields };
    log.warn({ component: "queue", kind, ...others, ...(err === undefined ? {} : { err }) }, "queue trouble");
  };
}
