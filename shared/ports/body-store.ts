/** Bytes of messages, by message id. Written once, read many times, never changed. */

import type { MessageId } from "../domain/ids.ts";

/** Bytes `from` (first) up to but not including `to`. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

export interface BodyStore {
  /**
   * Store all of `source` under `id` and resolve with the count of bytes.
   * Durable no later than the `QueueStore.accept` of the message of that id (so that a small body may share its commit).
   * When `source` throws, or the store fails, it rejects with that error and nothing is left behind. Memory is flat.
   */
  put(id: MessageId, source: AsyncIterable<Buffer>): Promise<number>;
  /** The bytes in order, in one chunk when they are few. Null: no such body. A range past the end is cut. */
  get(id: MessageId, range?: ByteRange): Promise<AsyncIterable<Buffer> | null>;
  /** No error when there is none. */
  delete(id: MessageId): Promise<void>;
}
