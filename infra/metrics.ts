/** Metrics for alarms and the dashboard: our own by the names they are written under (shared/runtime/cloudwatch.ts), AWS's by those of AWS. */

import { Duration } from "aws-cdk-lib";
import { MathExpression, Metric } from "aws-cdk-lib/aws-cloudwatch";
import type { IMetric } from "aws-cdk-lib/aws-cloudwatch";

import { INDEXES } from "#shared/aws/keys.ts";
import { DIMENSIONS, NAMESPACE } from "#shared/runtime/cloudwatch.ts";
import type { CountName, FleetGauge, ZoneCount, ZoneGauge } from "#shared/runtime/cloudwatch.ts";
import type { ZoneName } from "#shared/domain/zone.ts";

import type { LambdaName } from "../lambdas/build.ts";
import type { Installation } from "./installation.ts";

type Statistic = "Sum" | "Minimum" | "Maximum" | "Average" | "p99";

export interface Look {
  readonly statistic: Statistic;
  readonly period: Duration;
}

export const MINUTE = Duration.minutes(1);
export const FIVE_MINUTES = Duration.minutes(5);
export const HOUR = Duration.hours(1);

export function zoneMetric(
  { table }: Installation,
  zone: ZoneName,
  metricName: ZoneCount | ZoneGauge,
  look: Look,
): Metric {
  const dimensionsMap = { [DIMENSIONS.installation]: table, [DIMENSIONS.zone]: zone };
  return new Metric({ namespace: NAMESPACE, metricName, dimensionsMap, ...look });
}

/** Of all zones together, or of the fleet. */
export function installationMetric(
  { table }: Installation,
  metricName: ZoneCount | FleetGauge,
  look: Look,
): Metric {
  const dimensionsMap = { [DIMENSIONS.installation]: table };
  return new Metric({ namespace: NAMESPACE, metricName, dimensionsMap, ...look });
}

/** What a Lambda counts, or a sender under the same name. */
export function serviceMetric(
  { table }: Installation,
  service: LambdaName | "sender",
  metricName: CountName,
  look: Look,
): Metric {
  const dimensionsMap = { [DIMENSIONS.installation]: table, [DIMENSIONS.service]: service };
  return new Metric({ namespace: NAMESPACE, metricName, dimensionsMap, ...look });
}

export function lambdaMetric(
  { prefix }: Installation,
  lambda: LambdaName,
  metricName: "Errors" | "Throttles" | "Duration" | "IteratorAge" | "Invocations",
  look: Look,
): Metric {
  const dimensionsMap = { FunctionName: `${prefix}-${lambda}` };
  return new Metric({ namespace: "AWS/Lambda", metricName, dimensionsMap, ...look });
}

export function queueMetric(
  queueName: string,
  metricName: "ApproximateNumberOfMessagesVisible" | "NumberOfMessagesReceived",
  look: Look,
): Metric {
  return new Metric({ namespace: "AWS/SQS", metricName, dimensionsMap: { QueueName: queueName }, ...look });
}

/** Reads and writes that the table or one of its indexes had no room for. */
export function throttledRequests({ table }: Installation, period: Duration): MathExpression {
  const places = [{}, ...INDEXES.map(({ name }) => ({ GlobalSecondaryIndexName: name }))];
  const metrics = places.flatMap((place) =>
    ["ReadThrottleEvents", "WriteThrottleEvents"].map((metricName) => {
      const dimensionsMap = { TableName: table, ...place };
      return new Metric({
        namespace: "AWS/DynamoDB",
        metricName,
        dimensionsMap,
        statistic: "Sum",
        period,
      });
    }),
  );
  return sumOf(metrics, { label: "throttled reads and writes", period });
}

/** One that says nothing in a period counts as nothing. */
export function sumOf(
  metrics: readonly IMetric[],
  { label, period }: { label: string; period: Duration },
): MathExpression {
  const usingMetrics = Object.fromEntries(metrics.map((metric, index) => [`m${index}`, metric]));
  const expression = Object.keys(usingMetrics)
    .map((name) => `FILL(${name}, 0)`)
    .join(" + ");
  return new MathExpression({ expression, usingMetrics, label, period });
}
