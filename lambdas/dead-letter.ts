/**
 * Signals that came round until SQS gave up on them. Nothing is lost with one, for the row is the truth and the sweep feeds what
 * nobody takes; but it tells of rows that no sender gets done with, so their ids and states go into the log, and it is counted.
 */

import { BatchProcessor, EventType, processPartialResponse } from "@aws-lambda-powertools/batch";
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from "aws-lambda";

import type { MessageId } from "#shared/domain/ids.ts";
import { isFinal } from "#shared/domain/queue-row.ts";
import type { QueueStore } from "#shared/ports/queue-store.ts";

import type { Telemetry } from "./telemetry.ts";

export interface DeadLetterDeps {
  readonly queue: Pick<QueueStore, "get">;
  /** Null: not a signal of ours. */
  readonly readSignal: (body: string) => { messageId: MessageId; seqs: readonly number[] } | null;
  readonly telemetry: Telemetry;
}

/** Of a body that is no signal. */
const SHOWN_CHARS = 200;

/** A signal whose rows cannot be read now stays in the queue of dead letters and comes again. */
export function deadLetterHandler(deps: DeadLetterDeps) {
  const processor = new BatchProcessor(EventType.SQS);
  return (event: SQSEvent, context: Context): Promise<SQSBatchResponse> =>
    processPartialResponse(event, (record: SQSRecord) => tell(deps, record), processor, {
      context,
      processInParallel: false,
      throwOnFullBatchFailure: false,
    });
}

async function tell({ queue, readSignal, telemetry }: DeadLetterDeps, record: SQSRecord): Promise<void> {
  const { log, count } = telemetry;
  const where = { component: "dead-letter", queue: record.eventSourceARN, sqsId: record.messageId };
  const signal = readSignal(record.body);
  if (!signal) {
    log.error({ ...where, body: record.body.slice(0, SHOWN_CHARS) }, "dead letter is no signal");
    count("DeadLetters");
    return;
  }
  const stored = await queue.get(signal.messageId);
  const rows = (stored?.rows ?? []).filter(({ seq, state }) => signal.seqs.includes(seq) && !isFinal(state));
  const states = rows.map(({ id, state, attempts }) => ({ rowId: id, state, attempts }));
  const fields = { ...where, messageId: signal.messageId, rows: states };
  if (rows.length > 0) log.error(fields, "rows that no sender gets done with");
  else log.info(fields, "dead letter of rows that are done");
  count("DeadLetters");
}
