/** What an installation is called on AWS, and its zones. The names are fixed, so that senders and stacks find all by them. */

import { Aws } from "aws-cdk-lib";

import type { AwsNames } from "#shared/aws/names.ts";
import type { ZoneName } from "#shared/domain/zone.ts";

export interface Installation extends AwsNames {
  /** Before the name of everything: `zonefleet-<environment>`. */
  readonly prefix: string;
  /** The secret with the seal key, and with what is secret in the configuration. */
  readonly secret: string;
  readonly zones: readonly ZoneName[];
}

export function installation(environment: string, zones: Iterable<ZoneName>): Installation {
  const prefix = `zonefleet-${environment}`;
  return {
    prefix,
    table: prefix,
    // Bucket names are one name space for all of AWS.
    bucket: `${prefix}-${Aws.ACCOUNT_ID}-${Aws.REGION}`,
    queuePrefix: `${prefix}-`,
    secret: prefix,
    zones: [...zones].toSorted(),
  };
}

/** The queue of changes that a reader of the table's stream has given up. */
export function streamFailuresQueue({ prefix }: Pick<Installation, "prefix">): string {
  return `${prefix}-stream-failures`;
}

/** Where the senders' hosts send their log. */
export function senderLogGroup({ prefix }: Pick<Installation, "prefix">): string {
  return `/zonefleet/${prefix}/sender`;
}

/** The variables by which Lambdas, senders and the command line find it. None is a secret. */
export function settingsOf({ table, bucket, queuePrefix, secret }: Installation) {
  return {
    ZONEFLEET_TABLE: table,
    ZONEFLEET_BUCKET: bucket,
    ZONEFLEET_QUEUE_PREFIX: queuePrefix,
    ZONEFLEET_SECRET: secret,
  };
}
