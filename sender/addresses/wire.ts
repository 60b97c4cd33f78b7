/** The EC2 side of a deployed host. Loaded only there: the SDK's clients take time and memory that others have no use for. */

import { awsClients, endpointsOf } from "#shared/aws/clients.ts";
import { ec2ElasticAddresses } from "#shared/aws/elastic-addresses.ts";
import { dynamoFleetStore } from "#shared/aws/fleet-store.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { ElasticAddresses } from "#shared/ports/elastic-addresses.ts";
import type { AwsSettings } from "#shared/runtime/aws-settings.ts";
import type { Logger } from "#shared/runtime/log.ts";
import { deployedHost } from "./deployed-host.ts";
import type { DeployedHost } from "./deployed-host.ts";

export interface OpenHostOptions {
  readonly aws: AwsSettings;
  /** As in `aws`, and not null. */
  readonly installation: string;
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Null: the host is to end already, so nothing is begun on it. */
export async function openDeployedHost(options: OpenHostOptions): Promise<DeployedHost | null> {
  const { aws, installation, names, clock, log, env } = options;
  const elastic = ec2ElasticAddresses({ installation, env });
  const clients = awsClients({ endpoints: endpointsOf(env) });
  const fleet = dynamoFleetStore({ dynamo: clients.dynamo, table: aws.table, clock });
  const close = (): void => {
    elastic.close();
    clients.close();
  };
  const name = await nameOf(elastic);
  if (name === null) {
    close();
    return null;
  }
  const host = deployedHost({ elastic, fleet, clock, log, name, names });
  return {
    ...host,
    async leave() {
      await host.leave();
      close();
    },
  };
}

/** Null: it is to end. */
async function nameOf(elastic: ElasticAddresses): Promise<string | null> {
  try {
    return (await elastic.isEnding()) ? null : (await elastic.host()).instance;
  } catch (error) {
    const text = `ZONEFLEET_INSTALLATION is set, and this host cannot be asked what it is: ${String(error)}`;
    throw new DomainError("invalid-config", text);
  }
}
