/**
 * One mail transaction on a session that is ready: MAIL to the reply after the final dot (RFC 5321 §3.3). Every recipient
 * gets an outcome of its own; nothing is thrown. Retrying, limits and other hosts are the caller's.
 *
 * T1 A recipient is `delivered` only by a 2yz reply to the final dot after a 2yz to its RCPT; with LMTP, by its own reply.
 * T2 Once the dot is sent and no reply read, open recipients are `ambiguous`; before it, nothing can have been delivered.
 * T3 Our own faults defer, and leave the content without its dot.
 *
 * 8-bit content goes also to a peer that does not offer 8BITMIME, without BODY=8BITMIME. RFC 6152 §3 would have it recoded
 * or bounced; recoding breaks DKIM signatures, and peers that do not offer it and cannot take it have died out.
 */

import type { Address } from "#shared/domain/address.ts";
import { needsSmtputf8 } from "#shared/domain/address.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { bounced, deferred, outcomeOfReply } from "#shared/domain/outcome.ts";
import type { SmtpReply } from "#shared/domain/smtp-reply.ts";
import { printReply, smtpReply } from "#shared/domain/smtp-reply.ts";

import { writeContent } from "./content.ts";
import type { Content } from "./content.ts";
import type { Failure } from "./outcome-of-error.ts";
import { outcomeOfFailure, verdictOf } from "./outcome-of-error.ts";
import type { RawReply } from "./reply-parser.ts";
import type { SmtpSession } from "./smtp-client.ts";
import { CLOSING } from "./smtp-client.ts";
import type { Phase } from "./timeouts.ts";

export interface Envelope {
  readonly returnPath: Address | null;
  /** At least one. */
  readonly recipients: readonly Address[];
  /** Bytes of `chunks` in all. */
  readonly bytes: number;
  readonly eightBit: boolean;
  /** True: headers or return path are not ASCII, whatever the recipients are. */
  readonly smtputf8: boolean;
}

export interface Transacted {
  /** One per recipient, in order. */
  readonly outcomes: readonly Outcome[];
  /**
   * Recipients, by index, over the number that the peer takes in one transaction (RFC 5321 §4.5.3.1.10): deferred above, and
   * to be sent at once in another one.
   */
  readonly overLimit: readonly number[];
  /** False: the session is closed, or closing by itself. */
  readonly sessionUsable: boolean;
  /**
   * True: a reused session turned out to be dead before the peer had said anything to this mail. No attempt was made: try
   * on a fresh connection.
   */
  readonly staleSession: boolean;
  /** True: another host of the same destination may do better at once, for those deferred or without SMTPUTF8. */
  readonly tryNextHost: boolean;
}

/** Commands sent before the first reply is waited for. The replies to them must fit the peer's socket buffer (RFC 2920 §3.1). */
const MAX_WINDOW_COMMANDS = 102; // MAIL, 100 RCPT (RFC 5321 §4.5.3.1.8) and DATA
const MAX_WINDOW_BYTES = 65_536;

interface Command {
  readonly phase: Phase;
  readonly line: string;
  /** Of the recipient, in the envelope; -1: not a RCPT. */
  readonly index: number;
}

export interface TransactOptions {
  /** When it aborts, the session is closed and what is open is deferred. */
  readonly signal: AbortSignal;
  /** What has to be done before the peer may take this mail: the dot waits for it. Null, or left out: nothing. */
  readonly beforeDot?: () => Promise<void> | null;
}

export async function transact(
  session: SmtpSession,
  envelope: Envelope,
  content: Content,
  options: TransactOptions,
): Promise<Transacted> {
  const transaction = new Transaction(session, envelope, content, options);
  const release = session.failOn(options.signal);
  try {
    return await transaction.run();
  } finally {
    release();
  }
}

class Transaction {
  readonly #session: SmtpSession;
  readonly #envelope: Envelope;
  readonly #content: Content;
  readonly #beforeDot: () => Promise<void> | null;
  readonly #reused: boolean;
  readonly #bytes: number;
  /** Null: not decided. */
  readonly #outcomes: (Outcome | null)[];
  /** Recipients that the peer said yes to and that are not decided. */
  #accepted: number[] = [];
  readonly #overLimit: number[] = [];
  /** True: the peer has said something to this mail. */
  #heard = false;
  /** True: the peer has said yes to a recipient, whatever we made of it. */
  #anyTaken = false;
  /** True: the peer waits for content. */
  #inData = false;
  #stale = false;
  #tryNextHost = false;

  constructor(session: SmtpSession, envelope: Envelope, content: Content, { beforeDot }: TransactOptions) {
    this.#session = session;
    this.#beforeDot = beforeDot ?? (() => null);
    this.#envelope = envelope;
    this.#content = content;
    this.#reused = session.transactions > 0;
    this.#bytes = envelope.bytes + content.head.length;
    this.#outcomes = envelope.recipients.map(() => null);
  }

  async run(): Promise<Transacted> {
    this.#bounceWhatPeerCannotTake();
    const failure = this.#isDecided() ? null : await this.#deliver();
    if (failure !== null) this.#onFailure(failure);
    const { usable } = this.#session;
    if (!usable) this.#close();
    return {
      outcomes: this.#outcomes.map((outcome) => outcome ?? this.#undecided()),
      overLimit: this.#overLimit,
      sessionUsable: usable,
      staleSession: this.#stale,
      tryNextHost: this.#tryNextHost,
    };
  }

  async #deliver(): Promise<Failure | null> {
    const session = this.#session;
    if (!session.usable) return session.failure ?? { kind: "closed", place: "idle", detail: null };
    session.transactions += 1;
    try {
      return (await this.#sendEnvelope()) ?? (this.#inData ? await this.#sendContent() : null);
    } catch (error) {
      const detail = `our own fault: ${error instanceof Error ? error.message : String(error)}`;
      session.fail({ kind: "internal", place: "block", detail }); // the content stays without its dot
      return session.failure;
    }
  }

  /** What EHLO has told already: SMTPUTF8 (RFC 6531 §3.2) and SIZE (RFC 1870 §6.1). */
  #bounceWhatPeerCannotTake(): void {
    const { capabilities, route } = this.#session;
    const { returnPath, recipients, smtputf8 } = this.#envelope;
    const host = route.mx ?? "the peer";
    if (capabilities.maxBytes !== null && this.#bytes > capabilities.maxBytes) {
      const detail = `the message has ${this.#bytes} bytes and ${host} takes at most ${capabilities.maxBytes}`;
      this.#decideOpen(bounced("too-large", "5.3.4", detail, route));
      return;
    }
    if (capabilities.smtputf8) return;
    const all = smtputf8 || (returnPath !== null && needsSmtputf8(returnPath));
    for (const [index, recipient] of recipients.entries()) {
      if (!all && !needsSmtputf8(recipient)) continue;
      const detail = `${host} takes no addresses or headers in UTF-8`;
      this.#outcomes[index] = bounced("no-smtputf8", "5.6.7", detail, route);
      this.#tryNextHost = true;
    }
  }

  /** RSET if needed, and MAIL to DATA: in windows of many commands when the peer offers PIPELINING, else one by one. */
  async #sendEnvelope(): Promise<Failure | null> {
    const session = this.#session;
    const utf8 = this.#declaresUtf8();
    const commands = this.#commands(utf8);
    session.needsReset = true;
    for (let from = 0; from < commands.length && !this.#isDecided();) {
      const window = session.capabilities.pipelining
        ? windowOf(commands, from)
        : commands.slice(from, from + 1);
      from += window.length;
      const { replies, failure } = await session.exchange(
        window.map((command) => command.line).join(""),
        window.map((command) => command.phase),
        utf8 ? "utf8" : "latin1",
      );
      for (const [at, reply] of replies.entries()) this.#onReply(window[at] as Command, reply);
      if (failure === null) continue;
      if (replies.length > 0 && (failure.kind === "timeout" || failure.kind === "closed"))
        session.onHalfAnswered();
      return failure;
    }
    return null;
  }

  #commands(utf8: boolean): Command[] {
    const commands: Command[] = [];
    if (this.#session.needsReset) commands.push({ phase: "reset", line: "RSET\r\n", index: -1 });
    commands.push({ phase: "mail", line: this.#mailLine(utf8), index: -1 });
    const { recipients } = this.#envelope;
    for (let index = 0; index < recipients.length; index += 1) {
      if (this.#outcomes[index] !== null) continue;
      commands.push({ phase: "rcpt", line: `RCPT TO:<${recipients[index]}>\r\n`, index });
    }
    commands.push({ phase: "data", line: "DATA\r\n", index: -1 });
    return commands;
  }

  #mailLine(utf8: boolean): string {
    const { capabilities } = this.#session;
    const size = capabilities.size ? ` SIZE=${this.#bytes}` : "";
    const body = this.#envelope.eightBit && capabilities.eightBitMime ? " BODY=8BITMIME" : "";
    return `MAIL FROM:<${this.#envelope.returnPath ?? ""}>${size}${body}${utf8 ? " SMTPUTF8" : ""}\r\n`;
  }

  /** True: SMTPUTF8 is needed, and offered: those who need it and cannot have it are decided before. */
  #declaresUtf8(): boolean {
    const { returnPath, recipients, smtputf8 } = this.#envelope;
    if (!this.#session.capabilities.smtputf8) return false;
    return smtputf8 || (returnPath !== null && needsSmtputf8(returnPath)) || recipients.some(needsSmtputf8);
  }

  #onReply(command: Command, reply: RawReply): void {
    const first = Math.trunc(reply.code / 100);
    if (reply.code === CLOSING) {
      this.#stale ||= this.#reused && !this.#heard; // such as "too many mails on this connection"
      this.#tryNextHost = true;
      this.#decideOpen(this.#refusal(command.phase, reply));
    } else if (command.phase === "data") {
      this.#onDataReply(first, reply);
    } else if (command.phase === "rcpt") {
      this.#onRcptReply(command.index, first, reply);
    } else if (first !== 2) {
      this.#decideOpen(command.phase === "reset" ? this.#unresettable(reply) : this.#refusal("mail", reply));
    }
    this.#heard ||= command.phase !== "reset";
  }

  /** Not about this mail: a fresh connection has nothing to forget. */
  #unresettable(reply: RawReply): Outcome {
    this.#session.doubt();
    this.#stale = this.#reused;
    const detail = `RSET was answered by ${printReply(spoken(reply))}`;
    return outcomeOfFailure({ kind: "nonsense", place: "reset", detail }, this.#session.route);
  }

  #onRcptReply(index: number, first: number, reply: RawReply): void {
    this.#anyTaken ||= first === 2;
    if (this.#outcomes[index] !== null) return; // the answer to MAIL has decided
    if (first === 2) {
      this.#accepted.push(index);
      return;
    }
    const outcome = this.#refusal("rcpt", reply);
    if (!isOverRecipientLimit(reply)) {
      this.#outcomes[index] = outcome;
      return;
    }
    this.#outcomes[index] = outcome.kind === "bounced" ? deferredByLimit(outcome) : outcome;
    if (this.#accepted.length > 0) this.#overLimit.push(index); // else the next transaction would end in the same way
  }

  #onDataReply(first: number, reply: RawReply): void {
    this.#inData = first === 3;
    if (!this.#inData) this.#decideOpen(this.#refusal("data", reply));
  }

  /** Content for those accepted. For nobody, after a DATA that was on its way already: a lone dot (RFC 2920 §3.1). */
  async #sendContent(): Promise<Failure | null> {
    if (this.#accepted.length === 0) return this.#sendLoneDot();
    const rest = await writeContent(this.#session, this.#content);
    const before = rest === null ? null : this.#beforeDot();
    if (before !== null) await this.#session.awaitContent(before);
    if (rest === null || this.#session.failure !== null) return this.#session.failure;
    return this.#session.repliesToEach ? this.#dotForEach(rest) : this.#dotForAll(rest);
  }

  async #dotForAll(rest: Buffer): Promise<Failure | null> {
    const reply = await this.#session.ask(rest, "dot");
    if ("kind" in reply) return reply;
    this.#inData = false;
    this.#session.needsReset = false;
    this.#tryNextHost ||= reply.code === CLOSING;
    this.#decideOpen(this.#afterDot(reply));
    return null;
  }

  /** LMTP: one reply for each recipient that was taken, in the order of their RCPT (RFC 2033 §4.2). */
  async #dotForEach(rest: Buffer): Promise<Failure | null> {
    const session = this.#session;
    const taken = this.#accepted;
    const { replies, failure } = await session.exchange(
      rest,
      taken.map((): Phase => "dot"),
    );
    for (const [at, reply] of replies.entries()) this.#outcomes[taken[at] as number] = this.#afterDot(reply);
    if (replies.length < taken.length) return failure ?? { kind: "closed", place: "dot", detail: "421" };
    this.#inData = false;
    session.needsReset = false;
    return null;
  }

  #afterDot(reply: RawReply): Outcome {
    const delivered = Math.trunc(reply.code / 100) === 2;
    return delivered ? outcomeOfReply(spoken(reply), this.#session.route) : this.#refusal("dot", reply);
  }

  /** Not to a peer that took recipients when it should not have: they would get an empty mail. */
  async #sendLoneDot(): Promise<Failure | null> {
    if (this.#anyTaken || this.#session.repliesToEach) this.#session.doubt(); // LMTP answers nobody's dot by nothing
    if (!this.#session.usable) return null;
    const reply = await this.#session.ask(".\r\n", "dot");
    if ("kind" in reply) return reply;
    this.#inData = false;
    if (Math.trunc(reply.code / 100) < 4) this.#session.doubt(); // it took a mail for nobody
    return null;
  }

  #onFailure(failure: Failure): void {
    this.#stale ||= this.#reused && !this.#heard && isDead(failure);
    const outcome = outcomeOfFailure(failure, this.#session.route);
    const ambiguous = outcome.kind === "deferred" && outcome.cause === "ambiguous";
    if (!this.#isDecided())
      this.#tryNextHost ||= !ambiguous && verdictOf(failure, this.#session.route).tryNextHost;
    this.#decideOpen(outcome);
  }

  /** What a reply that is not yes means for a recipient. One that is not no either ends the session. */
  #refusal(place: Phase, reply: RawReply): Outcome {
    const first = Math.trunc(reply.code / 100);
    if (first < 4) this.#session.doubt();
    return outcomeOfFailure({ kind: "refused", place, reply: spoken(reply) }, this.#session.route);
  }

  #decideOpen(outcome: Outcome): void {
    for (let index = 0; index < this.#outcomes.length; index += 1) this.#outcomes[index] ??= outcome;
    this.#accepted = [];
  }

  #isDecided(): boolean {
    return this.#outcomes.every((outcome) => outcome !== null);
  }

  /** A peer that waits for content would take QUIT for a line of it, and a dot for the end of a mail. */
  #close(): void {
    if (this.#inData) this.#session.destroy();
    else this.#session.quit();
  }

  #undecided(): Outcome {
    return deferred(
      "internal",
      "our own fault: the transaction ended without an outcome",
      this.#session.route,
    );
  }
}

/** True: the session ended before, or just as, this mail began. Silence is not so: the wait for it has cost an attempt. */
function isDead(failure: Failure): boolean {
  if (failure.kind === "closed" || failure.kind === "unasked") return true;
  return failure.kind === "nonsense" && failure.place === "idle";
}

/** As many commands from `from` on as may be sent at once. */
function windowOf(commands: readonly Command[], from: number): readonly Command[] {
  let bytes = 0;
  let to = from;
  while (to < commands.length && to - from < MAX_WINDOW_COMMANDS && bytes < MAX_WINDOW_BYTES) {
    bytes += (commands[to] as Command).line.length;
    to += 1;
  }
  return commands.slice(from, to);
}

/**
 * "Too many recipients" (RFC 5321 §4.5.3.1.10), where 552 means 452. The same codes mean a full mailbox or disk far more
 * often, so the enhanced code or the text has to say so.
 */
function isOverRecipientLimit(reply: RawReply): boolean {
  if (reply.code !== 452 && reply.code !== 552 && reply.code !== 451) return false;
  const { enhanced, text } = spoken(reply);
  return enhanced?.endsWith(".5.3") === true || /too many (?:recipients|rcpts?)/i.test(text);
}

function deferredByLimit(outcome: Outcome & { kind: "bounced" }): Outcome {
  const { reply, detail, route } = outcome;
  return { kind: "deferred", cause: "reply", reply, detail, route };
}

function spoken(reply: RawReply): SmtpReply {
  return smtpReply(reply.code, reply.lines);
}
