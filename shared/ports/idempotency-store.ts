/**
 * One record for each key that a client gives to a request it may repeat: who works on it, under which message id, and what was
 * answered. A record is forgotten when its time is over; a key is free again then.
 */

import type { MessageId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";

/** What is known of a key. */
export interface IdempotencyRecord {
  /** The id of the mail under this key, at every try. */
  readonly messageId: MessageId;
  /** Hash of what was asked; null: not known yet, because the first request is still being read or ended before it was. */
  readonly fingerprint: string | null;
  /** Until when a request has the right to work on it; 0: none does. */
  readonly claimedUntil: EpochMs;
  /** What was answered, as its writer wrote it; null: nothing yet. */
  readonly answer: string | null;
}

/** The right of one request to work under a key. */
export interface IdempotencyClaim {
  readonly key: string;
  /** Fences out who held it before. */
  readonly token: number;
  readonly messageId: MessageId;
  readonly fingerprint: string | null;
  /** True: nobody had the key before. */
  readonly first: boolean;
}

export interface ClaimRequest {
  /** For the record if there is none yet. */
  readonly messageId: MessageId;
  /** Null: it will be known later (`seal`). */
  readonly fingerprint: string | null;
  readonly until: EpochMs;
  /** When the record may be forgotten, if there is none yet. */
  readonly keepUntil: EpochMs;
}

/**
 * - `claimed` the caller may work, and nobody else does until then
 * - `busy` another request works on it now · `answered` it was worked on to the end
 * - `other` nobody works on it, and it is of a request with another fingerprint
 */
export type Claimed =
  | { kind: "claimed"; claim: IdempotencyClaim }
  | { kind: "busy" | "answered" | "other"; record: IdempotencyRecord };

export interface IdempotencyStore {
  /** One caller at a time gets the claim; that of one who let its time pass goes to the next. */
  claim(key: string, request: ClaimRequest): Promise<Claimed>;
  /**
   * Write down what was asked, before anything comes of it.
   * `other`: the record has another fingerprint. `lost`: the claim is another's by now. Neither writes anything.
   */
  seal(claim: IdempotencyClaim, fingerprint: string): Promise<"sealed" | "other" | "lost">;
  /** Write down the answer and end the claim. False: the claim is another's by now, and nothing was written. */
  finish(claim: IdempotencyClaim, answer: string): Promise<boolean>;
  /** End the claim without an answer: `retry` keeps the record for the next try, `forget` frees the key. False as in `finish`. */
  release(claim: IdempotencyClaim, how: "retry" | "forget"): Promise<boolean>;
  /** Null: the key is free. */
  get(key: string): Promise<IdempotencyRecord | null>;
}
