/**
 * What is measured on AWS beyond what AWS measures itself: names and meaning, and the form of a line of log that CloudWatch makes metrics
 * of (its embedded metric format). Senders and Lambdas write such lines, the alarms look at what is named here; docs/monitoring.md says what to do.
 *
 * A metric costs US$0.30 a month, whatever is counted; a line costs its bytes of log, and no call.
 */

import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";

export const NAMESPACE = "ZoneFleet";

/** What metrics are told apart by. The installation is known by the name of its table. */
export const DIMENSIONS = { installation: "Installation", zone: "Zone", service: "service" } as const;

/** Recipients of a zone, once a minute by each worker of a sender: taken in by SMTP, and by what their attempts came to. */
export const ZONE_COUNTS = ["Accepted", "Delivered", "Deferred", "Bounced", "Expired"] as const;
export type ZoneCount = (typeof ZONE_COUNTS)[number];

/**
 * What waits in a zone, once a minute by the sweep. A row that is being sent counts as queued; `OldestDueAgeSeconds` is how long the
 * oldest row that is due has been so.
 */
export const ZONE_GAUGES = ["RowsQueued", "RowsDeferred", "RowsHeld", "OldestDueAgeSeconds"] as const;
export type ZoneGauge = (typeof ZONE_GAUGES)[number];

/**
 * Of the installation, once a minute by the sweep: rows that are queued in zones that send; hosts with a worker that is alive; Elastic IPs of its pools, and how many of them a
 * host holds; pairs of egress address and site that the site refuses just now.
 */
export const FLEET_GAUGES = [
  "RowsWaiting",
  "SendersAlive",
  "AddressesWanted",
  "AddressesHeld",
  "BlockedPairs",
] as const;
export type FleetGauge = (typeof FLEET_GAUGES)[number];

/**
 * What a Lambda counts in an invocation, or a sender in a minute, by `service`: the name of the Lambda, or `sender`.
 * - `Requests` `Refused` `Faults` answers of the API, those of 4xx and of 5xx
 * - `MessagesAccepted` `RecipientsAccepted` `RecipientsSuppressed` `MessagesNotStored`
 * - `BouncesSent` `EventsRead` `EventsFailed` Alert: EventsFailed above 0, for records cannot be read or nothing can be kept
 * - `EventsKept` `EventsGivenUp` of `events` and `report-again`: reports that are late; of `notify` and `notify-again`, with `EventsTold`: of
 *   receivers by HTTP. Kept for minutes: a store or a receiver is down
 * - `RowsFed` `LeasesLapsed` `MessagesPurged` of the sweep. Where LeasesLapsed stays high, senders die
 * - `SignalsNotSent` rows whose signal is tried again, or waits for the sweep: their mail is late by as much
 * - `DeadLetters` signals that nobody could use
 * - `ColdStarts` invocations that were the first of their process
 */
export const COUNTS = [
  "Requests",
  "Refused",
  "Faults",
  "MessagesAccepted",
  "RecipientsAccepted",
  "RecipientsSuppressed",
  "MessagesNotStored",
  "BouncesSent",
  "EventsRead",
  "EventsFailed",
  "EventsTold",
  "EventsKept",
  "EventsGivenUp",
  "RowsFed",
  "LeasesLapsed",
  "MessagesPurged",
  "SignalsNotSent",
  "DeadLetters",
  "ColdStarts",
] as const;
export type CountName = (typeof COUNTS)[number];

export type Values<Name extends string> = Readonly<Record<Name, number>>;

/** What was done in a zone, counted for the whole installation, too, so that nobody has to add zones up. */
export function zoneCountsLine(of: ZoneLine, counts: Values<ZoneCount>): Record<string, unknown> {
  const { installation, zone } = DIMENSIONS;
  return line(of.at, [[installation, zone], [installation]], namesOf(of), counts);
}

export function zoneGaugesLine(of: ZoneLine, gauges: Values<ZoneGauge>): Record<string, unknown> {
  const { installation, zone } = DIMENSIONS;
  return line(of.at, [[installation, zone]], namesOf(of), gauges);
}

export interface ZoneLine {
  readonly at: EpochMs;
  readonly installation: string;
  readonly zone: ZoneName;
}

function namesOf({ installation, zone }: ZoneLine): Record<string, string> {
  return { [DIMENSIONS.installation]: installation, [DIMENSIONS.zone]: zone };
}

export function fleetLine(
  { at, installation }: { at: EpochMs; installation: string },
  values: Partial<Values<FleetGauge>>,
): Record<string, unknown> {
  const { installation: whole } = DIMENSIONS;
  return line(at, [[whole]], { [whole]: installation }, values);
}

/** Counts of one kind of process, under the names that Lambdas count by. */
export function serviceLine(
  { at, installation, service }: { at: EpochMs; installation: string; service: string },
  values: Partial<Values<CountName>>,
): Record<string, unknown> {
  const { installation: whole, service: part } = DIMENSIONS;
  return line(at, [[part, whole]], { [whole]: installation, [part]: service }, values);
}

function line(
  at: EpochMs,
  dimensions: readonly (readonly string[])[],
  names: Readonly<Record<string, string>>,
  values: Readonly<Record<string, number>>,
): Record<string, unknown> {
  const metrics = Object.keys(values).map((Name) => ({
    Name,
    Unit: Name.endsWith("Seconds") ? "Seconds" : "Count",
  }));
  const told = { Namespace: NAMESPACE, Dimensions: dimensions, Metrics: metrics };
  return { _aws: { Timestamp: at, CloudWatchMetrics: [told] }, ...names, ...values };
}
