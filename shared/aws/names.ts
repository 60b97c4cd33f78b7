/** What an installation is called on AWS. Its queues are named by zone, so that a sender finds them from its configuration alone. */

import type { ZoneName } from "../domain/zone.ts";

export interface AwsNames {
  readonly table: string;
  readonly bucket: string;
  /** Put before the name of each queue; at most 27 characters, for SQS takes 80 and a zone's name has up to 48. */
  readonly queuePrefix: string;
}

/** The queue of a zone's signals. */
export function queueName(queuePrefix: string, zone: ZoneName): string {
  return queuePrefix + zone;
}

/** The queue of signals that nobody could use. */
export function deadLetterQueueName(queuePrefix: string, zone: ZoneName): string {
  return `${queuePrefix}${zone}-dead`;
}
