/** What is to be known of the installation as a whole: that it sends, that its hosts and addresses are there, that its table keeps up. */

import { MathExpression } from "aws-cdk-lib/aws-cloudwatch";
import { Construct } from "constructs";

import type { Installation } from "../installation.ts";
import {
  FIVE_MINUTES,
  installationMetric,
  MINUTE,
  serviceMetric,
  sumOf,
  throttledRequests,
} from "../metrics.ts";
import type { Pager } from "./pager.ts";

export interface FleetAlarmsProps {
  readonly names: Installation;
  readonly pager: Pager;
  /** Hosts that are to be there at all times. */
  readonly minSenders: number;
  /** True: pools have Elastic IPs. */
  readonly hasElastic: boolean;
}

/** In periods of five minutes. In as long somebody takes mail, wherever it goes to. */
const NOTHING_DELIVERED_PERIODS = 6;
/** In minutes: a host that is replaced is missed for as long as another takes to boot. */
const SENDERS_MISSING_PERIODS = 15;
/** In minutes. Another host has an address of a dead one within one. */
const ADDRESS_MISSING_PERIODS = 5;
/** In periods of five minutes: an hour, in which a passing refusal is over. */
const BLOCKED_PERIODS = 12;
/** In periods of five minutes. A table on demand says no for moments when the load doubles, and all is tried again. */
const THROTTLED_PERIODS = 3;
const MIN_THROTTLED = 10;

export class FleetAlarms extends Construct {
  private readonly props: FleetAlarmsProps;

  constructor(scope: Construct, id: string, props: FleetAlarmsProps) {
    super(scope, id);
    this.props = props;
    this.addNothingDelivered();
    this.addSendersMissing();
    if (props.hasElastic) this.addAddressesNotHeld();
    this.addAddressesBlocked();
    this.addNotStored();
    this.addTableThrottled();
  }

  private addNothingDelivered(): void {
    const { names, pager } = this.props;
    const period = FIVE_MINUTES;
    const usingMetrics = {
      waiting: installationMetric(names, "RowsWaiting", { statistic: "Minimum", period }),
      delivered: installationMetric(names, "Delivered", { statistic: "Sum", period }),
    };
    pager.addAlarm(this, "NothingDelivered", {
      name: "nothing is delivered",
      description: `Mail has been due for ${(NOTHING_DELIVERED_PERIODS * 5).toString()} minutes and not one was delivered. Are senders alive, is port 25 open, does DNS answer? The senders' log has what receivers said. docs/monitoring.md#nothing-is-delivered`,
      metric: new MathExpression({
        expression: "IF(waiting > 0 AND FILL(delivered, 0) == 0, 1, 0)",
        usingMetrics,
        label: "mail waits and none is delivered",
        period,
      }),
      comparison: "at least",
      threshold: 1,
      periods: NOTHING_DELIVERED_PERIODS,
      silenceIs: "fine", // that nobody looks is told by the alarms of zones and senders
    });
  }

  private addSendersMissing(): void {
    const { names, pager, minSenders } = this.props;
    pager.addAlarm(this, "SendersMissing", {
      name: "senders are missing",
      description: `Fewer than ${minSenders} sender hosts have been alive for ${SENDERS_MISSING_PERIODS} minutes, or nobody has looked (the Lambda ${names.prefix}-sweep). See the activity of the Auto Scaling group ${names.prefix}, and on a host, by Session Manager, the unit zonefleet. docs/monitoring.md#senders-are-missing`,
      metric: installationMetric(names, "SendersAlive", { statistic: "Maximum", period: MINUTE }),
      comparison: "less than",
      threshold: minSenders,
      periods: SENDERS_MISSING_PERIODS,
      silenceIs: "alarm",
    });
  }

  private addAddressesNotHeld(): void {
    const { names, pager } = this.props;
    const look = { statistic: "Minimum", period: MINUTE } as const;
    const usingMetrics = {
      wanted: installationMetric(names, "AddressesWanted", look),
      held: installationMetric(names, "AddressesHeld", { ...look, statistic: "Maximum" }),
    };
    pager.addAlarm(this, "AddressesNotHeld", {
      name: "addresses are not held",
      description: `An Elastic IP has had no host for ${ADDRESS_MISSING_PERIODS} minutes, so no mail leaves from it. GET /internals says who holds which; there must be room: senders.addressesPerHost times the hosts. docs/monitoring.md#addresses-are-not-held`,
      metric: new MathExpression({
        expression: "wanted - held",
        usingMetrics,
        label: "addresses without a host",
        period: MINUTE,
      }),
      comparison: "at least",
      threshold: 1,
      periods: ADDRESS_MISSING_PERIODS,
      silenceIs: "alarm",
    });
  }

  private addAddressesBlocked(): void {
    const { names, pager } = this.props;
    pager.addAlarm(this, "AddressesBlocked", {
      name: "addresses are blocked",
      description:
        "For an hour at least one receiver has refused an address of ours for what it is: it may be on a block list. GET /blacklist says which, and what was said. docs/monitoring.md#addresses-are-blocked",
      metric: installationMetric(names, "BlockedPairs", { statistic: "Minimum", period: FIVE_MINUTES }),
      comparison: "at least",
      threshold: 1,
      periods: BLOCKED_PERIODS,
      silenceIs: "fine",
    });
  }

  private addNotStored(): void {
    const { names, pager } = this.props;
    const look = { statistic: "Sum", period: FIVE_MINUTES } as const;
    const both = (["send", "sender"] as const).map((service) =>
      serviceMetric(names, service, "MessagesNotStored", look),
    );
    pager.addAlarm(this, "NotStored", {
      name: "mail is not stored",
      description: `Mail was turned away since it could not be stored; clients were told to come back (451, 503). The logs of ${names.prefix}-send and of the senders say what S3 or DynamoDB answered. docs/monitoring.md#mail-is-not-stored`,
      metric: sumOf(both, { label: "messages not stored", period: FIVE_MINUTES }),
      comparison: "at least",
      threshold: 1,
      periods: 1,
      silenceIs: "fine",
    });
  }

  private addTableThrottled(): void {
    const { names, pager } = this.props;
    pager.addAlarm(this, "TableThrottled", {
      name: "the table is throttled",
      description: `DynamoDB has turned away requests to ${names.table} for ${THROTTLED_PERIODS * 5} minutes. Mail is safe and late. A table on demand grows by itself, up to the quota of the account: see it, and what the load is. docs/monitoring.md#the-table-is-throttled`,
      metric: throttledRequests(names, FIVE_MINUTES),
      comparison: "at least",
      threshold: MIN_THROTTLED,
      periods: THROTTLED_PERIODS,
      silenceIs: "fine",
    });
  }
}
