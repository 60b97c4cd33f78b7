/** One zone on AWS: the queue of its signals, and the dead letters behind it. The mail itself is in table and bucket. */

import { Duration, RemovalPolicy } from "aws-cdk-lib";
import { Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";

import { deadLetterQueueName, queueName } from "#shared/aws/names.ts";
import { DEFAULT_VISIBILITY_MS, MAX_RECEIVES, RETENTION_MS } from "#shared/aws/storage-terms.ts";
import type { ZoneName } from "#shared/domain/zone.ts";

export interface ZoneProps {
  readonly zone: ZoneName;
  readonly queuePrefix: string;
}

/** Longer than the Lambda that reads them may take. */
const DEAD_LETTER_VISIBILITY = Duration.minutes(6);

export class Zone extends Construct {
  readonly queue: Queue;
  readonly deadLetters: Queue;

  constructor(scope: Construct, id: string, { zone, queuePrefix }: ZoneProps) {
    super(scope, id);
    const terms = {
      enforceSSL: true,
      encryption: QueueEncryption.SQS_MANAGED,
      retentionPeriod: Duration.millis(RETENTION_MS),
      // Of a zone that was taken out by mistake nothing is lost; it comes back by `cdk deploy --import-existing-resources`.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    };
    this.deadLetters = new Queue(this, "DeadLetters", {
      ...terms,
      visibilityTimeout: DEAD_LETTER_VISIBILITY,
      queueName: deadLetterQueueName(queuePrefix, zone),
    });
    this.queue = new Queue(this, "Queue", {
      ...terms,
      queueName: queueName(queuePrefix, zone),
      visibilityTimeout: Duration.millis(DEFAULT_VISIBILITY_MS),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: MAX_RECEIVES },
    });
  }
}
