/**
 * From the table's stream of changes: each settled row tells what follows from it, which is a DSN. Receivers by HTTP, for whom one
 * must wait, are told by a Lambda of their own (notify.ts).
 *
 * Records come in order within a message, and again after a failure: from the first record that is named as failed to the end of
 * the batch. So they are worked on in order, in runs of one message, and the first run that fails ends the batch: none of what
 * was done is done again, but for a run that a crash or the end of a batch cut in two.
 */

import type { DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent } from "aws-lambda";

import type { MailEvent } from "#shared/domain/event.ts";

import type { Telemetry } from "./telemetry.ts";

/** What follows from events. It is given the same ones again after a failure, and does nothing twice. */
export interface EventConsumer {
  readonly name: string;
  readonly consume: (events: readonly MailEvent[]) => Promise<void>;
}

export interface RecordReader {
  /** What a change of an item tells; empty: nothing that happened to mail. Throws for an item that it cannot read. */
  readonly eventsOf: (record: DynamoDBRecord) => readonly MailEvent[];
  readonly telemetry: Telemetry;
}

export interface EventsDeps extends RecordReader {
  readonly consumers: readonly EventConsumer[];
}

/** Events of one message that stand together in the stream. */
interface Run {
  /** Where AWS starts again when it fails. */
  readonly sequenceNumber: string;
  readonly events: MailEvent[];
}

export function eventsHandler(deps: EventsDeps) {
  const { consumers, telemetry } = deps;
  return async ({ Records }: DynamoDBStreamEvent): Promise<DynamoDBBatchResponse> => {
    for (const { sequenceNumber, events } of runsOf(deps, Records)) {
      for (const { name, consume } of consumers) {
        try {
          await consume(events);
        } catch (error) {
          const messageId = events[0]?.messageId;
          telemetry.count("EventsFailed", events.length);
          telemetry.log.error(
            { component: "events", consumer: name, messageId, err: error },
            "events failed",
          );
          return { batchItemFailures: [{ itemIdentifier: sequenceNumber }] };
        }
      }
      telemetry.count("EventsRead", events.length);
    }
    return { batchItemFailures: [] };
  };
}

function runsOf(deps: EventsDeps, records: readonly DynamoDBRecord[]): Run[] {
  const runs: Run[] = [];
  for (const record of records) {
    for (const event of readEvents(deps, record)) {
      const last = runs.at(-1);
      if (last?.events[0]?.messageId === event.messageId) last.events.push(event);
      else runs.push({ sequenceNumber: record.dynamodb?.SequenceNumber ?? "", events: [event] });
    }
  }
  return runs;
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
