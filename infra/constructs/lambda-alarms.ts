/** What is to be known of the Lambdas: that each works, that readers of the stream keep up, and what they have given up. */

import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { Construct } from "constructs";

import { STREAM_READERS } from "#shared/aws/stream-readers.ts";

import type { LambdaName } from "../../lambdas/build.ts";
import type { Installation } from "../installation.ts";
import { streamFailuresQueue } from "../installation.ts";
import { FIVE_MINUTES, lambdaMetric, MINUTE, queueMetric, serviceMetric, sumOf } from "../metrics.ts";
import type { Pager } from "./pager.ts";

export interface LambdaAlarmsProps {
  readonly names: Installation;
  readonly pager: Pager;
  readonly lambdas: readonly LambdaName[];
  readonly api: HttpApi;
}

/** In five minutes. One that fails now and then is called again by AWS or by the next minute. */
const MIN_ERRORS = 3;
/** Any: a Lambda that is refused a place makes clients and mail wait. */
const MIN_THROTTLES = 1;
/** In five minutes; clients have been told that it is not their fault. */
const MIN_SERVER_ERRORS = 5;
/** Mail by HTTP waits as long for its signal. The sweep would give it one after ten minutes. */
const MAX_ITERATOR_AGE_MS = 5 * 60_000;
const ITERATOR_PERIODS = 3;

export class LambdaAlarms extends Construct {
  private readonly props: LambdaAlarmsProps;

  constructor(scope: Construct, id: string, props: LambdaAlarmsProps) {
    super(scope, id);
    this.props = props;
    for (const lambda of props.lambdas) {
      this.addErrors(lambda);
      this.addThrottles(lambda);
      if (lambda in STREAM_READERS) this.addBehind(lambda);
    }
    this.addServerErrors();
    this.addStreamFailures();
    this.addGivenUp();
  }

  private addErrors(lambda: LambdaName): void {
    const { names, pager } = this.props;
    pager.addAlarm(this, `Errors-${lambda}`, {
      name: `Lambda ${lambda} fails`,
      description: `${names.prefix}-${lambda} failed ${MIN_ERRORS} times or more in five minutes. Its log (/zonefleet/${names.prefix}/${lambda}) says why. docs/monitoring.md#a-lambda-fails`,
      metric: lambdaMetric(names, lambda, "Errors", { statistic: "Sum", period: FIVE_MINUTES }),
      comparison: "at least",
      threshold: MIN_ERRORS,
      periods: 1,
      silenceIs: "fine",
    });
  }

  private addThrottles(lambda: LambdaName): void {
    const { names, pager } = this.props;
    pager.addAlarm(this, `Throttles-${lambda}`, {
      name: `Lambda ${lambda} is throttled`,
      description: `AWS did not start ${names.prefix}-${lambda}: the account's quota of concurrent executions is used up. Ask for more, or see what else uses it. docs/monitoring.md#a-lambda-is-throttled`,
      metric: lambdaMetric(names, lambda, "Throttles", { statistic: "Sum", period: FIVE_MINUTES }),
      comparison: "at least",
      threshold: MIN_THROTTLES,
      periods: 1,
      silenceIs: "fine",
    });
  }

  private addBehind(lambda: LambdaName): void {
    const { names, pager } = this.props;
    pager.addAlarm(this, `Behind-${lambda}`, {
      name: `Lambda ${lambda} is behind`,
      description: `${names.prefix}-${lambda} reads changes of the table that are ${MAX_ITERATOR_AGE_MS / 60_000} minutes old: a record that cannot be done holds up those behind it. Its log names it. What is a day old is lost to it. docs/monitoring.md#a-lambda-is-behind`,
      metric: lambdaMetric(names, lambda, "IteratorAge", { statistic: "Maximum", period: MINUTE }),
      comparison: "at least",
      threshold: MAX_ITERATOR_AGE_MS,
      periods: ITERATOR_PERIODS,
      silenceIs: "fine",
    });
  }

  private addServerErrors(): void {
    const { names, pager, api } = this.props;
    pager.addAlarm(this, "ServerErrors", {
      name: "the API fails",
      description: `The HTTP API answered 5xx ${MIN_SERVER_ERRORS} times or more in five minutes. Its access log (/zonefleet/${names.prefix}/access) says which route, the Lambda's log why. docs/monitoring.md#the-api-fails`,
      metric: api.metricServerError({ statistic: "Sum", period: FIVE_MINUTES }),
      comparison: "at least",
      threshold: MIN_SERVER_ERRORS,
      periods: 1,
      silenceIs: "fine",
    });
  }

  private addStreamFailures(): void {
    const { names, pager } = this.props;
    const queue = streamFailuresQueue(names);
    pager.addAlarm(this, "StreamFailures", {
      name: "changes were given up",
      description: `A reader of the table's stream has given up records, named in the queue ${queue}: bounces that were not reported, or receivers that were not told. docs/monitoring.md#changes-were-given-up`,
      metric: queueMetric(queue, "ApproximateNumberOfMessagesVisible", {
        statistic: "Maximum",
        period: FIVE_MINUTES,
      }),
      comparison: "at least",
      threshold: 1,
      periods: 1,
      silenceIs: "fine",
    });
  }

  private addGivenUp(): void {
    const { names, pager, lambdas } = this.props;
    const look = { statistic: "Sum", period: FIVE_MINUTES } as const;
    const again = lambdas.filter((name) => name === "report-again" || name === "notify-again");
    const metrics = again.map((name) => serviceMetric(names, name, "EventsGivenUp", look));
    pager.addAlarm(this, "GivenUp", {
      name: "reports were given up",
      description: `Bounces could not be reported for a day, or a receiver of events has not taken them for as long. The logs of ${again.map((name) => `${names.prefix}-${name}`).join(" and ")} name them. docs/monitoring.md#reports-were-given-up`,
      metric: sumOf(metrics, { label: "events given up", period: FIVE_MINUTES }),
      comparison: "at least",
      threshold: 1,
      periods: 1,
      silenceIs: "fine",
    });
  }
}
