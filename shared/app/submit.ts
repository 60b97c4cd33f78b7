/** Accept a message durably, or refuse it: the one way in, behind both front doors and for our own DSN. */

import type { Address } from "../domain/address.ts";
import type { MessageId, RowId } from "../domain/ids.ts";
import type { Message, Origin } from "../domain/message.ts";
import type { RowState } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";

export interface Submission {
  /** MAIL FROM; null for `<>`. */
  readonly returnPath: Address | null;
  /** In the order of the envelope; doubles are taken once. */
  readonly recipients: readonly Address[];
  readonly origin: Origin;
  /** The message as the client sent it, dot-unstuffed. */
  readonly source: AsyncIterable<Buffer>;
  /** A CR or LF that stands alone: `refuse` the message (SMTP) or make it CRLF (HTTP). */
  readonly bareNewlines: "refuse" | "normalise";
  readonly maxBytes: number;
  /** True: the client declared SMTPUTF8 (RFC 6531 §3.4). */
  readonly smtputf8: boolean;
  /** Not to be tried before; null: at once. */
  readonly notBefore: EpochMs | null;
}

export interface Submitted {
  readonly message: Message;
  readonly messageId: MessageId;
  /** One for each recipient, in order. */
  readonly rows: readonly { id: RowId; recipient: Address; state: RowState }[];
}

/**
 * Resolves when body, message and rows are durable, and only then.
 * Throws a `DomainError` for the client's mistake; any other error is ours (451 4.3.0, 503), and nothing was kept.
 */
export type Submit = (submission: Submission) => Promise<Submitted>;
