/** What is handed in at a front door, and what the door is told. */

import type { Account } from "../domain/account.ts";
import type { Address } from "../domain/address.ts";
import type { MessageId, RowId } from "../domain/ids.ts";
import type { Message, Origin } from "../domain/message.ts";
import type { RowState } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Way } from "../domain/way.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { SessionView } from "../plugins/views.ts";
import type { SenderSettings } from "../ports/sender-directory.ts";

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
  /** Whom the login may write as; left out or null: anybody. */
  readonly senders?: Account["senders"];
  /** Not to be tried before; null: at once. */
  readonly notBefore: EpochMs | null;
  /** What the operator's directory says of the sender. */
  readonly settings?: SenderSettings;
  /** Of recipients whose mail goes another way than that of their zone; it goes before that of `settings`, which is for all. */
  readonly ways?: ReadonlyMap<Address, Way>;
  /** The id to accept it under, chosen so that a second try is seen as the first one again; left out: a new one. */
  readonly id?: MessageId;
  /** Our own report on a failed delivery, with the id that makes a second try to submit it harmless. */
  readonly dsn?: { readonly id: MessageId; readonly zone: ZoneName };
  /** The SMTP session that it came in, as plugins see it. */
  readonly session?: SessionView;
}

export interface Submitted {
  readonly message: Message;
  readonly messageId: MessageId;
  /** One for each recipient, in order. */
  readonly rows: readonly { id: RowId; recipient: Address; state: RowState }[];
  /** True: a message of the submission's `id` was accepted before, perhaps another one, and nothing was written now. */
  readonly repeated?: true;
  /** A plugin has dropped it: all rows are final, and `text` is what the client is to hear in place of the usual; null: the usual. */
  readonly dropped?: { readonly text: string | null };
}

/**
 * Resolves when body, message and rows are durable, and only then.
 * Throws a `DomainError` for the client's mistake; any other error is ours (451 4.3.0, 503), and nothing was kept.
 */
export type Submit = (submission: Submission) => Promise<Submitted>;
