/** What the use cases tell whoever watches: wire.ts turns it into metrics and log lines. Nothing depends on what it does. */

import type { Message } from "../domain/message.ts";
import type { AttemptRecord, QueueRow, Settled } from "../domain/queue-row.ts";

export interface Observer {
  /** Stored and durable; `durationMs` from the first byte of the body. */
  accepted(message: Message, rows: readonly QueueRow[], durationMs: number): void;
  /** Not stored: the client's mistake or our fault. */
  notAccepted(error: unknown): void;
  /** An attempt is written; `settled` is where the row went. */
  settled(row: QueueRow, attempt: AttemptRecord, settled: Settled): void;
  /** A settle came too late: another worker has the row, and the recipient may get the mail twice. */
  settledLate(row: QueueRow, attempt: AttemptRecord): void;
  bounceSent(message: Message): void;
}
