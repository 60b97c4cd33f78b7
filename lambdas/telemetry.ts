/**
 * What a Lambda tells: log lines by Powertools' logger, metrics as EMF lines that CloudWatch counts. Both are paid for
 * by the byte: a served request costs one metrics line and no log line.
 */

import { Logger } from "@aws-lambda-powertools/logger";
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";

import type { Observer } from "#shared/app/observer.ts";
import { DIMENSIONS, fleetLine, NAMESPACE, zoneGaugesLine } from "#shared/runtime/cloudwatch.ts";
import type { CountName, FleetGauge, Values, ZoneGauge } from "#shared/runtime/cloudwatch.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";

import type { Log } from "./log.ts";

export type TimeName = "RequestTime" | "AcceptTime";

/** What is counted is written when the invocation ends, what is read (a gauge) at once. */
export interface Telemetry {
  /** Call first in each invocation: its id, by which AWS names it in its own lines, is in every line of the log from then on. */
  readonly begin: (awsRequestId: string) => void;
  readonly log: Log;
  readonly count: (name: CountName, by?: number) => void;
  readonly time: (name: TimeName, ms: number) => void;
  /** What stands in a zone at a time. */
  readonly zoneGauges: (zone: ZoneName, at: EpochMs, values: Values<ZoneGauge>) => void;
  readonly fleetGauges: (at: EpochMs, values: Partial<Values<FleetGauge>>) => void;
  readonly publish: () => void;
}

/** `service` is the name of the Lambda, `installation` that of its table: what its metrics are told apart by. */
export function telemetry(service: string, installation: string): Telemetry {
  const logger = new Logger({ serviceName: service });
  const metrics = new Metrics({
    namespace: NAMESPACE,
    serviceName: service,
    defaultDimensions: { [DIMENSIONS.installation]: installation },
  });
  let isCold = true;
  return {
    begin(awsRequestId) {
      logger.appendKeys({ awsRequestId });
      if (isCold) metrics.addMetric("ColdStarts", MetricUnit.Count, 1);
      isCold = false;
    },
    log: {
      debug: (fields, message) => logger.debug(message, { ...fields }),
      info: (fields, message) => logger.info(message, { ...fields }),
      warn: (fields, message) => logger.warn(message, { ...fields }),
      error: (fields, message) => logger.error(message, { ...fields }),
    },
    count(name, by = 1) {
      metrics.addMetric(name, MetricUnit.Count, by);
    },
    time(name, ms) {
      metrics.addMetric(name, MetricUnit.Milliseconds, ms);
    },
    zoneGauges: (zone, at, values) => write(zoneGaugesLine({ at, installation, zone }, values)),
    fleetGauges: (at, values) => write(fleetLine({ at, installation }, values)),
    publish() {
      if (metrics.hasStoredMetrics()) metrics.publishStoredMetrics();
    },
  };
}

/** As Powertools writes its metrics: past `console`, before whose lines the runtime puts words. */
function write(line: object): void {
  if (process.env["POWERTOOLS_METRICS_DISABLED"] === "true") return;
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/**
 * A Lambda takes mail in and reports bounces; it settles nothing. `event` is ZoneMTA's word, as in the log of a
 * sender; what is no trouble is told at debug only, since CloudWatch is paid for by the line.
 */
export function observer({ log, count, time }: Telemetry): Observer {
  return {
    accepted(message, rows, durationMs) {
      const suppressed = rows.filter(({ state }) => state === "suppressed").length;
      count("MessagesAccepted");
      count("RecipientsAccepted", rows.length);
      if (suppressed > 0) count("RecipientsSuppressed", suppressed);
      time("AcceptTime", durationMs);
      const fields = { messageId: message.id, rows: rows.length, suppressed, durationMs };
      log.debug({ event: "QUEUED", ...fields }, "message queued");
    },
    notAccepted(error) {
      const event = "NOQUEUE";
      if (error instanceof DomainError) {
        log.debug({ event, code: error.code, detail: error.message }, "message refused");
        return;
      }
      count("MessagesNotStored");
      log.error({ event, err: error }, "message could not be stored");
    },
    settled: () => undefined,
    settledLate: () => undefined,
    bounceSent(message) {
      count("BouncesSent");
      log.info({ event: "QUEUE_BOUNCE", messageId: message.id }, "bounce message queued");
    },
  };
}
