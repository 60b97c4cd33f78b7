/**
 * One SMTP session. smtp-server reads the lines, speaks TLS and the SASL exchanges and closes what is idle; here is what it
 * leaves open or does otherwise than we want: greeting, EHLO, the order of commands, the transaction from MAIL to the reply
 * after DATA, and the codes of every reply. Overrides methods of smtp-server 3.21.6 that are typed but not documented: look at
 * each when that version changes (`test/data/dialogues` shows what must come out).
 *
 * 1. 250 after DATA is sent when `submit` has resolved, and only then. No 5yz is sent for a fault of ours.
 * 2. After the last byte of a message nothing is read until it is answered: replies come in the order of the commands.
 */

/* oxlint-disable eslint/no-underscore-dangle -- the names are those of smtp-server */

import { srsRefusal } from "#shared/app/srs-return.ts";
import type { Submitted } from "#shared/app/submission.ts";
import { maySendAs } from "#shared/domain/account.ts";
import type { Address } from "#shared/domain/address.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { Origin } from "#shared/domain/message.ts";
import type { SenderSettings } from "#shared/ports/sender-directory.ts";
import { MessageBody } from "./message-body.ts";
import { EndlessMessage, MessageParser } from "./message-parser.ts";
import { originOf } from "./origin.ts";
import { readMail, readRcpt } from "./parameters.ts";
import type { Mail } from "./parameters.ts";
import { PluginSession } from "./plugin-session.ts";
import type { Done } from "./proxied-session.ts";
import { ProxiedSession } from "./proxied-session.ts";
import type { Reply } from "./reply.ts";
import { isMistake, replyLines, replyToFailure } from "./reply.ts";
import { settingsFor } from "./sender-settings.ts";
import { cipherOf } from "./tls.ts";

interface Transaction {
  readonly returnPath: Address | null;
  readonly smtputf8: boolean;
  /** In the order of the envelope, each once. */
  readonly recipients: Set<Address>;
  /** What the operator's directory said of the sender; null: there is none. */
  readonly settings: SenderSettings | null;
  /** RCPT commands that were accepted, those for one recipient too. */
  accepted: number;
  /** True: a RCPT was refused. */
  refused: boolean;
}

/** Whatever the client is called, if it can be printed: its name is no reason to refuse its mail (RFC 5321 §4.1.4). */
const HELO_NAME = /^[^\p{C}\p{Z}]+$/u;
const MAX_HELO_BYTES = 255;

const SHUTTING_DOWN = "4.3.2 Shutting down, try again later";

export class FeederConnection extends ProxiedSession {
  #esmtp = false;
  #transaction: Transaction | null = null;
  /** The message that is being read or stored. */
  #body: MessageBody | null = null;
  /** Null: there are no plugins. */
  readonly #seen: PluginSession | null;
  /** Undefined: not looked up since the socket last changed. */
  #cipher: string | null | undefined = undefined;

  constructor(...[context, server, socket, options]: ConstructorParameters<typeof ProxiedSession>) {
    super(context, server, socket, options);
    const { plugins } = context;
    const now = () => ({ id: this.id, origin: this.#origin(), secure: this.secure });
    this.#seen = plugins && new PluginSession({ ...context, plugins }, now);
    if (this.#seen) context.pluginSessions.set(this.session, this.#seen);
  }

  // The connection

  /**
   * Greet at once. smtp-server waits 100 ms before, to catch clients that talk too soon (a habit of some spam bots): a wait for
   * each connection is too much for clients that open one per message, and a submission server knows its clients by other
   * means. What is left of the check: with `reverseLookup` on, who talks during the lookup is refused.
   */
  override init(): void {
    this._setListeners(() => {
      const { maxClients, maxClientsPerAddress } = this.context.interface;
      if (this._server.connections.size > maxClients) {
        this.send(421, "4.3.2 Too many connections, try again later");
      } else if (maxClientsPerAddress !== null && this.#fromSameAddress() > maxClientsPerAddress) {
        this.send(
          421,
          `4.7.0 Too many connections from your address: not more than ${maxClientsPerAddress} at once`,
        );
      } else {
        this.connectionReady();
      }
    });
  }

  /** Sessions, this one too. */
  #fromSameAddress(): number {
    let count = 0;
    for (const { remoteAddress } of this._server.connections)
      if (remoteAddress === this.remoteAddress) count++;
    return count;
  }

  /** Take nothing new: a message under way is finished and answered, any other session ends now. */
  drain(): void {
    if (!this.#body) this.send(421, SHUTTING_DOWN);
  }

  destroy(): void {
    this._socket.destroy();
  }

  override send(code: number, text?: string | readonly string[] | null, context?: string | false): void {
    const lines = replyLines(code, text ?? "", context !== false);
    if (code >= 400)
      this.context.log.debug({ ...this.fields(), reply: lines.trimEnd() }, "smtp command refused");
    // while a TLS handshake runs this would go out in clear, into the middle of it
    if (!this._upgrading && this._socket.writable) this._socket.write(lines, "latin1");
    if (code === 421) this.close();
  }

  override close(): void {
    this.#loseBody();
    super.close();
  }

  /** Emits `closed`, more than once perhaps. */
  override _onClose(): void {
    this.#loseBody();
    super._onClose();
    this.emit("closed");
  }

  /** The client owes us nothing while we store his message, or while a slow store keeps us from reading on. */
  override _onTimeout(): void {
    if (this._closing || this._handlerPending) super._onTimeout();
    else if (this.#body !== null && (this.#body.ended || this.#body.full)) this._armTimeout();
    else this.send(421, "4.4.2 Idle for too long, closing");
  }

  protected override inTransaction(): boolean {
    return this.#transaction !== null;
  }

  override _createParser(): MessageParser {
    const parser = new MessageParser();
    parser.oncommand = (command, done) => this._onCommand(command, done);
    parser.on("error", (error) => this.#endOnError(error));
    // the client has closed his side, and all that he had sent is read and answered
    parser.on("finish", () => {
      if (this._parser === parser) this.close();
    });
    return parser;
  }

  override _resetSession(): void {
    this.#transaction = null;
    super._resetSession();
  }

  #endOnError(error: Error): void {
    if (error instanceof EndlessMessage) this.send(552, "5.3.4 Message is larger than the limit, closing");
    else this.send(500, "5.5.2 Line is too long, closing");
    this.close();
  }

  #loseBody(): void {
    this.#body?.abandon(
      new DomainError("incomplete-message", "The session ended before the end of the message"),
    );
  }

  // Commands

  override handler_EHLO(command: Buffer, done: Done): void {
    this.#esmtp = true;
    if (this.#greet("EHLO", command)) this.send(250, [this.name, ...this.#extensions()], false);
    done();
  }

  override handler_HELO(command: Buffer, done: Done): void {
    this.#esmtp = false;
    if (this.#greet("HELO", command)) this.send(250, this.name, false);
    done();
  }

  #greet(verb: string, command: Buffer): boolean {
    const [, name = "", ...more] = command.toString().trim().split(/\s+/);
    if (more.length > 0 || !HELO_NAME.test(name) || Buffer.byteLength(name) > MAX_HELO_BYTES) {
      this.send(501, `Syntax: ${this.context.interface.lmtp ? "LHLO" : verb} hostname`, false);
      return false;
    }
    this.hostNameAppearsAs = name.toLowerCase();
    this._resetSession();
    return true;
  }

  #extensions(): string[] {
    const { interface: settings } = this.context;
    const list = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", `SIZE ${settings.maxSize}`];
    if (settings.starttls && !this.secure) list.push("STARTTLS");
    const mayAuth = settings.authentication && (this.secure || settings.allowInsecureAuth);
    if (mayAuth && this.user() === null) list.push("AUTH PLAIN LOGIN");
    return [...list, ...this.proxyExtensions()];
  }

  override handler_STARTTLS(command: Buffer, done: Done): void {
    if (!this.secure && !this.context.interface.starttls)
      return this.answer(done, 502, "5.5.1 STARTTLS is not offered");
    // a client that has gone, or goes in the handshake, would be waited for until the idle timeout
    if (this._socket.readableEnded) return this.close();
    this._socket.allowHalfOpen = false;
    this.#cipher = undefined;
    super.handler_STARTTLS(command, done);
  }

  override handler_AUTH(command: Buffer, done: Done): void {
    const { authentication, allowInsecureAuth } = this.context.interface;
    if (!authentication) return this.answer(done, 502, "5.5.1 AUTH is not offered");
    if (!this.secure && !allowInsecureAuth)
      return this.answer(done, 538, "5.7.11 Begin TLS before AUTH: the password would go in clear");
    if (this.#transaction) return this.answer(done, 503, "5.5.1 Not in a mail transaction");
    super.handler_AUTH(command, done);
  }

  /** EXPN is a known command that we refuse; smtp-server does not know it. */
  handler_EXPN(_command: Buffer, done: Done): void {
    this.answer(done, 502, "5.5.1 EXPN is not offered");
  }

  // The transaction

  override handler_MAIL(command: Buffer, done: Done): void {
    if (this.#transaction) return this.answer(done, 503, "5.5.1 A mail transaction is open already");
    const mail = readMail(command.toString(), { maxBytes: this.context.interface.maxSize });
    if (!mail.ok) return this.answer(done, mail.reply.code, mail.reply.text);
    if (!maySendAs(this.login()?.senders ?? null, mail.returnPath)) {
      return this.answer(done, 553, "5.7.1 This login may not send from that address");
    }
    if (this.context.senders === null && this.#seen === null) this.#begin(mail, null, done);
    else void this.#beginAsTold(mail, command.toString(), done);
  }

  /** Ask plugins and the operator's directory about the sender first. Never rejects. */
  async #beginAsTold(mail: Mail, command: string, done: Done): Promise<void> {
    const { returnPath } = mail;
    const refused = (await this.#seen?.begin(command, returnPath ?? "")) ?? null;
    if (refused !== null) return this.answer(done, refused.code, refused.text);
    const told = await settingsFor({ returnPath, origin: this.#origin() }, this.context, this.fields());
    if (told.ok) this.#begin(mail, told.settings, done);
    else this.answer(done, told.reply.code, told.reply.text);
  }

  #begin({ returnPath, smtputf8 }: Mail, settings: SenderSettings | null, done: Done): void {
    this.#transaction = {
      returnPath,
      smtputf8,
      settings,
      recipients: new Set(),
      accepted: 0,
      refused: false,
    };
    this.answer(done, 250, "2.1.0 Sender OK");
  }

  override handler_RCPT(command: Buffer, done: Done): void {
    const transaction = this.#transaction;
    if (!transaction) return this.answer(done, 503, "5.5.1 Say MAIL first");
    const { hostname, interface: settings } = this.context;
    const rcpt = readRcpt(command.toString(), { smtputf8: transaction.smtputf8, hostname });
    const add = (recipient: Address): Reply =>
      this.#addRecipient(transaction, recipient, settings.maxRecipients);
    const finish = (reply: Reply): void => {
      if (reply.code >= 400) transaction.refused = true;
      else transaction.accepted += 1;
      this.answer(done, reply.code, reply.text);
    };
    if (!rcpt.ok) return finish(rcpt.reply);
    if (this.#seen === null) return finish(add(rcpt.recipient));
    void this.#seen
      .recipient(command.toString(), rcpt.recipient)
      .then((refused) => finish(refused ?? add(rcpt.recipient)));
  }

  #addRecipient({ recipients }: Transaction, recipient: Address, maxRecipients: number): Reply {
    if (recipients.size >= maxRecipients && !recipients.has(recipient)) {
      return { code: 452, text: `4.5.3 Not more than ${maxRecipients} recipients in one message` };
    }
    const { srs, clock } = this.context;
    const refusal = srsRefusal(recipient, srs, clock.now());
    if (refusal !== null) return { code: 553, text: `5.1.1 ${refusal}` };
    recipients.add(recipient);
    return { code: 250, text: "2.1.5 Recipient OK" };
  }

  override handler_DATA(command: Buffer, done: Done): void {
    const transaction = this.#transaction;
    const parser = this._parser;
    if (!(parser instanceof MessageParser)) return done(); // the connection is closed
    if (command.length > "DATA".length && command.toString("latin1").trim().length > "DATA".length) {
      return this.answer(done, 501, "5.5.4 DATA takes no parameters");
    }
    if (!transaction) return this.answer(done, 503, "5.5.1 Say MAIL first");
    if (transaction.recipients.size === 0) {
      // LMTP has one code for it (RFC 2033 §4.2)
      if (transaction.refused && !this.context.interface.lmtp)
        return this.answer(done, 554, "5.5.1 No valid recipients");
      return this.answer(done, 503, "5.5.1 Say RCPT first");
    }
    const body = new MessageBody(this.context.interface.maxSize);
    this.#body = body;
    parser.receive(body);
    this.answer(done, 354, "End data with <CR><LF>.<CR><LF>");
    void this.#finish(transaction, body);
  }

  /** Submit the message while it comes in, then answer it. Never rejects. */
  async #finish(transaction: Transaction, body: MessageBody): Promise<void> {
    const startedAt = this.context.clock.now();
    let submitted: Submitted | null = null;
    let failure: unknown = null;
    try {
      submitted = await this.#submit(transaction, body);
    } catch (error) {
      failure = body.failure ?? error;
    }
    const reply = submitted
      ? this.#accepted(submitted, { bytes: body.bytes, startedAt })
      : this.#notAccepted(failure);
    body.drop();
    await body.untilEnded();
    this.#body = null;
    this.#transaction = null;
    this.forwarded = null;
    this._unrecognizedCommands = 0;
    const replies = this.context.interface.lmtp ? transaction.accepted : 1;
    for (let i = 0; i < replies; i++) this.send(reply.code, reply.text);
    if (this.context.draining()) this.drain();
    if (this._parser instanceof MessageParser) this._parser.proceed();
  }

  #submit(
    { returnPath, smtputf8, recipients, settings: told }: Transaction,
    source: MessageBody,
  ): Promise<Submitted> {
    const { submit, interface: settings } = this.context;
    return submit({
      returnPath,
      recipients: [...recipients],
      origin: this.#origin(),
      source,
      bareNewlines: "refuse",
      maxBytes: settings.maxSize,
      smtputf8,
      senders: this.login()?.senders ?? null,
      notBefore: null,
      ...(told && { settings: told }),
      ...(this.#seen && { session: this.#seen.view() }),
    });
  }

  #accepted(
    { messageId, rows, dropped }: Submitted,
    { bytes, startedAt }: { bytes: number; startedAt: number },
  ): Reply {
    const { log, metrics, clock } = this.context;
    const durationMs = clock.now() - startedAt;
    metrics.accepted({ bytes, recipients: rows.length, durationMs });
    log.info({ ...this.fields(), messageId, recipients: rows.length, bytes, durationMs }, "message accepted");
    return { code: 250, text: dropped?.text ?? `2.0.0 Message queued as ${messageId}` };
  }

  #notAccepted(error: unknown): Reply {
    const { log, metrics } = this.context;
    const reply = replyToFailure(error);
    metrics.refused(reply.code);
    const fields = { ...this.fields(), code: reply.code };
    if (isMistake(error)) log.info({ ...fields, reason: (error as Error).message }, "message refused");
    else log.error({ ...fields, err: error }, "message could not be stored");
    return reply;
  }

  #origin(): Origin {
    return originOf({
      interface: this.context.interface,
      esmtp: this.#esmtp,
      secure: this.secure,
      ip: this.remoteAddress || null,
      host: this.clientHostname,
      helo: this.hostNameAppearsAs,
      user: this.user(),
      tls: this.#tls(),
      forwarded: this.forwarded,
    });
  }

  #tls(): string | null {
    if (!this.secure) return null;
    if (this.#cipher === undefined) this.#cipher = cipherOf(this._socket);
    return this.#cipher;
  }
}
