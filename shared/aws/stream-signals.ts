/**
 * The signals of new mail that its accepter has left to the reader of the table's stream: a Lambda accepts one mail at a time, and
 * each signal would be a call; the stream brings many together, and they go in tens.
 *
 * What SQS could not take is tried again with the record it is of, until the sweep would signal the row itself. What SQS refuses (a
 * queue that is not there) is told and passed over, for it would hold up the signals of all other zones behind it. Senders' looks
 * at the index and the sweep find rows without a signal.
 */

import { SQSServiceException } from "@aws-sdk/client-sqs";

import type { QueueRow } from "../domain/queue-row.ts";
import { later, SECOND } from "../domain/units.ts";
import { rowToSignal } from "./event-stream.ts";
import type { StreamRecord } from "./event-stream.ts";
import type { QueueContext } from "./queue-context.ts";
import { AUDIT_AFTER_MS } from "./queue-sweep.ts";
import { SignalRefusedError, signalsOf } from "./signals.ts";

/**
 * Resolves with the place in the batch from which on it must be given again; null: all are done with. A record that cannot be read
 * is passed over: who reads its events tells of it.
 */
export type SignalStreamed = (records: readonly StreamRecord[]) => Promise<number | null>;

/** What SQS has not answered by then is tried again with the record; a doubled signal finds nothing to lease. */
const SIGNAL_WAIT_MS = 10 * SECOND;

export async function signalStreamed(
  context: QueueContext,
  records: readonly StreamRecord[],
): Promise<number | null> {
  const asked = records.flatMap((record, place) => {
    const row = readRow(record);
    return row ? [{ place, row }] : [];
  });
  if (asked.length === 0) return null;
  const unsent = await sendInTime(context, asked);
  tell(context, unsent);
  return unsent.find((each) => isWorthAnother(context, each))?.place ?? null;
}

function readRow(record: StreamRecord): QueueRow | null {
  try {
    return rowToSignal(record);
  } catch {
    return null;
  }
}

interface Asked {
  readonly place: number;
  readonly row: QueueRow;
}

type Unsent = Asked & { readonly error: unknown };

/** Those that failed, in order. */
async function sendInTime(
  { clock, queues }: QueueContext,
  asked: readonly Asked[],
): Promise<readonly Unsent[]> {
  const done = new AbortController();
  const late = clock.sleep(SIGNAL_WAIT_MS, done.signal).then(() => {
    if (!done.signal.aborted) throw new Error(`SQS has not taken it within ${SIGNAL_WAIT_MS} ms`);
  });
  late.catch(() => undefined); // it is for those that still wait then
  const results = await Promise.allSettled(
    asked.map(async ({ row }) => {
      const delayMs = Math.max(0, row.dueAt - clock.now());
      const sending = Promise.all(signalsOf([row]).map((signal) => queues.send(signal, delayMs)));
      await Promise.race([sending, late]);
    }),
  );
  done.abort();
  return results.flatMap((result, i) =>
    result.status === "rejected" ? [{ ...(asked[i] as Asked), error: result.reason as unknown }] : [],
  );
}

/** Once for each zone, however many there are. */
function tell({ onTrouble }: QueueContext, unsent: readonly Unsent[]): void {
  for (const [zone, group] of Map.groupBy(unsent, ({ row }) => row.zone)) {
    onTrouble({ kind: "signal-not-sent", zone, rows: group.length, error: group[0]?.error });
  }
}

function isWorthAnother({ clock }: QueueContext, { row, error }: Unsent): boolean {
  return !isRefusal(error) && later(row.createdAt, AUDIT_AFTER_MS) > clock.now();
}

/** SQS has understood it and said no, and not because there was too much. */
function isRefusal(error: unknown): boolean {
  if (error instanceof SignalRefusedError) return true;
  if (!(error instanceof SQSServiceException)) return false;
  const isThrottle = error.$retryable?.throttling === true || /Throttl|OverLimit/.test(error.name);
  return error.$fault === "client" && !isThrottle;
}
