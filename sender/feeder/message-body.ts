/**
 * A message on its way from the parser to `submit`: a queue of chunks with one writer and one reader.
 *
 * 1. At most `MAX_HELD_BYTES` and one chunk wait: when it is full the parser stops and with it the socket, so that a slow store
 *    slows the client and takes no memory.
 * 2. More than `maxBytes` fails the reader; the rest is counted and dropped, for the client must be read to the end before he
 *    can be answered.
 */

import { DomainError } from "#shared/domain/errors.ts";
import { GIB, KIB } from "#shared/domain/units.ts";

const MAX_HELD_BYTES = 256 * KIB;
/** A client that sends this much past the limit is not going to stop. */
const MAX_DROPPED_BYTES = GIB;

interface Waiting {
  readonly resolve: (result: IteratorResult<Buffer>) => void;
  readonly reject: (error: Error) => void;
}

const DONE: IteratorResult<Buffer> = { done: true, value: undefined };

export class MessageBody implements AsyncIterableIterator<Buffer> {
  /** Bytes of the message so far, dropped ones too. */
  bytes = 0;
  /** What the reader was failed with; null: nothing. */
  failure: Error | null = null;
  /** True: all of it has come from the client. */
  ended = false;

  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  /** True: nobody will read on. */
  #dropping = false;
  #waiting: Waiting | null = null;
  #whenRoom: (() => void) | null = null;
  #whenEnded: (() => void) | null = null;
  #abandoned = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True: the writer is to wait for room. */
  get full(): boolean {
    return this.#heldBytes >= MAX_HELD_BYTES;
  }

  /** True: the client will not stop, and the connection is to be closed. */
  get endless(): boolean {
    return this.bytes > this.#maxBytes + MAX_DROPPED_BYTES;
  }

  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.#dropping) return;
    if (this.bytes > this.#maxBytes) {
      this.fail(
        new DomainError("message-too-large", `Message is larger than the limit of ${this.#maxBytes} bytes`),
      );
    } else if (this.#waiting) {
      this.#takeWaiting()?.resolve({ done: false, value: chunk });
    } else {
      this.#chunks.push(chunk);
      this.#heldBytes += chunk.length;
    }
  }

  /** Call `then` once the body is not full. One caller at a time. */
  whenRoom(then: () => void): void {
    if (this.full) this.#whenRoom = then;
    else then();
  }

  end(): void {
    this.ended = true;
    this.#takeWaiting()?.resolve(DONE);
    this.#whenEnded?.();
  }

  /** Resolves when all of it has come, or never will. */
  untilEnded(): Promise<void> {
    if (this.ended || this.#abandoned) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEnded = resolve;
    });
  }

  /** The reader gets `error` in place of the rest, unless all of the message has come. */
  fail(error: Error): void {
    if (this.ended || this.failure) return;
    this.failure = error;
    this.drop();
    this.#takeWaiting()?.reject(error);
  }

  /** No more will come. The reader gets `error`, unless all of the message has come. */
  abandon(error: Error): void {
    this.fail(error);
    this.#whenEnded?.();
    this.#abandoned = true;
  }

  /** Keep nothing of what is here and what comes. */
  drop(): void {
    this.#dropping = true;
    this.#chunks = [];
    this.#release(this.#heldBytes);
  }

  next(): Promise<IteratorResult<Buffer>> {
    if (this.failure) return Promise.reject(this.failure);
    const chunk = this.#chunks.shift();
    if (chunk) {
      this.#release(chunk.length);
      return Promise.resolve({ done: false, value: chunk });
    }
    if (this.ended || this.#dropping) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<Buffer>> {
    this.drop();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #takeWaiting(): Waiting | null {
    const waiting = this.#waiting;
    this.#waiting = null;
    return waiting;
  }

  #release(bytes: number): void {
    this.#heldBytes -= bytes;
    if (this.full) return;
    const then = this.#whenRoom;
    this.#whenRoom = null;
    then?.();
  }
}
