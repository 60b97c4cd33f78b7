/**
 * Everything that runs without a host: the HTTP API with a Lambda for each of its parts, and the Lambdas that a schedule, the table's
 * stream and the dead-letter queues call. What they keep is in the storage stack.
 */

import { CfnOutput, Duration, Stack } from "aws-cdk-lib";
import type { StackProps } from "aws-cdk-lib";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import type { ITable } from "aws-cdk-lib/aws-dynamodb";
import { Rule, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import { FilterCriteria, FunctionUrlAuthType, StartingPosition } from "aws-cdk-lib/aws-lambda";
import type { Function as AwsFunction } from "aws-cdk-lib/aws-lambda";
import { DynamoEventSource, SqsDlq } from "aws-cdk-lib/aws-lambda-event-sources";
import { Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs";

import type { Construct } from "constructs";

import type { RouteName } from "#shared/app/routes.ts";
import { routes } from "#shared/app/routes.ts";
import { deadLetterQueueName } from "#shared/aws/names.ts";

import type { LambdaName } from "../../lambdas/build.ts";
import { filterPattern, STREAM_READERS } from "#shared/aws/stream-readers.ts";
import type { StreamReader } from "#shared/aws/stream-readers.ts";
import { API_LAMBDAS, HAS_PLUGINS, LAMBDA_OF } from "../../lambdas/build.ts";
import { accept, acceptWildcard } from "../accepted-findings.ts";
import { MailApi } from "../constructs/mail-api.ts";
import { MailFunction } from "../constructs/mail-function.ts";
import { queueStatements } from "../grants.ts";
import type { Deployment } from "../deployment.ts";
import { LAMBDA_NEEDS } from "../lambda-needs.ts";
import type { Installation } from "../installation.ts";
import { streamFailuresQueue } from "../installation.ts";

export interface ApiProps extends StackProps {
  readonly names: Installation;
  readonly deployment: Deployment;
  /** Folder of each bundle. */
  readonly bundles: ReadonlyMap<LambdaName, string>;
  readonly table: ITable;
  /** True: somebody is told of events by HTTP. */
  readonly hasReceivers: boolean;
  /** True: for LocalStack, which has no HTTP APIs: each Lambda of the API has a URL of its own. */
  readonly isLocal: boolean;
}

/** API Gateway gives up on a Lambda after 30 seconds; by then it has said itself that its time was over. */
const API_TIMEOUT = Duration.seconds(29);
const BACKGROUND_TIMEOUT = Duration.minutes(1);
/** A batch that fails as often is given up, for newer events wait behind it. It waits for hours by then. */
const STREAM_RETRIES = 1_000;
const KEPT_FAILURES = Duration.days(14);
const MAX_DEAD_LETTERS = 10;
/** What AWS does in the name of a Lambda that reads a queue. */
const DEAD_LETTER_ACTIONS = [
  "sqs:ReceiveMessage",
  "sqs:DeleteMessage",
  "sqs:ChangeMessageVisibility",
  "sqs:GetQueueAttributes",
];

const WHAT_FOR: Readonly<Record<LambdaName, string>> = {
  send: "takes mail in",
  queue: "shows and changes what is in the queue",
  suppression: "keeps the suppression list",
  zones: "shows zones and limits",
  health: "answers for the whole, for tries of plugins, and for paths that are not there",
  sweep: "feeds what came due, once a minute",
  events: "signals new mail and reports bounces, from the table's stream",
  "report-again": "makes reports of bounces that could not be made before, once a minute",
  notify: "tells receivers of events, from the table's stream",
  "notify-again": "tells receivers what they did not take, once a minute",
  "dead-letter": "tells of signals that nobody could use",
  "zone-guard": "refuses to remove a zone that holds mail",
};

export class ApiStack extends Stack {
  readonly functions = new Map<LambdaName, AwsFunction>();
  /** Null: the Lambdas have URLs in its place. */
  readonly api: HttpApi | null;

  constructor(scope: Construct, id: string, props: ApiProps) {
    super(scope, id, props);
    for (const name of API_LAMBDAS) this.add(name, props, API_TIMEOUT);
    if (props.isLocal) this.addUrls();
    this.api = props.isLocal ? null : this.addHttpApi(props);
    this.addSchedules(props);
    this.addStreamReaders(props);
    this.addDeadLetters(props);
  }

  private add(name: LambdaName, { names, bundles }: ApiProps, timeout: Duration): AwsFunction {
    const folder = bundles.get(name);
    if (folder === undefined) throw new Error(`there is no bundle of ${name}`);
    const made = new MailFunction(this, `Lambda-${name}`, {
      name,
      description: `ZoneFleet ${name}: ${WHAT_FOR[name]}`,
      folder,
      names,
      needs: LAMBDA_NEEDS[name],
      timeout,
    });
    this.functions.set(name, made.function);
    return made.function;
  }

  private functionOf(name: LambdaName): AwsFunction {
    const found = this.functions.get(name);
    if (!found) throw new Error(`there is no Lambda ${name}`);
    return found;
  }

  private addHttpApi({ names, deployment: { api, domain } }: ApiProps): HttpApi {
    const { certificateArn, rateLimit, burstLimit } = api;
    const made = new MailApi(this, "Http", {
      apiName: names.prefix,
      routes: new Map([...segments()].map(([segment, name]) => [segment, this.functionOf(name)])),
      fallback: this.functionOf("health"),
      rateLimit,
      burstLimit,
      domain: certificateArn === undefined ? null : { name: `api.${domain}`, certificateArn },
    });
    return made.api;
  }

  private addUrls(): void {
    for (const name of API_LAMBDAS) {
      const { url } = this.functionOf(name).addFunctionUrl({ authType: FunctionUrlAuthType.NONE });
      new CfnOutput(this, `Url-${name}`, { value: url });
    }
  }

  private addSchedules(props: ApiProps): void {
    const names: LambdaName[] = props.hasReceivers
      ? ["sweep", "report-again", "notify-again"]
      : ["sweep", "report-again"];
    for (const name of names) {
      const target = new LambdaFunction(this.add(name, props, BACKGROUND_TIMEOUT), { retryAttempts: 0 });
      new Rule(this, `EveryMinute-${name}`, {
        description: `ZoneFleet ${name}`,
        schedule: Schedule.rate(Duration.minutes(1)),
        targets: [target],
      });
    }
  }

  private addStreamReaders(props: ApiProps): void {
    const onFailure = new SqsDlq(this.failures(props.names));
    const readers: StreamReader[] = props.hasReceivers ? ["events", "notify"] : ["events"];
    for (const name of readers) {
      const source = new DynamoEventSource(props.table, {
        startingPosition: StartingPosition.TRIM_HORIZON,
        batchSize: STREAM_READERS[name].batchSize,
        reportBatchItemFailures: true,
        bisectBatchOnError: true,
        retryAttempts: STREAM_RETRIES,
        filters: [FilterCriteria.filter(filterPattern(STREAM_READERS[name]))],
        onFailure,
      });
      const reader = this.add(name, props, BACKGROUND_TIMEOUT);
      reader.addEventSource(source);
      if (reader.role) acceptWildcard(reader.role, "*", "ListStreams, which AWS grants on nothing less.");
    }
  }

  /** Which records of the stream were given up. */
  private failures(names: Installation): Queue {
    const queue = new Queue(this, "StreamFailures", {
      queueName: streamFailuresQueue(names),
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: KEPT_FAILURES,
    });
    accept(queue, "AwsSolutions-SQS3", "It is where failures end; an alarm looks at it.");
    return queue;
  }

  private addDeadLetters(props: ApiProps): void {
    const reader = this.add("dead-letter", props, BACKGROUND_TIMEOUT);
    const { queuePrefix, zones } = props.names;
    const queues = zones.map((zone) => [zone, deadLetterQueueName(queuePrefix, zone)] as const);
    const names = queues.map(([, name]) => name);
    for (const statement of queueStatements(this, DEAD_LETTER_ACTIONS, names))
      reader.addToRolePolicy(statement);
    for (const [zone, resource] of queues)
      reader.addEventSourceMapping(`DeadLetters-${zone}`, {
        eventSourceArn: this.formatArn({ service: "sqs", resource }),
        batchSize: MAX_DEAD_LETTERS,
        reportBatchItemFailures: true,
      });
  }
}

/** The first segment of every path belongs to one Lambda, so that HEAD, other methods and trailing slashes come to it too. */
function segments(): Map<string, LambdaName> {
  const found = new Map<string, LambdaName>([["plugin", HAS_PLUGINS]]);
  for (const [name, { path }] of Object.entries(routes)) {
    const segment = path.split("/")[1] ?? "";
    const lambda = LAMBDA_OF[name as RouteName];
    if ((found.get(segment) ?? lambda) !== lambda) throw new Error(`/${segment} belongs to two Lambdas`);
    found.set(segment, lambda);
  }
  return found;
}
