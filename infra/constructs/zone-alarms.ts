/** What is to be known of one zone: that its mail moves, and that it is welcome. */

import { MathExpression } from "aws-cdk-lib/aws-cloudwatch";
import type { IMetric } from "aws-cdk-lib/aws-cloudwatch";
import { Construct } from "constructs";

import { deadLetterQueueName } from "#shared/aws/names.ts";
import type { Zone } from "#shared/domain/zone.ts";
import type { ZoneCount } from "#shared/runtime/cloudwatch.ts";

import type { Installation } from "../installation.ts";
import { FIVE_MINUTES, HOUR, queueMetric, zoneMetric } from "../metrics.ts";
import type { Pager } from "./pager.ts";

export interface ZoneAlarmsProps {
  readonly names: Installation;
  readonly zone: Zone;
  readonly pager: Pager;
}

/** An attempt takes minutes at most, and a rush is worked off in less; people who wait for a password are gone by then. */
const MAX_DUE_SECONDS = 3_600;
/** A zone with a throttle is meant to take its time: what takes half a day was not meant. */
const MAX_DUE_SECONDS_THROTTLED = 12 * 3_600;
/** In periods of five minutes: the sweep fails for a while now and then. */
const DUE_PERIODS = 3;
/** Mailbox providers begin to doubt a sender of whose mail more is for nobody. */
const MAX_BOUNCE_PERCENT = 5;
/** Greylisting defers the first mail to a host; of a list that is written to again that is a small part. */
const MAX_DEFERRAL_PERCENT = 50;
/** In an hour. Of less a share says nothing. */
const MIN_RECIPIENTS = 100;
/** In hours: what a busy receiver puts off in one goes through in the next. */
const DEFERRAL_PERIODS = 2;

export class ZoneAlarms extends Construct {
  private readonly props: ZoneAlarmsProps;

  constructor(scope: Construct, id: string, props: ZoneAlarmsProps) {
    super(scope, id);
    this.props = props;
    if (!props.zone.disabled) this.addMailWaits(); // else it waits as it was told to
    this.addDeadLetters();
    this.addBounces();
    this.addDeferrals();
  }

  private addMailWaits(): void {
    const { names, zone, pager } = this.props;
    const threshold = zone.throttling === null ? MAX_DUE_SECONDS : MAX_DUE_SECONDS_THROTTLED;
    pager.addAlarm(this, "MailWaits", {
      name: `zone ${zone.name} mail waits`,
      description: `Mail of zone ${zone.name} has been due for ${threshold / 3_600} h and is not sent, or nobody has looked (the Lambda ${names.prefix}-sweep). See whether senders are alive, then GET /queue?zone=${zone.name} and their log. docs/monitoring.md#mail-waits`,
      metric: zoneMetric(names, zone.name, "OldestDueAgeSeconds", {
        statistic: "Maximum",
        period: FIVE_MINUTES,
      }),
      comparison: "at least",
      threshold,
      periods: DUE_PERIODS,
      silenceIs: "alarm",
    });
  }

  /** The Lambda that tells of them takes them out at once: they are counted as it receives them. */
  private addDeadLetters(): void {
    const { names, zone, pager } = this.props;
    const queue = deadLetterQueueName(names.queuePrefix, zone.name);
    pager.addAlarm(this, "DeadLetters", {
      name: `zone ${zone.name} dead letters`,
      description: `Senders took signals of zone ${zone.name} again and again and did not get done with their rows. The mail is still queued. The log of ${names.prefix}-dead-letter names the rows. docs/monitoring.md#dead-letters`,
      metric: queueMetric(queue, "NumberOfMessagesReceived", { statistic: "Sum", period: FIVE_MINUTES }),
      comparison: "at least",
      threshold: 1,
      periods: 1,
      silenceIs: "fine",
    });
  }

  private addBounces(): void {
    const { zone, pager } = this.props;
    pager.addAlarm(this, "Bounces", {
      name: `zone ${zone.name} bounces`,
      description: `Of the mail of zone ${zone.name} more than ${MAX_BOUNCE_PERCENT} % bounced within an hour: a bad list, or an address that is refused. The senders' log has the replies. docs/monitoring.md#bounces`,
      metric: this.share("bounces in %", "Bounced", ["Delivered", "Bounced"]),
      comparison: "at least",
      threshold: MAX_BOUNCE_PERCENT,
      periods: 1,
      silenceIs: "fine",
    });
  }

  private addDeferrals(): void {
    const { zone, pager } = this.props;
    pager.addAlarm(this, "Deferrals", {
      name: `zone ${zone.name} deferrals`,
      description: `Of the attempts of zone ${zone.name} more than ${MAX_DEFERRAL_PERCENT} % were put off for ${DEFERRAL_PERIODS} h: receivers do not want the mail now, or cannot be reached (port 25, DNS). GET /queued/deferred/${zone.name} says why. docs/monitoring.md#deferrals`,
      metric: this.share("deferrals in %", "Deferred", ["Delivered", "Deferred", "Bounced", "Expired"]),
      comparison: "at least",
      threshold: MAX_DEFERRAL_PERCENT,
      periods: DEFERRAL_PERIODS,
      silenceIs: "fine",
    });
  }

  /** In percent; 0 where there is too little to tell. */
  private share(label: string, part: ZoneCount, whole: readonly ZoneCount[]): IMetric {
    const { names, zone } = this.props;
    const keyOf = (name: ZoneCount): string => name.toLowerCase();
    const look = { statistic: "Sum", period: HOUR } as const;
    const usingMetrics = Object.fromEntries(
      whole.map((name) => [keyOf(name), zoneMetric(names, zone.name, name, look)]),
    );
    const sum = whole.map(keyOf).join(" + ");
    const expression = `IF(${sum} >= ${MIN_RECIPIENTS}, 100 * ${keyOf(part)} / (${sum}), 0)`;
    return new MathExpression({ expression, usingMetrics, label, period: HOUR });
  }
}
