/**
 * One SMTP session as a client: bytes out, replies in, and a socket that is given up at the first doubt. It knows the
 * discipline of the protocol (which reply answers what, how long to wait, what to do when the peer breaks the rules) and not
 * the commands: connect.ts makes a session ready, transaction.ts sends mail on it.
 *
 * Invariants:
 * S1 A reply is taken only when a command is waiting for one. Any other closes the session: what would follow could be
 *    mistaken for the answer to a later command, and mail be lost.
 * S2 The first failure is kept, closes the socket, and answers every wait, now and later. Nothing here rejects.
 * S3 No wait is without a timer.
 */

import type { Socket } from "node:net";

import type { Logger } from "pino";

import type { Route } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";

import type { Capabilities } from "./capabilities.ts";
import { NO_CAPABILITIES } from "./capabilities.ts";
import type { Failure, Place } from "./outcome-of-error.ts";
import { ReplyParser } from "./reply-parser.ts";
import type { RawReply } from "./reply-parser.ts";
import type { Phase, Timeouts, Timers } from "./timeouts.ts";

/** The TLS of a session, as the log and the event show it. */
export interface Secured {
  /** Such as `TLSv1.3`. */
  readonly protocol: string;
  readonly cipher: string;
  /** True: the certificate is valid and in the name of the host. */
  readonly verified: boolean;
  /** Why not; null: verified. */
  readonly problem: string | null;
  readonly resumed: boolean;
}

/** Replies to a group of commands: as many as were asked for, or fewer and what ended the session. */
export interface Exchange {
  readonly replies: readonly RawReply[];
  /** Null also after 421, which is then the last of the replies. */
  readonly failure: Failure | null;
}

export interface SessionDeps {
  readonly timeouts: Timeouts;
  readonly timers: Timers;
  readonly log: Logger | null;
}

interface Waiting {
  /** What each outstanding reply answers. */
  readonly phases: readonly Phase[];
  readonly replies: RawReply[];
  readonly done: (exchange: Exchange) => void;
}

/** The peer is closing (RFC 5321 §3.8). */
export const CLOSING = 421;

export class SmtpSession {
  readonly route: Route;
  capabilities: Capabilities = NO_CAPABILITIES;
  /** Null: in clear. */
  secured: Secured | null = null;
  /** The name that we go by here; null: nobody has said. */
  ehloName: string | null = null;
  /** True: LMTP, where the final dot is answered once for each recipient that was taken (RFC 2033 §4.2). */
  repliesToEach = false;
  /** Transactions begun. */
  transactions = 0;
  /** True: the peer may hold a half-done transaction, and RSET has to come first. */
  needsReset = false;
  /** Told when the peer has answered some of the commands that came together, and then no more. */
  onHalfAnswered: () => void = () => undefined;

  readonly #deps: SessionDeps;
  readonly #logged: Logger | null;
  #socket: Socket;
  #parser = new ReplyParser();
  #place: Place = "idle";
  #waiting: Waiting | null = null;
  /** Who waits for room in the socket's buffer, and who waits beside it for a failure. */
  #onRoom: (() => void) | null = null;
  #onFailure: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failure: Failure | null = null;
  #doubtful = false;
  #closed = false;
  #closeListeners: (() => void)[] = [];
  #removeSocketListeners: () => void = () => undefined;

  constructor(socket: Socket, route: Route, deps: SessionDeps) {
    this.route = route;
    this.#deps = deps;
    this.#logged = deps.log?.isLevelEnabled("debug") === true ? deps.log : null;
    this.#socket = socket;
    this.#listen();
  }

  /** False: send nothing more on it. A peer that hung up while idle is noticed here. */
  get usable(): boolean {
    return this.#failure === null && !this.#doubtful;
  }

  /** What ended the session; null: nothing has. */
  get failure(): Failure | null {
    return this.#failure;
  }

  /** Call `listener` once when the socket is gone; at once when it is already. */
  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closeListeners.push(listener);
  }

  /** Resolves when the socket is gone: until then the peer counts the connection. After `quit` or a failure that is not long. */
  closed(): Promise<void> {
    return new Promise((resolve) => this.onClose(resolve));
  }

  /** Say QUIT, and close when the peer has; it is waited for in the background, and not for long. */
  quit(): void {
    if (this.#failure !== null || this.#place === "quit") return;
    if (this.#waiting !== null) {
      this.destroy();
      return;
    }
    this.#doubtful = true;
    this.#place = "quit";
    this.#startTimer(this.#deps.timeouts.quit, () => this.destroy());
    this.#timer?.unref(); // a courtesy must not keep the process from ending
    this.#socket.end("QUIT\r\n");
  }

  destroy(): void {
    this.fail({ kind: "internal", place: this.#place, detail: "the session was destroyed" });
  }

  /** The session is not to be used after the transaction that is under way. */
  doubt(): void {
    this.#doubtful = true;
  }

  /**
   * Send commands and wait for the reply to each. Fewer come back when the session failed, or when the peer said 421.
   * Each reply may take the time of its own phase.
   */
  exchange(
    commands: string | Buffer,
    phases: readonly Phase[],
    encoding: "latin1" | "utf8" = "latin1",
  ): Promise<Exchange> {
    if (this.#failure !== null) return Promise.resolve({ replies: [], failure: this.#failure });
    return new Promise((done) => {
      this.#waiting = { phases, replies: [], done };
      this.#await(phases[0] as Phase);
      if (commands.length > 0) this.#socket.write(commands, encoding);
    });
  }

  /** Send one command (or nothing, for the greeting) and wait for its reply. */
  async ask(command: string | Buffer, phase: Phase): Promise<RawReply | Failure> {
    const { replies, failure } = await this.exchange(command, [phase]);
    return replies[0] ?? failure ?? { kind: "internal", place: phase, detail: "no reply and no failure" };
  }

  /** Send a piece of content. Null: there is room for more; otherwise wait for it, and look at `failure`. */
  write(piece: Buffer): Promise<void> | null {
    this.#place = "block";
    if (this.#failure !== null || this.#socket.write(piece)) return null;
    this.#startTimer(this.#deps.timeouts.block, () => this.fail({ kind: "timeout", place: "block" }));
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }

  /** Wait for our own content no longer than for the peer. Null: the session failed first. Rejects as `content` does. */
  async awaitContent<T>(content: Promise<T>): Promise<T | null> {
    this.#place = "block";
    const failed = new Promise<null>((resolve) => {
      this.#onFailure = () => resolve(null);
    });
    this.#startTimer(this.#deps.timeouts.block, () => {
      this.fail({ kind: "internal", place: "block", detail: "the stored content took too long to read" });
    });
    try {
      return await Promise.race([content, failed]);
    } finally {
      this.#onFailure = null;
      this.#stopTimer();
    }
  }

  /** End the session over `failure`, unless it has ended. Every wait is answered with it. */
  fail(failure: Failure): void {
    if (this.#failure !== null) return;
    this.#failure = failure;
    this.#stopTimer();
    this.#parser.stop();
    this.#socket.destroy();
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.done({ replies: waiting.replies, failure });
    this.#onRoom?.();
    this.#onFailure?.();
  }

  /** Fail when `signal` aborts, until the answer is called. */
  failOn(signal: AbortSignal): () => void {
    const onAbort = (): void =>
      this.fail({ kind: "given-up", place: this.#place, reason: signal.reason as unknown });
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    return () => signal.removeEventListener("abort", onAbort);
  }

  /**
   * Go on over `secure(socket)`. Bytes that came before the handshake are dropped: in clear, anybody could have sent them in
   * the peer's name (RFC 3207 §4.2).
   */
  async upgrade(secure: (socket: Socket) => Promise<Socket | Failure>): Promise<Failure | null> {
    this.#removeSocketListeners();
    this.#parser.stop();
    const plain = this.#socket;
    const secured = await secure(plain);
    if (this.#failure === null && "kind" in secured) this.fail(secured);
    if (this.#failure !== null || "kind" in secured) {
      if (plain.closed) this.#onClosed();
      else plain.once("close", () => this.#onClosed());
      return this.#failure;
    }
    this.#socket = secured;
    this.#parser = new ReplyParser();
    this.#listen();
    return null;
  }

  #onData(chunk: Buffer): void {
    const problem = this.#parser.feed(chunk, (reply) => this.#onReply(reply));
    if (problem !== null) this.fail({ kind: "nonsense", place: this.#place, detail: problem });
  }

  #onReply(reply: RawReply): void {
    const waiting = this.#waiting;
    if (waiting === null) {
      this.#onUnasked(reply);
      return;
    }
    const phase = waiting.phases[waiting.replies.length] as Phase;
    waiting.replies.push(reply);
    this.#logged?.debug({ phase, code: reply.code }, "smtp reply");
    if (reply.mixed) this.#doubtful = true;
    if (reply.code === CLOSING) {
      this.#doubtful = true;
      this.#parser.stop();
    } else if (phase === "starttls" && reply.code === 220) {
      this.#parser.stop(); // what follows in clear must not be read, see upgrade
    } else if (waiting.replies.length < waiting.phases.length) {
      this.#await(waiting.phases[waiting.replies.length] as Phase);
      return;
    }
    this.#waiting = null;
    this.#place = "idle";
    this.#stopTimer();
    waiting.done({ replies: waiting.replies, failure: null });
  }

  #onUnasked(reply: RawReply): void {
    if (this.#place === "quit") return; // it closes now, and counts the connection until it has
    this.fail({ kind: "unasked", place: this.#place, reply: smtpReply(reply.code, reply.lines) });
  }

  #await(phase: Phase): void {
    this.#place = phase;
    this.#startTimer(this.#deps.timeouts[phase], () => this.fail({ kind: "timeout", place: phase }));
  }

  #startTimer(ms: number, onTime: () => void): void {
    this.#stopTimer();
    this.#timer = this.#deps.timers.set(ms, onTime);
  }

  #stopTimer(): void {
    if (this.#timer !== null) this.#deps.timers.clear(this.#timer);
    this.#timer = null;
  }

  #listen(): void {
    const socket = this.#socket;
    const onData = (chunk: Buffer): void => this.#onData(chunk);
    const onDrain = (): void => {
      if (this.#onRoom === null) return;
      this.#stopTimer();
      this.#onRoom();
      this.#onRoom = null;
    };
    const onEnd = (): void => this.fail({ kind: "closed", place: this.#place, detail: null });
    const onError = (error: NodeJS.ErrnoException): void =>
      this.fail({ kind: "closed", place: this.#place, detail: error.code ?? error.message });
    const onClose = (): void => this.#onClosed();
    socket.on("data", onData).on("drain", onDrain).on("end", onEnd).on("error", onError).on("close", onClose);
    this.#removeSocketListeners = () => {
      socket.off("data", onData).off("drain", onDrain).off("end", onEnd).off("close", onClose);
      // "error" stays: under TLS the raw socket can still fail, and an error that nobody hears ends the process
      socket.off("error", onError).on("error", () => undefined);
    };
    if (socket.destroyed) this.#onClosed();
  }

  #onClosed(): void {
    this.fail({ kind: "closed", place: this.#place, detail: null });
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#closeListeners.splice(0)) listener();
  }
}
