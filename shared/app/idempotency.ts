/**
 * `Idempotency-Key`: a request that is sent again, because its answer was lost, sends no second mail.
 *
 * I1  A key belongs to the API key and the user it came with, and to one request: route, parameters and body. It is kept for
 *     `KEEP_MS` from the first request.
 * I2  One request works on a key at a time, under a claim. Another that comes meanwhile waits a little for the answer.
 * I3  Every try has the same message id, so that the queue itself refuses a second mail (`exists`), even when a request died
 *     between accept and answer, or lost its claim and went on.
 * I4  What was asked is written down before the mail can be accepted: of a key whose request died, the mail is known.
 */

import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";

import * as z from "zod";

import type { Address } from "../domain/address.ts";
import type { Clock } from "../domain/clock.ts";
import { DomainError } from "../domain/errors.ts";
import type { MessageId } from "../domain/ids.ts";
import { messageIdOfFact, rowIdOf } from "../domain/ids.ts";
import type { QueueRow, RowState } from "../domain/queue-row.ts";
import { FINAL_STATES, OPEN_STATES } from "../domain/queue-row.ts";
import { DAY, KIB, later, MINUTE, SECOND } from "../domain/units.ts";
import type { IdempotencyClaim, IdempotencyRecord, IdempotencyStore } from "../ports/idempotency-store.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import type { Submitted } from "./submission.ts";

/** What a client was told of its mail: the same at every try. */
export interface Receipt {
  readonly messageId: MessageId;
  /** Null: `<>`. */
  readonly returnPath: Address | null;
  /** In the order of the envelope; `state` is that at accept. */
  readonly recipients: readonly { readonly recipient: Address; readonly state: RowState }[];
}

export interface KeyedRequest {
  /** The Idempotency-Key as it came. */
  readonly key: string;
  /** Null: none was needed, none was given. */
  readonly keyId: string | null;
  readonly user: string | null;
  /** All that makes another request of it, but for a body that streams. */
  readonly facts: readonly (string | null)[];
  /** Null: no more than the facts. */
  readonly source: AsyncIterable<Buffer> | null;
  /** The id that its mail must have; null: any. */
  readonly messageId: MessageId | null;
}

/**
 * - `sent` by this request or an earlier one · `busy` another request works on it: ask again
 * - `other` the key is of another request · `over` its mail was sent, and nothing is kept of it any more
 */
export type KeyedAnswer =
  | { kind: "sent"; receipt: Receipt; replayed: boolean }
  | { kind: "busy" }
  | { kind: "other" }
  | { kind: "over"; messageId: MessageId };

/** `work` sends the mail under the id it is given, reading all of `source`. */
export type SendOnce = (
  request: KeyedRequest,
  work: (id: MessageId, source: AsyncIterable<Buffer>) => Promise<Submitted>,
) => Promise<KeyedAnswer>;

export interface IdempotencyDeps {
  readonly store: IdempotencyStore;
  readonly queue: Pick<QueueStore, "get">;
  readonly clock: Clock;
  /** An answer that could not be written down: the mail is accepted, and the next try finds it in the queue. */
  readonly onUnwritten: (messageId: MessageId, error: unknown) => void;
}

/** How long a key is kept. */
export const KEEP_MS = DAY;
/** A request that has not ended by then has died; if it has not, I3 holds. API Gateway gives up after half of it. */
export const CLAIM_MS = MINUTE;
/** How long a second request waits for the answer of the first. */
export const WAIT_MS = 5 * SECOND;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = SECOND / 2;
/** A store takes records of some 100 KiB; the answer of a mail with more recipients is read out of the queue. */
const MAX_ANSWER_BYTES = 200 * KIB;
const TOO_LONG = "too long to keep";

const KeptReceipt = z.object({
  from: z.string().nullable(),
  to: z.array(z.tuple([z.string(), z.enum([...OPEN_STATES, ...FINAL_STATES])])),
});

export function sendOnce(deps: IdempotencyDeps): SendOnce {
  const { store, clock } = deps;
  return async (request, work) => {
    const key = recordKeyOf(request);
    const hash = createHash("sha256").update(JSON.stringify(request.facts));
    const { source } = request;
    const now = clock.now();
    const claimed = await store.claim(key, {
      messageId: request.messageId ?? messageIdOfFact(now, createHash("sha256").update(key).digest()),
      fingerprint: source ? null : hash.copy().digest("hex"),
      until: later(now, CLAIM_MS),
      keepUntil: later(now, KEEP_MS),
    });
    switch (claimed.kind) {
      case "claimed":
        return underClaim(deps, claimed.claim, { hash, source }, work);
      case "answered":
        return replay(deps, claimed.record, await fingerprintOf(hash, source));
      case "busy":
        return waitForAnswer(deps, key, await fingerprintOf(hash, source));
      case "other":
        return { kind: "other" };
    }
  };
}

/** The mail of one request has one key in the store, whatever characters and length the client gave its own. */
function recordKeyOf({ key, keyId, user }: KeyedRequest): string {
  return createHash("sha256")
    .update(JSON.stringify([keyId, user, key]))
    .digest("base64url");
}

interface Asked {
  /** Of the facts; the body is added to it. */
  readonly hash: Hash;
  readonly source: AsyncIterable<Buffer> | null;
}

async function underClaim(
  deps: IdempotencyDeps,
  claim: IdempotencyClaim,
  asked: Asked,
  work: Parameters<SendOnce>[1],
): Promise<KeyedAnswer> {
  try {
    const before = claim.first ? null : await receiptInQueue(deps, claim.messageId);
    if (before) return await finishEarlier(deps, claim, before, asked);
    const submitted = await work(claim.messageId, sealing(deps, claim, asked));
    const earlier = submitted.repeated ? await receiptInQueue(deps, claim.messageId) : null;
    return await finish(deps, claim, earlier ?? receiptOf(submitted), earlier !== null);
  } catch (error) {
    // What the client got wrong was never accepted, so the key may be used again, if nobody worked on it before.
    const forget = claim.first && error instanceof DomainError;
    await deps.store.release(claim, forget ? "forget" : "retry").catch(() => undefined); // the claim lapses by itself
    if (error instanceof NotOurs) return { kind: error.why === "other" ? "other" : "busy" };
    throw error;
  }
}

/** The request before this one died after its mail was accepted. */
async function finishEarlier(
  deps: IdempotencyDeps,
  claim: IdempotencyClaim,
  receipt: Receipt,
  { hash, source }: Asked,
): Promise<KeyedAnswer> {
  if (claim.fingerprint !== (await fingerprintOf(hash, source))) throw new NotOurs("other");
  return finish(deps, claim, receipt, true);
}

async function finish(
  { store, onUnwritten }: IdempotencyDeps,
  claim: IdempotencyClaim,
  receipt: Receipt,
  replayed: boolean,
): Promise<KeyedAnswer> {
  try {
    await store.finish(claim, printReceipt(receipt));
  } catch (error) {
    onUnwritten(claim.messageId, error);
  }
  return { kind: "sent", receipt, replayed };
}

/** Raised inside the body's stream to stop the mail that is being stored. */
class NotOurs extends Error {
  readonly why: "other" | "lost";

  constructor(why: "other" | "lost") {
    super(`the idempotency key is not this request's: ${why}`);
    this.name = "NotOurs";
    this.why = why;
  }
}

/** The same chunks; the stream ends only when what was asked is written down, and breaks when it is not what was asked before. */
async function* sealing(
  { store }: IdempotencyDeps,
  claim: IdempotencyClaim,
  { hash, source }: Asked,
): AsyncGenerator<Buffer> {
  if (source === null) return;
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
  const sealed = await store.seal(claim, hash.digest("hex"));
  if (sealed !== "sealed") throw new NotOurs(sealed);
}

async function fingerprintOf(hash: Hash, source: AsyncIterable<Buffer> | null): Promise<string> {
  for await (const chunk of source ?? []) hash.update(chunk);
  return hash.digest("hex");
}

async function waitForAnswer(deps: IdempotencyDeps, key: string, fingerprint: string): Promise<KeyedAnswer> {
  const { store, clock } = deps;
  const end = clock.now() + WAIT_MS;
  for (let pauseMs = FIRST_PAUSE_MS; clock.now() < end; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    await clock.sleep(Math.min(pauseMs, end - clock.now()));
    const record = await store.get(key);
    if (record === null) break; // the first request was refused; this one's body is read already, but it may come again
    if (record.fingerprint !== null && record.fingerprint !== fingerprint) return { kind: "other" };
    if (record.answer !== null) return replay(deps, record, fingerprint);
  }
  return { kind: "busy" };
}

async function replay(
  deps: IdempotencyDeps,
  record: IdempotencyRecord,
  fingerprint: string,
): Promise<KeyedAnswer> {
  if (record.fingerprint !== fingerprint) return { kind: "other" };
  const receipt = readReceipt(record) ?? (await receiptInQueue(deps, record.messageId));
  return receipt ? { kind: "sent", receipt, replayed: true } : { kind: "over", messageId: record.messageId };
}

export function receiptOf({ message, messageId, rows }: Submitted): Receipt {
  const recipients = rows.map(({ recipient, state }) => ({ recipient, state }));
  return { messageId, returnPath: message.returnPath, recipients };
}

/** The ids of rows follow from their order. */
export function rowsOf({ messageId, recipients }: Receipt): Pick<QueueRow, "id" | "recipient" | "state">[] {
  return recipients.map((one, i) => ({ id: rowIdOf(messageId, i + 1), ...one }));
}

/** With the states of now: what they were at accept is not kept there. Null: no such message, or not any more. */
async function receiptInQueue({ queue }: IdempotencyDeps, messageId: MessageId): Promise<Receipt | null> {
  const stored = await queue.get(messageId);
  if (!stored) return null;
  const recipients = stored.rows.map(({ recipient, state }) => ({ recipient, state }));
  return { messageId, returnPath: stored.message.returnPath, recipients };
}

function printReceipt({ returnPath, recipients }: Receipt): string {
  const kept: z.output<typeof KeptReceipt> = {
    from: returnPath,
    to: recipients.map(({ recipient, state }) => [recipient, state]),
  };
  const text = JSON.stringify(kept);
  return Buffer.byteLength(text) > MAX_ANSWER_BYTES ? TOO_LONG : text;
}

function readReceipt({ messageId, answer }: IdempotencyRecord): Receipt | null {
  if (answer === null || answer === TOO_LONG) return null;
  const { from, to } = KeptReceipt.parse(JSON.parse(answer));
  const recipients = to.map(([recipient, state]) => ({ recipient: recipient as Address, state }));
  return { messageId, returnPath: from as Address | null, recipients };
}
