/**
 * From the table's stream of changes: new mail is signalled to the senders of its zone, and bounces are reported. Receivers by HTTP,
 * for whom one must wait, are told by a Lambda of their own (notify.ts).
 *
 * AWS gives a batch again from the first record that is named as failed, and nothing behind it before it is done. So neither part
 * waits for the other; nothing that is done again is done twice; and only what AWS itself cannot do now (take a signal, keep a
 * report for later) makes the batch come again.
 */

import type { DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent } from "aws-lambda";

import type { ReportStreamDeps } from "#shared/app/report-stream.ts";
import { reportAgain, reportNow } from "#shared/app/report-stream.ts";
import { reportsOf } from "#shared/app/report-bounces.ts";
import type { MailEvent } from "#shared/domain/event.ts";
import { later } from "#shared/domain/units.ts";

import type { RemainingTime } from "./sweep.ts";
import type { Telemetry } from "./telemetry.ts";

export interface RecordReader {
  /** What a change of an item tells; empty: nothing that happened to mail. Throws for an item that it cannot read. */
  readonly eventsOf: (record: DynamoDBRecord) => readonly MailEvent[];
  readonly telemetry: Telemetry;
}

export interface ReportsDeps extends Pick<ReportStreamDeps, "backlog" | "clock" | "report"> {
  readonly telemetry: Telemetry;
}

export interface EventsDeps extends ReportsDeps, RecordReader {
  /** Send the signals that records ask for. Resolves with the place from which on they must come again; null: nowhere. */
  readonly signal: (records: readonly DynamoDBRecord[]) => Promise<number | null>;
}

export function eventsHandler(deps: EventsDeps) {
  return async ({ Records }: DynamoDBStreamEvent): Promise<DynamoDBBatchResponse> => {
    const signalling = deps.signal(Records); // first: mail waits for it
    const [unsignalled, unreported] = await Promise.all([signalling, reportRecords(deps, Records)]);
    const again = [unsignalled, unreported].filter((place) => place !== null);
    if (again.length === 0) return { batchItemFailures: [] };
    return { batchItemFailures: [{ itemIdentifier: sequenceOf(Records[Math.min(...again)]) }] };
  };
}

/** Every minute: reports that could not be made before. When the table fails, the next invocation goes on. */
export function reportAgainHandler(deps: ReportsDeps) {
  const reporting = reporterDeps(deps);
  return async (_event: unknown, context: RemainingTime): Promise<void> => {
    await reportAgain(later(deps.clock.now(), context.getRemainingTimeInMillis()), reporting);
  };
}

/** Resolves with the place of the first record that has a report, when it is not sure that all were made or kept; else null. */
async function reportRecords(deps: EventsDeps, records: readonly DynamoDBRecord[]): Promise<number | null> {
  const asked = records.flatMap((record, place) => {
    const events = readEvents(deps, record);
    if (events.length > 0) deps.telemetry.count("EventsRead", events.length);
    return reportsOf(events).map((report) => ({ place, record, events: report }));
  });
  try {
    const reports = asked.map(({ record, events }) => ({ place: sequenceOf(record), events }));
    await reportNow(reports, reporterDeps(deps));
    return null;
  } catch (error) {
    deps.telemetry.count("EventsFailed", asked.length);
    deps.telemetry.log.error({ component: "events", err: error }, "reports neither made nor kept");
    return asked[0]?.place ?? null;
  }
}

function sequenceOf(record: DynamoDBRecord | undefined): string {
  return record?.dynamodb?.SequenceNumber ?? "";
}

function reporterDeps({ backlog, clock, report, telemetry }: ReportsDeps): ReportStreamDeps {
  const { count, log } = telemetry;
  const about = (events: readonly MailEvent[]) => ({
    component: "events",
    messageId: events[0]?.messageId,
    rows: events.length,
  });
  return {
    backlog,
    clock,
    report,
    onFailed: (events, error) => log.warn({ ...about(events), err: error }, "report not made yet"),
    onKept: (reports) => count("EventsKept", reports),
    onGivenUp(events) {
      count("EventsGivenUp", events.length);
      log.error(about(events), "report given up: it could not be made for too long");
    },
    onUnreadable(key) {
      count("EventsFailed");
      log.error({ component: "events", key }, "kept events not readable");
    },
  };
}

/** An item that cannot be read now cannot be read later: it is told, and must not hold up all others behind it for a day. */
export function readEvents(
  { eventsOf, telemetry }: RecordReader,
  record: DynamoDBRecord,
): readonly MailEvent[] {
  try {
    return eventsOf(record);
  } catch (error) {
    telemetry.count("EventsFailed");
    telemetry.log.error(
      { component: "events", key: record.dynamodb?.Keys, err: error },
      "event not readable",
    );
    return [];
  }
}
