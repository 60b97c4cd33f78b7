/**
 * From a target to a session that is ready for MAIL: TCP from the egress address, greeting, EHLO, STARTTLS by policy, AUTH.
 * One host and one IP address; which hosts there are and in what order is resolve-mx.ts, what to do next is deliver.ts.
 *
 * TLS policy:
 * - `opportunistic` STARTTLS when offered, whatever the certificate (RFC 7435). Refused: go on in clear. A handshake that
 *   fails: connect once more with a small ClientHello, then in clear, and remember for a while what worked.
 * - `required` no mail without TLS. Nothing is said of the certificate.
 * - `verified` no mail without TLS 1.2 or later and a valid certificate in the host's name (MTA-STS, RFC 8461 §4.2).
 * - `never` in clear.
 * `secure` is TLS from the first byte (port 465), whatever the policy.
 */

import { connect as tcpConnect } from "node:net";
import type { Socket } from "node:net";

import type { Logger } from "pino";

import type { Route } from "#shared/domain/outcome.ts";
import type { SmtpReply } from "#shared/domain/smtp-reply.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import type { AuthMethod, CredentialPolicy } from "#shared/domain/zone.ts";

import { authenticate } from "./authenticate.ts";
import { NO_CAPABILITIES, parseCapabilities } from "./capabilities.ts";
import type { Failure, Verdict } from "./outcome-of-error.ts";
import { verdictOf } from "./outcome-of-error.ts";
import type { PipeliningMemory } from "./pipelining-memory.ts";
import type { RawReply } from "./reply-parser.ts";
import { SmtpSession } from "./smtp-client.ts";
import type { Secured, SessionDeps } from "./smtp-client.ts";
import { DEFAULT_TIMEOUTS, systemTimers } from "./timeouts.ts";
import type { Phase, Timeouts, Timers } from "./timeouts.ts";
import { handshake } from "./tls.ts";
import type { Hello, TlsMemory } from "./tls.ts";

export interface Target {
  /** Name of the MX or relay: for SNI, for the certificate, for the log. */
  readonly host: string;
  readonly ip: string;
  readonly port: number;
  /** True: TLS from the first byte. */
  readonly secure: boolean;
  readonly auth: { readonly user: string; readonly pass: string } | null;
  /** Null: the best that is offered. */
  readonly authMethod: AuthMethod | null;
  readonly credentials: CredentialPolicy;
  /** True: LMTP in place of SMTP. */
  readonly lmtp: boolean;
  readonly tls: "opportunistic" | "required" | "verified" | "never";
  /** Egress address; null: the system chooses. */
  readonly localAddress: string | null;
  /** What the egress address is called, which an Elastic IP is not by what is bound; left out: by its IP. */
  readonly egress?: string;
  readonly ehloName: string;
  /** A connection that somebody has made already; left out: one is made. */
  readonly socket?: Socket;
}

export interface ConnectOptions {
  /** Ends the attempt. It is not looked at any more when the session is ready: each transaction has its own. */
  readonly signal: AbortSignal;
  readonly timeouts?: Timeouts;
  readonly timers?: Timers;
  /** One per process; without it nothing is resumed or remembered. */
  readonly tlsMemory?: TlsMemory;
  /** One per process too. */
  readonly pipelining?: PipeliningMemory;
  readonly log?: Logger;
  /** Told of each handshake that fails. */
  readonly onTlsTrouble?: (target: Target, detail: string) => void;
}

export type Connected = { ok: true; session: SmtpSession } | ({ ok: false } & Verdict);

const AFTER_FAILED_TLS_MS = 100;

/** A stage's answer: null, and the next stage follows; or why there is no session. */
type Stage = Failure | null;

export async function connect(target: Target, options: ConnectOptions): Promise<Connected> {
  const attempt = new Attempt(target, options);
  const { tlsMemory, log, signal } = options;
  const opportunistic = target.tls === "opportunistic" && !target.secure;
  const known = tlsMemory?.broken.get(attempt.address);
  if (opportunistic && known === "tls") return attempt.open("never");
  const failedInTls = ({ ok }: Connected): boolean => !ok && attempt.tlsTrouble !== null && !signal.aborted;
  let last = await attempt.open(target.tls, known === "usual-hello" ? "small" : "usual");
  if (target.socket) {
    // There is one connection to try and no more: the next attempt at the mail goes a step further.
    if (failedInTls(last) && opportunistic)
      tlsMemory?.broken.set(attempt.address, known === "usual-hello" ? "tls" : "usual-hello");
    return last;
  }
  if (failedInTls(last) && known !== "usual-hello") {
    // Some firewalls and old servers choke on a long ClientHello, as the keys of today make it.
    last = await attempt.open(target.tls, "small");
    if (last.ok) tlsMemory?.broken.set(attempt.address, "usual-hello");
  }
  if (!failedInTls(last) || !opportunistic) return last;
  log?.info(
    { mx: target.host, peer: target.ip, detail: attempt.tlsTrouble },
    "tls failed, going on in clear",
  );
  last = await attempt.open("never");
  if (last.ok) tlsMemory?.broken.set(attempt.address, "tls"); // it is up, and only its TLS is not
  return last;
}

class Attempt {
  readonly address: string;
  /** Why the last `open` failed in a handshake or right after it; null: it did not. */
  tlsTrouble: string | null = null;

  #tlsHello: Hello = "usual";
  readonly #target: Target;
  readonly #options: ConnectOptions;
  readonly #deps: SessionDeps;

  constructor(target: Target, options: ConnectOptions) {
    this.address = `${target.ip}:${target.port}`;
    this.#target = target;
    this.#options = options;
    this.#deps = {
      timeouts: options.timeouts ?? DEFAULT_TIMEOUTS,
      timers: options.timers ?? systemTimers,
      log: options.log ?? null,
    };
  }

  async open(tls: Target["tls"], hello: Hello = "usual"): Promise<Connected> {
    this.tlsTrouble = null;
    this.#tlsHello = hello;
    const socket = await dial(this.#target, { ...this.#deps, signal: this.#options.signal });
    if ("kind" in socket) return { ok: false, ...verdictOf(socket, this.#routeFrom(null)) };
    const session = new SmtpSession(socket, this.#routeFrom(socket.localAddress ?? null), this.#deps);
    session.repliesToEach = this.#target.lmtp;
    session.ehloName = this.#target.ehloName;
    session.onHalfAnswered = () => this.#options.pipelining?.noteBroken(this.address);
    const release = session.failOn(this.#options.signal);
    const failure = await this.#prepare(session, tls);
    release();
    if (failure === null) return { ok: true, session };
    session.quit();
    await session.closed(); // the next try is a connection of its own
    if (this.tlsTrouble !== null) await this.#pause();
    return { ok: false, ...verdictOf(failure, session.route) };
  }

  async #prepare(session: SmtpSession, tls: Target["tls"]): Promise<Stage> {
    return (
      (this.#target.secure ? await this.#startTls(session) : null) ??
      (await this.#greeting(session)) ??
      (await this.#hello(session)) ??
      (this.#target.secure ? null : await this.#starttls(session, tls)) ??
      (await this.#authenticate(session))
    );
  }

  async #greeting(session: SmtpSession): Promise<Stage> {
    const reply = await session.ask("", "greeting");
    return "kind" in reply || isClass(reply, 2) ? failureIn(reply) : refused(reply, "greeting");
  }

  /** EHLO, and HELO when the peer does not know it (RFC 5321 §3.2); LHLO for LMTP. */
  async #hello(session: SmtpSession): Promise<Stage> {
    const { ehloName, lmtp } = this.#target;
    const ehlo = await session.ask(`${lmtp ? "LHLO" : "EHLO"} ${ehloName}\r\n`, "ehlo");
    if ("kind" in ehlo) return ehlo;
    if (isClass(ehlo, 2)) {
      const offered = parseCapabilities(ehlo.lines);
      const isBroken = this.#options.pipelining?.isBroken(this.address) === true;
      session.capabilities = isBroken ? { ...offered, pipelining: false } : offered;
      return null;
    }
    if (!isClass(ehlo, 5) || lmtp) return refused(ehlo, "ehlo"); // RFC 2033 §4.1: LMTP has no HELO
    const helo = await session.ask(`HELO ${ehloName}\r\n`, "ehlo");
    session.capabilities = NO_CAPABILITIES;
    if ("kind" in helo) return helo.kind === "closed" ? refused(ehlo, "ehlo") : helo; // it hung up on what it had said
    return isClass(helo, 2) ? null : refused(helo, "ehlo");
  }

  async #starttls(session: SmtpSession, policy: Target["tls"]): Promise<Stage> {
    if (policy === "never") return null;
    if (!session.capabilities.starttls)
      return unless(policy, "TLS is required and STARTTLS not offered", null);
    const reply = await session.ask("STARTTLS\r\n", "starttls");
    if ("kind" in reply) return reply;
    if (reply.code === 421) return refused(reply, "starttls");
    if (reply.code !== 220) return unless(policy, "TLS is required and STARTTLS was refused", spoken(reply));
    const failure = await this.#startTls(session);
    if (failure !== null) return failure;
    const hello = await this.#hello(session); // what was offered in clear is void (RFC 3207 §4.2)
    // With TLS 1.3 the peer's half of the handshake can fail after ours: it shows as a hang-up here.
    if (hello?.kind === "closed") this.tlsTrouble = "the peer hung up after the handshake";
    return hello;
  }

  async #startTls(session: SmtpSession): Promise<Stage> {
    const target = this.#target;
    let secured: Secured | null = null;
    const failure = await session.upgrade(async (socket) => {
      const done = await handshake(socket, {
        host: target.host,
        ip: target.ip,
        port: target.port,
        hello: this.#tlsHello,
        strength: target.tls === "opportunistic" && target.auth === null ? "any" : "modern",
        // a resumed session is not checked against the name again, and who needs it checked starts anew
        sessions:
          target.auth === null && target.tls !== "verified"
            ? (this.#options.tlsMemory?.sessions ?? null)
            : null,
        timeouts: this.#deps.timeouts,
        timers: this.#deps.timers,
      });
      if ("kind" in done) return done;
      secured = done.secured;
      return done.socket;
    });
    if (failure?.kind === "tls") {
      this.tlsTrouble = failure.detail;
      this.#options.onTlsTrouble?.(target, failure.detail);
    }
    session.secured = secured;
    return failure ?? (target.tls === "verified" ? unverified(secured) : null);
  }

  async #authenticate(session: SmtpSession): Promise<Stage> {
    const { auth, ip, credentials: policy, authMethod: method } = this.#target;
    return auth === null ? null : authenticate(session, auth, { ip, policy, method });
  }

  /** A failed handshake leaves no time for a QUIT: the peer counts the connection until it has seen that we closed it. */
  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#deps.timers.set(AFTER_FAILED_TLS_MS, resolve));
  }

  #routeFrom(egress: string | null): Route {
    const target = this.#target;
    return { mx: target.host, peer: target.ip, egress: target.egress ?? egress ?? target.localAddress };
  }
}

function dial(target: Target, deps: SessionDeps & { signal: AbortSignal }): Promise<Socket | Failure> {
  const { signal, timers } = deps;
  if (signal.aborted) {
    target.socket?.destroy();
    return Promise.resolve({ kind: "given-up", place: "connect", reason: signal.reason as unknown });
  }
  if (target.socket) return Promise.resolve(usable(target.socket));
  return new Promise((resolve) => {
    const socket = tcpConnect({
      host: target.ip,
      port: target.port,
      noDelay: true, // commands are written in whole groups, there is nothing to wait for
      ...(target.localAddress === null ? {} : { localAddress: target.localAddress }),
    });
    const settle = (result: Socket | Failure): void => {
      timers.clear(timer);
      signal.removeEventListener("abort", onAbort);
      socket.on("error", () => undefined).off("error", onError); // the session asks `destroyed` for what comes in between
      if ("kind" in result) socket.destroy();
      resolve(result);
    };
    const onAbort = (): void =>
      settle({ kind: "given-up", place: "connect", reason: signal.reason as unknown });
    const onError = (error: NodeJS.ErrnoException): void =>
      settle({ kind: "no-connection", code: error.code ?? "", detail: error.message });
    const timer = timers.set(deps.timeouts.connect, () =>
      settle({ kind: "no-connection", code: "ETIMEDOUT", detail: "no answer in time" }),
    );
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", onError).once("connect", () => settle(socket));
  });
}

function usable(socket: Socket): Socket | Failure {
  if (!socket.destroyed) return socket.on("error", () => undefined);
  return { kind: "no-connection", code: "", detail: "the connection that a plugin has made is closed" };
}

function isClass(reply: RawReply, first: number): boolean {
  return Math.trunc(reply.code / 100) === first;
}

function spoken(reply: RawReply): SmtpReply {
  return smtpReply(reply.code, reply.lines);
}

function refused(reply: RawReply, place: Phase): Failure {
  return { kind: "refused", place, reply: spoken(reply) };
}

function failureIn(answer: RawReply | Failure): Stage {
  return "kind" in answer ? answer : null;
}

/** The failure of a certificate that had to be valid; null: it is. */
function unverified(secured: Secured | null): Stage {
  if (secured?.verified === true) return null;
  const detail = `the certificate is not valid for the host (${secured?.problem ?? "no reason given"})`;
  return { kind: "tls", detail, reply: null };
}

/** Without TLS: fine, unless it is required. */
function unless(policy: Target["tls"], detail: string, reply: SmtpReply | null): Stage {
  return policy === "required" || policy === "verified" ? { kind: "tls", detail, reply } : null;
}
