/** Who is told when something is wrong: a topic that writes to the address of the deployment record, and the alarms that speak to it. */

import { ArnFormat, Stack } from "aws-cdk-lib";
import { Alarm, ComparisonOperator, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";
import type { IMetric } from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import { Construct } from "constructs";

export interface PagerProps {
  /** Of the installation; before the name of each alarm. */
  readonly prefix: string;
  readonly email: string;
}

export interface AlarmTerms {
  /** What is wrong, in a few words: the subject of the message has it. */
  readonly name: string;
  /** What it means and what to do first. */
  readonly description: string;
  readonly metric: IMetric;
  readonly comparison: "at least" | "less than";
  readonly threshold: number;
  /** Periods in a row. */
  readonly periods: number;
  /** What it means when the metric is not there: `alarm` where it is written every minute whatever happens. */
  readonly silenceIs: "fine" | "alarm";
}

const COMPARISONS = {
  "at least": ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
  "less than": ComparisonOperator.LESS_THAN_THRESHOLD,
} as const;

export class Pager extends Construct {
  readonly topic: Topic;
  private readonly prefix: string;
  private readonly action: SnsAction;

  constructor(scope: Construct, id: string, { prefix, email }: PagerProps) {
    super(scope, id);
    this.prefix = prefix;
    const alarms = new ServicePrincipal("cloudwatch.amazonaws.com");
    // With AWS's own key for SNS, CloudWatch could not write to the topic.
    const key = new Key(this, "Key", { description: `${prefix}: alarms`, enableKeyRotation: true });
    key.addToResourcePolicy(
      new PolicyStatement({
        principals: [alarms],
        actions: ["kms:Decrypt", "kms:GenerateDataKey*"],
        resources: ["*"], // in the policy of a key: the key
      }),
    );
    this.topic = new Topic(this, "Topic", {
      topicName: `${prefix}-alarms`,
      displayName: `${prefix} alarms`,
      masterKey: key,
      enforceSSL: true,
    });
    this.topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [alarms],
        actions: ["sns:Publish"],
        resources: [this.topic.topicArn],
        conditions: this.fromThisAccount(),
      }),
    );
    this.topic.addSubscription(new EmailSubscription(email));
    this.action = new SnsAction(this.topic);
  }

  /** It tells when it goes off, and when it is over. */
  addAlarm(scope: Construct, id: string, terms: AlarmTerms): Alarm {
    const { name, description, metric, comparison, threshold, periods, silenceIs } = terms;
    const alarm = new Alarm(scope, id, {
      alarmName: `${this.prefix} ${name}`,
      alarmDescription: description,
      metric,
      comparisonOperator: COMPARISONS[comparison],
      threshold,
      evaluationPeriods: periods,
      datapointsToAlarm: periods,
      treatMissingData: silenceIs === "alarm" ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(this.action);
    alarm.addOkAction(this.action);
    return alarm;
  }

  private fromThisAccount() {
    const stack = Stack.of(this);
    const alarms = { service: "cloudwatch", resource: "alarm", resourceName: "*" };
    const arn = stack.formatArn({ ...alarms, arnFormat: ArnFormat.COLON_RESOURCE_NAME });
    return { ArnLike: { "aws:SourceArn": arn }, StringEquals: { "aws:SourceAccount": stack.account } };
  }
}
