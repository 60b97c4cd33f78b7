/** The stores of a sender on AWS. Loaded only where they are wanted: the SDK takes time and memory that one machine has no use for. */

import { awsClients, endpointsOf } from "#shared/aws/clients.ts";
import { deploymentSecret, noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import type { DeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { openAws } from "#shared/aws/open.ts";
import type { AwsOptions } from "#shared/aws/open.ts";
import { secretText } from "#shared/aws/secrets-manager.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { AwsSettings } from "#shared/runtime/aws-settings.ts";
import type { Logger } from "#shared/runtime/log.ts";

export interface AwsStoreOptions {
  readonly aws: AwsSettings;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Signals go out in tens then. A mail starts this much later at most, and its client does not wait for it. */
const LINGER_MS = 100;

type Trouble = Parameters<NonNullable<AwsOptions["onTrouble"]>>[0];

export async function openAwsStore({ aws, config, clock, log, env }: AwsStoreOptions): Promise<Backend> {
  const clients = awsClients({ endpoints: endpointsOf(env) });
  const backend = await openAws({
    clients,
    names: aws,
    clock,
    zones: [...config.zones.keys()],
    historyMs: config.queue.historyMs,
    sealing: secretOf({ aws, clock, env }).sealing,
    lingerMs: LINGER_MS,
    onTrouble: (trouble) => tell(log, trouble),
  });
  return {
    ...backend,
    async close() {
      await backend.close();
      clients.close();
    },
  };
}

/** A deployed configuration with its secrets. Rejects with a `DomainError` that says what to do when they are not to be had. */
export function wholeConfig(config: Config, options: SecretOptions): Promise<Config> {
  return secretOf(options).whole(config);
}

type SecretOptions = Pick<AwsStoreOptions, "aws" | "clock" | "env">;

/** Read when it is first wanted. */
function secretOf({ aws, clock, env }: SecretOptions): DeploymentSecret {
  return aws.secret === null ? noDeploymentSecret : deploymentSecret(secretText(aws.secret, env), { clock });
}

/** In the log. An item that cannot be read (`error`) stays as it is until somebody looks; all else others set right. */
function tell(log: Logger, trouble: Trouble): void {
  const component = "queue";
  switch (trouble.kind) {
    case "signal-not-sent": {
      const { zone, rows, error } = trouble;
      return log.warn({ component, zone, rows, err: error }, "signal not sent");
    }
    case "poll-failed":
      return log.warn({ component, zone: trouble.zone, err: trouble.error }, "queue not polled");
    case "body-not-deleted":
      return log.warn({ component, err: trouble.error }, "body not deleted");
    case "foreign-signal": {
      const { zone, body } = trouble;
      return log.warn({ component, zone, body: body.slice(0, MAX_LOGGED_CHARS) }, "message is no signal");
    }
    case "unreadable":
      return log.error({ component, err: trouble.error }, "item not readable");
  }
}

/** Of something that is not ours. */
const MAX_LOGGED_CHARS = 200;
