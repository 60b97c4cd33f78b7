/**
 * A session whose client may be a proxy that speaks for another: XCLIENT hands the session over to him, XFORWARD tells where the
 * next message came from. smtp-server's own handlers of the two are not used: they would let in whoever is named.
 *
 * 1. Both are taken from listed peers only, by the address that connected, and no more once the session is another's.
 * 2. The name in XCLIENT LOGIN is taken for that of a client who has logged in only when it is an account of ours, with the
 *    senders that it is limited to.
 */

/* oxlint-disable eslint/no-underscore-dangle -- the names are those of smtp-server */

import type { Socket } from "node:net";

import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { SMTPConnectionOptions } from "smtp-server/lib/smtp-connection.js";
import type { SMTPServer } from "smtp-server";

import type { Login } from "#shared/app/credentials.ts";
import { readAttributes, XCLIENT_NAMES, XFORWARD_NAMES } from "./client-attributes.ts";
import type { ClientAttributes } from "./client-attributes.ts";
import type { FeederContext } from "./context.ts";
import { loginByPlugins } from "./plugin-auth.ts";

export type Done = () => void;

export abstract class ProxiedSession extends SMTPConnection {
  protected readonly context: FeederContext;
  /** What XFORWARD has said of the next message; null: nothing. */
  protected forwarded: ClientAttributes | null = null;
  /** True: the session is that of the proxy's client, who may say nothing of others. */
  #handedOver = false;
  /** What XCLIENT has said that the client is called; empty: nothing. */
  #toldHost = "";

  constructor(
    context: FeederContext,
    server: SMTPServer,
    socket: Socket,
    options: SMTPConnectionOptions | null | undefined,
  ) {
    super(server, socket, options);
    this.context = context;
  }

  protected abstract inTransaction(): boolean;

  protected proxyExtensions(): string[] {
    return [
      ...(this.#mayTell("xclient") ? [`XCLIENT ${XCLIENT_NAMES.join(" ")}`] : []),
      ...(this.#mayTell("xforward") ? [`XFORWARD ${XFORWARD_NAMES.join(" ")}`] : []),
    ];
  }

  override handler_XCLIENT(command: Buffer, done: Done): void {
    const attributes = this.#told("xclient", command, done);
    if (!attributes) return;
    if (typeof attributes.login === "string") void this.#logInAndHandOver(attributes.login, attributes, done);
    else this.#handOver(attributes, null, done);
  }

  override handler_XFORWARD(command: Buffer, done: Done): void {
    const attributes = this.#told("xforward", command, done);
    if (!attributes) return;
    this.forwarded = { ...this.forwarded, ...attributes };
    this.answer(done, 250, "2.0.0 OK");
  }

  /** The trust is in who connected, and goes with the session once it is somebody else's. */
  #mayTell(what: "xclient" | "xforward"): boolean {
    return !this.#handedOver && this.context.believes[what](this._originalRemoteAddress);
  }

  /** Null: it is refused, and answered. */
  #told(what: "xclient" | "xforward", command: Buffer, done: Done): ClientAttributes | null {
    const verb = what.toUpperCase();
    const names = what === "xclient" ? XCLIENT_NAMES : XFORWARD_NAMES;
    const read = readAttributes(command.toString("latin1"), names);
    if (!this.#mayTell(what)) this.answer(done, 550, `5.7.1 ${verb} is not taken from you`);
    else if (this.inTransaction()) this.answer(done, 503, "5.5.1 Not in a mail transaction");
    else if (!read.ok) this.answer(done, 501, `5.5.4 Cannot read ${verb}: ${read.fault}`);
    else return read.attributes;
    return null;
  }

  /** A name that is no account of ours ends the session: its client would go on as somebody else. Never rejects. */
  async #logInAndHandOver(user: string, attributes: ClientAttributes, done: Done): Promise<void> {
    const { log } = this.context;
    const fields = { ...this.fields(), user };
    try {
      const login = await this.#loginOf(user);
      if (login) return this.#handOver(attributes, login, done);
      log.info(fields, "no account for XCLIENT LOGIN");
      this.send(550, "5.7.8 There is no such account");
    } catch (error) {
      log.error({ ...fields, err: error }, "account could not be looked up");
      this.send(421, "4.3.0 Cannot check the login now, try again later");
    }
    this.close();
    done();
  }

  async #loginOf(user: string): Promise<Login | null> {
    const { accountLogin, plugins, pluginSessions } = this.context;
    const seen = pluginSessions.get(this.session);
    if (!seen || plugins?.has("smtp:auth") !== true) return accountLogin(user);
    const given = { user, password: undefined, method: "XCLIENT" };
    const answer = await loginByPlugins(plugins, given, seen.view());
    return answer === "wrong" ? null : answer;
  }

  /** The session goes on as that of the proxy's client, from the greeting. Nothing of the proxy's own is left to it. */
  #handOver({ ip, host, port, login: told }: ClientAttributes, login: Login | null, done: Done): void {
    const isAnothers = ip !== undefined; // also one whose address nobody knows
    // what a proxy tells in lines of its own it tells before; after this its client speaks
    if (isAnothers || login) this.#handedOver = true;
    if (isAnothers) this.remoteAddress = ip ?? "";
    if (isAnothers || login || told === null) this.session.user = login ?? undefined;
    if (port) this.remotePort = port;
    if (host !== undefined) this.#toldHost = host ?? "";
    if (isAnothers || host !== undefined) this._setClientHostname(this.#toldHost);
    this.hostNameAppearsAs = false;
    this._resetSession();
    this._sendGreeting();
    done();
  }

  override _resetSession(): void {
    this.forwarded = null;
    super._resetSession();
  }

  protected user(): string | null {
    return this.login()?.user ?? null;
  }

  /** What auth-handler.ts gave, or XCLIENT. */
  protected login(): Login | null {
    return (this.session.user as Login | undefined) ?? null;
  }

  /** For the log. */
  protected fields(): Record<string, unknown> {
    return {
      sessionId: this.id,
      interface: this.context.interface.name,
      ip: this.remoteAddress,
      user: this.user(),
    };
  }

  protected answer(done: Done, code: number, text: string): void {
    this.send(code, text);
    done();
  }
}
