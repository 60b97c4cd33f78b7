/**
 * One page on which an operator sees the installation: mail in and out, what waits, hosts and addresses, Lambdas, stores. Zones are searched
 * for by CloudWatch when somebody looks, so that a zone that comes or goes leaves the page as it is.
 */

import { Duration } from "aws-cdk-lib";
import {
  Color,
  Dashboard,
  GraphWidget,
  LogQueryVisualizationType,
  LogQueryWidget,
  MathExpression,
  Metric,
  PeriodOverride,
  SingleValueWidget,
  TextWidget,
} from "aws-cdk-lib/aws-cloudwatch";
import type { IMetric } from "aws-cdk-lib/aws-cloudwatch";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { Construct } from "constructs";

import { STREAM_READERS } from "#shared/aws/stream-readers.ts";
import { DIMENSIONS, NAMESPACE } from "#shared/runtime/cloudwatch.ts";
import type { CountName, FleetGauge, ZoneCount, ZoneGauge } from "#shared/runtime/cloudwatch.ts";

import type { LambdaName } from "../../lambdas/build.ts";
import type { Installation } from "../installation.ts";
import { FIVE_MINUTES, installationMetric, lambdaMetric, MINUTE, throttledRequests } from "../metrics.ts";
import type { Look } from "../metrics.ts";

export interface MailDashboardProps {
  readonly names: Installation;
  readonly lambdas: readonly LambdaName[];
  readonly api: HttpApi;
  /** Of the senders. */
  readonly senderLog: string;
}

const COLUMNS = 24;
const THIRD = COLUMNS / 3;
const HEIGHT = 6;

export class MailDashboard extends Construct {
  private readonly props: MailDashboardProps;

  constructor(scope: Construct, id: string, props: MailDashboardProps) {
    super(scope, id);
    this.props = props;
    const dashboard = new Dashboard(this, "Dashboard", {
      dashboardName: props.names.prefix,
      periodOverride: PeriodOverride.INHERIT,
      defaultInterval: Duration.hours(12),
    });
    dashboard.addWidgets(...this.now());
    dashboard.addWidgets(title("Mail"));
    dashboard.addWidgets(...this.mail());
    dashboard.addWidgets(...this.waiting());
    dashboard.addWidgets(this.shares());
    dashboard.addWidgets(title("Hosts and addresses"));
    dashboard.addWidgets(...this.hosts());
    dashboard.addWidgets(title("API and Lambdas"));
    dashboard.addWidgets(...this.apiAndLambdas());
    dashboard.addWidgets(title("Stores"));
    dashboard.addWidgets(...this.stores());
  }

  private now(): SingleValueWidget[] {
    const { names } = this.props;
    const one = (name: FleetGauge, label: string): IMetric =>
      installationMetric(names, name, { statistic: "Maximum", period: MINUTE }).with({ label });
    const metrics = [
      one("RowsWaiting", "recipients due"),
      one("SendersAlive", "senders alive"),
      one("AddressesWanted", "addresses wanted"),
      one("AddressesHeld", "addresses held"),
      one("BlockedPairs", "addresses blocked at a site"),
    ];
    return [new SingleValueWidget({ title: "Now", metrics, width: COLUMNS, height: 3 })];
  }

  private mail(): GraphWidget[] {
    return [
      graph("Taken in: messages", [
        this.byService("MessagesAccepted"),
        this.byService("MessagesNotStored"),
        this.byService("RecipientsSuppressed"),
      ]),
      graph("Delivered, by zone", [this.byZone("Delivered", { statistic: "Sum", period: MINUTE })]),
      graph("Attempts, all zones", [
        this.counted("Delivered", Color.GREEN),
        this.counted("Deferred", Color.ORANGE),
        this.counted("Bounced", Color.RED),
        this.counted("Expired", Color.PURPLE),
      ]),
    ];
  }

  private waiting(): GraphWidget[] {
    const look = { statistic: "Maximum", period: MINUTE } as const;
    return [
      graph("Due or being sent, by zone", [this.byZone("RowsQueued", look)]),
      graph("Due for so long, by zone (s)", [this.byZone("OldestDueAgeSeconds", look)]),
      graph(
        "Waiting for the next attempt, by zone; held (right)",
        [this.byZone("RowsDeferred", look)],
        [this.byZone("RowsHeld", look)],
      ),
    ];
  }

  /** Out of the lines of log that the metrics are made of, for metrics cannot be divided zone by zone. */
  private shares(): LogQueryWidget {
    const queryLines = [
      'filter component = "metrics" and ispresent(Zone)',
      "stats sum(Accepted) as accepted, sum(Delivered) as delivered, sum(Deferred) as deferred, sum(Bounced) as bounced, sum(Expired) as expired, 100 * sum(Deferred) / (sum(Delivered) + sum(Deferred) + sum(Bounced) + sum(Expired)) as deferredPercent, 100 * sum(Bounced) / (sum(Delivered) + sum(Bounced)) as bouncedPercent by Zone",
      "sort by Zone",
    ];
    return new LogQueryWidget({
      title: "Shares of deferrals and bounces, by zone, over the time shown",
      logGroupNames: [this.props.senderLog],
      queryLines,
      view: LogQueryVisualizationType.TABLE,
      width: COLUMNS,
      height: HEIGHT,
    });
  }

  private hosts(): GraphWidget[] {
    const { names } = this.props;
    const fleet = (name: FleetGauge): IMetric =>
      installationMetric(names, name, { statistic: "Maximum", period: MINUTE });
    return [
      graph("CPU of senders (%)", [
        ofHosts(names, "CPUUtilization", "Average"),
        ofHosts(names, "CPUUtilization", "Maximum"),
      ]),
      graph("Network of senders (bytes)", [
        ofHosts(names, "NetworkIn", "Sum"),
        ofHosts(names, "NetworkOut", "Sum"),
      ]),
      graph(
        "Senders, addresses; blocked (right)",
        [fleet("SendersAlive"), fleet("AddressesHeld"), fleet("AddressesWanted")],
        [fleet("BlockedPairs")],
      ),
    ];
  }

  private apiAndLambdas(): GraphWidget[] {
    const { names, lambdas, api } = this.props;
    const sum = { statistic: "Sum", period: FIVE_MINUTES } as const;
    const each = (metricName: Parameters<typeof lambdaMetric>[2], look: Look): IMetric[] =>
      lambdas.map((lambda) => lambdaMetric(names, lambda, metricName, look).with({ label: lambda }));
    return [
      graph("API: requests, 4xx, 5xx", [
        api.metricCount({ ...sum, label: "requests" }),
        api.metricClientError({ ...sum, label: "4xx" }),
        api.metricServerError({ ...sum, label: "5xx" }),
      ]),
      graph("API: latency (ms)", [
        api.metricLatency({ statistic: "p50", period: FIVE_MINUTES, label: "median" }),
        api.metricLatency({ statistic: "p99", period: FIVE_MINUTES, label: "99th percentile" }),
      ]),
      graph("Lambdas: errors", each("Errors", sum)),
      graph("Lambdas: throttles", each("Throttles", sum)),
      graph("Lambdas: duration, 99th percentile (ms)", each("Duration", { ...sum, statistic: "p99" })),
      graph(
        "Readers of the stream: behind by (ms)",
        lambdas
          .filter((lambda) => lambda in STREAM_READERS)
          .map((lambda) =>
            lambdaMetric(names, lambda, "IteratorAge", { statistic: "Maximum", period: MINUTE }).with({
              label: lambda,
            }),
          ),
      ),
    ];
  }

  private stores(): GraphWidget[] {
    const { names } = this.props;
    const look = { statistic: "Sum", period: FIVE_MINUTES } as const;
    const units = (metricName: string, label: string): IMetric =>
      new Metric({
        namespace: "AWS/DynamoDB",
        metricName,
        dimensionsMap: { TableName: names.table },
        ...look,
        label,
      });
    const queues = (metricName: string): IMetric =>
      search(metricName, "{AWS/SQS,QueueName}", wordsOf(names.queuePrefix), {
        look: { statistic: "Maximum", period: FIVE_MINUTES },
        label: "${PROP('Dim.QueueName')}",
      });
    return [
      graph(
        "Table: consumed units; throttled (right)",
        [units("ConsumedReadCapacityUnits", "read"), units("ConsumedWriteCapacityUnits", "write")],
        [throttledRequests(names, FIVE_MINUTES)],
      ),
      graph("Signals: age of the oldest, by queue (s)", [queues("ApproximateAgeOfOldestMessage")]),
      graph("Signals not sent; mail not stored, S3 or the table failing", [
        this.byService("SignalsNotSent"),
        this.byService("MessagesNotStored"),
      ]),
    ];
  }

  private counted(name: ZoneCount, color: string): IMetric {
    const look = { statistic: "Sum", period: MINUTE } as const;
    return installationMetric(this.props.names, name, look).with({ color, label: name.toLowerCase() });
  }

  private byZone(name: ZoneCount | ZoneGauge, look: Look): IMetric {
    const { installation, zone } = DIMENSIONS;
    const schema = `{${NAMESPACE},${installation},${zone}}`;
    return search(name, schema, `${installation}="${this.props.names.table}"`, {
      look,
      label: `\${PROP('Dim.${zone}')}`,
    });
  }

  private byService(name: CountName): IMetric {
    const { installation, service } = DIMENSIONS;
    const schema = `{${NAMESPACE},${installation},${service}}`;
    return search(name, schema, `${installation}="${this.props.names.table}"`, {
      look: { statistic: "Sum", period: FIVE_MINUTES },
      label: `${name} \${PROP('Dim.${service}')}`,
    });
  }
}

function ofHosts({ prefix }: Installation, metricName: string, statistic: string): IMetric {
  const dimensionsMap = { AutoScalingGroupName: prefix };
  const label = `${metricName}, ${statistic.toLowerCase()}`;
  return new Metric({ namespace: "AWS/EC2", metricName, dimensionsMap, statistic, period: MINUTE, label });
}

/** All metrics of the name whose dimensions are of the schema. */
function search(
  metricName: string,
  schema: string,
  terms: string,
  { look, label }: { look: Look; label: string },
): IMetric {
  const { statistic, period } = look;
  const expression = `SEARCH('${schema} MetricName="${metricName}" ${terms}', '${statistic}', ${period.toSeconds()})`;
  return new MathExpression({ expression, usingMetrics: {}, label, period });
}

/** In quotes only whole names are found; without, names that have all these words in them. */
function wordsOf(beginning: string): string {
  return beginning
    .split(/[^a-z0-9]+/)
    .join(" ")
    .trim();
}

function graph(title: string, left: IMetric[], right: IMetric[] = []): GraphWidget {
  return new GraphWidget({ title, left, right, width: THIRD, height: HEIGHT, leftYAxis: { min: 0 } });
}

function title(text: string): TextWidget {
  return new TextWidget({ markdown: `## ${text}`, width: COLUMNS, height: 1 });
}
