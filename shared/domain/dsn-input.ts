/** What a DSN is made of. */

import type { Address } from "./address.ts";
import type { Message } from "./message.ts";
import type { AttemptRecord } from "./queue-row.ts";
import type { EpochMs } from "./units.ts";

export interface DsnInput {
  /** `delayed`: it is still tried. */
  readonly kind: "failed" | "delayed";
  /** The message that failed, which has a return path. */
  readonly message: Message & { readonly returnPath: Address };
  /** At least one; recipients of one message with the same fate share a report. */
  readonly recipients: readonly { readonly recipient: Address; readonly attempt: AttemptRecord }[];
  /** Header block of the message as stored. */
  readonly headerBlock: Buffer;
  /** Our host name. */
  readonly hostname: string;
  /** From of the report. */
  readonly mailerDaemon: { readonly name: string; readonly address: string };
  readonly now: EpochMs;
  /** At most 40 letters and digits that no other report has, for Message-ID and part boundary. */
  readonly unique: string;
  /** When a delayed message will be given up; null: failed, or not known. */
  readonly retryUntil: EpochMs | null;
}
