/** What the use cases tell whoever watches: wire.ts turns it into metrics and log lines. Nothing depends on what it does. */

import type { MessageId, RowId } from "../domain/ids.ts";
import type { Message, Origin } from "../domain/message.ts";
import type { AttemptRecord, QueueRow, Settled } from "../domain/queue-row.ts";

/** What plugins have put on their `messageInfo`, for the log. */
export type MailNotes = Readonly<Record<string, string | number>>;

export interface Observer {
  /** Stored and durable; `durationMs` from the first byte of the body. */
  accepted(message: Message, rows: readonly QueueRow[], durationMs: number, notes?: MailNotes): void;
  /** Not stored: the client's mistake or our fault. `origin`: where it came from; `mail`: what plugins know it by. */
  notAccepted(error: unknown, origin?: Origin, mail?: { id: MessageId; notes: MailNotes }): void;
  /** An attempt is written; `settled` is where the row went. `message`: left out where nothing was attempted. */
  settled(row: QueueRow, attempt: AttemptRecord, settled: Settled, message?: Message): void;
  /** A settle came too late: another worker has the row, and the recipient may get the mail twice. */
  settledLate(row: QueueRow, attempt: AttemptRecord): void;
  /** `message` reports to the sender on recipients of the message `of`. */
  bounceSent(message: Message, of?: MessageId): void;
  /** An operator took rows out of the queue. Left out: it is not watched. */
  deleted?(rows: readonly RowId[]): void;
}

/** One that tells all of `observers`, in order. */
export function observers(...all: readonly Observer[]): Observer {
  return {
    accepted: (...told) => all.forEach((one) => one.accepted(...told)),
    notAccepted: (...told) => all.forEach((one) => one.notAccepted(...told)),
    settled: (...told) => all.forEach((one) => one.settled(...told)),
    settledLate: (...told) => all.forEach((one) => one.settledLate(...told)),
    bounceSent: (...told) => all.forEach((one) => one.bounceSent(...told)),
    deleted: (...told) => all.forEach((one) => one.deleted?.(...told)),
  };
}
