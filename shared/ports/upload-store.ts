/** Mail that is too large for one request: put to a URL first, sent by its id afterwards, gone after a day in any case. */

import type { MessageId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";

export interface UploadStore {
  /** A URL that takes one PUT of bytes, from anybody who has it, until then. A second PUT takes the place of the first. */
  create(id: MessageId): Promise<{ url: string; expiresAt: EpochMs }>;
  /** Null: nothing was put there, or it is gone. */
  get(id: MessageId): Promise<AsyncIterable<Buffer> | null>;
  /** No error when there is none. */
  delete(id: MessageId): Promise<void>;
}
