/**
 * What a failure means: for the recipients (an `Outcome`), for the host we talked to, for our own egress address. Decided here
 * and nowhere else. What a *reply* means beyond its first digit is shared/domain/bounce-class.ts; whether to try again and
 * when is shared/domain/retry.ts.
 *
 * Nothing here bounces for a failure of ours or of the connection: only the peer's own 5yz does.
 */

import type { DeferCause, Outcome, Route } from "#shared/domain/outcome.ts";
import { deferred, outcomeOfReply } from "#shared/domain/outcome.ts";
import type { SmtpReply } from "#shared/domain/smtp-reply.ts";
import { printReply, replyClass } from "#shared/domain/smtp-reply.ts";

import type { Phase } from "./timeouts.ts";

/** Where a session stood when it failed; `idle`: between transactions. */
export type Place = Phase | "idle";

/**
 * Why a session, or a transaction on it, could not go on.
 * - `no-connection` TCP did not come up · `closed` the peer hung up or the network did · `timeout` it went silent
 * - `nonsense` it does not speak SMTP · `unasked` a reply that answers no command · `refused` its answer to what we need is no
 * - `tls` a TLS that we must have failed · `credentials` AUTH failed, or may not be tried · `given-up` the caller's signal
 * - `internal` a fault of ours
 */
export type Failure =
  | { kind: "no-connection"; code: string; detail: string }
  | { kind: "closed"; place: Place; detail: string | null }
  | { kind: "timeout"; place: Place }
  | { kind: "nonsense"; place: Place; detail: string }
  | { kind: "unasked"; place: Place; reply: SmtpReply }
  | { kind: "refused"; place: Place; reply: SmtpReply }
  | { kind: "tls"; detail: string; reply: SmtpReply | null }
  | { kind: "credentials"; detail: string; reply: SmtpReply | null }
  | { kind: "given-up"; place: Place; reason: unknown }
  | { kind: "internal"; place: Place; detail: string };

export interface Verdict {
  readonly outcome: Outcome;
  /** True: another host or IP address of the same destination may do better, at once. */
  readonly tryNextHost: boolean;
  /** The peer's IP: `down` it cannot be reached · `refusing` it answers and takes no mail from us now · `well` neither. */
  readonly host: "well" | "down" | "refusing";
  /** False: the egress address cannot be bound on this machine, or cannot reach that family of addresses. */
  readonly egressUsable: boolean;
}

/** Errors of connect(2) and bind(2) that tell of our egress address, not of the peer. */
const EGRESS_ERRORS = new Set(["EADDRNOTAVAIL", "EINVAL", "EAFNOSUPPORT", "EACCES", "EPERM"]);
/** Errors that tell of this process: out of ports, descriptors or memory. */
const LOCAL_ERRORS = new Set(["EADDRINUSE", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAGAIN"]);

/** A failure before the session was ready. */
export function verdictOf(failure: Failure, route: Route): Verdict {
  const outcome = outcomeOfFailure(failure, route);
  switch (failure.kind) {
    case "no-connection":
      return verdictOfConnectError(failure.code, outcome);
    case "timeout":
      return { outcome, tryNextHost: true, host: "down", egressUsable: true };
    case "closed": // at once after TCP came up: as often a limit on our address as a host in trouble
    case "nonsense":
    case "refused":
    case "unasked":
      return { outcome, tryNextHost: true, host: "refusing", egressUsable: true };
    case "tls":
      return { outcome, tryNextHost: true, host: "well", egressUsable: true };
    case "credentials": // the relay's other addresses know the same accounts
    case "given-up":
    case "internal":
      return { outcome, tryNextHost: false, host: "well", egressUsable: true };
  }
}

/** For recipients whose fate was open when it happened. */
export function outcomeOfFailure(failure: Failure, route: Route): Outcome {
  if (afterFinalDot(failure)) return deferred("ambiguous", detailOf(failure, route), route);
  switch (failure.kind) {
    case "no-connection":
      return deferred(
        LOCAL_ERRORS.has(failure.code) ? "internal" : "connect",
        detailOf(failure, route),
        route,
      );
    case "closed":
    case "nonsense":
      return deferred("protocol", detailOf(failure, route), route);
    case "timeout":
      return deferred("timeout", detailOf(failure, route), route);
    case "refused":
    case "unasked":
      return isMeant(failure)
        ? outcomeOfReply(failure.reply, route)
        : deferredOver("protocol", failure, route);
    case "tls":
      return deferredOver("tls", failure, route);
    case "credentials":
      return deferredOver("internal", failure, route); // the operator's trouble: not to be read as a refusal of the mail
    case "given-up":
      return deferred(isTimeout(failure.reason) ? "timeout" : "internal", detailOf(failure, route), route);
    case "internal":
      return deferred("internal", failure.detail, route);
  }
}

/** The dot was sent and no reply was read: the peer may have taken the mail. */
function afterFinalDot(failure: Failure): boolean {
  switch (failure.kind) {
    case "closed":
    case "timeout":
    case "nonsense":
    case "given-up":
    case "internal":
      return failure.place === "dot";
    default:
      return false;
  }
}

function verdictOfConnectError(code: string, outcome: Outcome): Verdict {
  if (LOCAL_ERRORS.has(code)) return { outcome, tryNextHost: false, host: "well", egressUsable: true };
  // The next host may be of the other family, or on a network that this address does reach.
  if (EGRESS_ERRORS.has(code)) return { outcome, tryNextHost: true, host: "well", egressUsable: false };
  return { outcome, tryNextHost: true, host: "down", egressUsable: true };
}

function deferredOver(
  cause: DeferCause,
  failure: Failure & { reply: SmtpReply | null },
  route: Route,
): Outcome {
  return { kind: "deferred", cause, reply: failure.reply, detail: detailOf(failure, route), route };
}

function detailOf(failure: Failure, route: Route): string {
  const peer = `${route.mx ?? "peer"} (${route.peer ?? "no address"})`;
  switch (failure.kind) {
    case "no-connection":
      return `no connection from ${route.egress ?? "any address"} to ${peer}: ${failure.detail}`;
    case "closed":
      return `${peer} closed the connection ${WHEN[failure.place]}${failure.detail === null ? "" : ` (${failure.detail})`}`;
    case "timeout":
      return `${peer} was silent for too long ${WHEN[failure.place]}`;
    case "nonsense":
      return `${peer} does not speak SMTP ${WHEN[failure.place]}: ${failure.detail}`;
    case "unasked":
      return `${peer} sent a reply that answers nothing ${WHEN[failure.place]}: ${printReply(failure.reply)}`;
    case "refused":
      return printReply(failure.reply);
    case "tls":
    case "credentials": {
      const reply = failure.reply ? `: ${printReply(failure.reply)}` : "";
      return `${peer}: ${failure.detail}${reply}`;
    }
    case "given-up":
      return isTimeout(failure.reason)
        ? `the time for one delivery was over ${WHEN[failure.place]} of ${peer}`
        : `we stopped ${WHEN[failure.place]} of ${peer}`;
    case "internal":
      return failure.detail;
  }
}

const WHEN: Readonly<Record<Place, string>> = {
  connect: "while connecting",
  tls: "in the TLS handshake",
  greeting: "before its greeting",
  ehlo: "before its reply to EHLO",
  starttls: "before its reply to STARTTLS",
  auth: "before its reply to AUTH",
  reset: "before its reply to RSET",
  mail: "before its reply to MAIL",
  rcpt: "before its reply to RCPT",
  data: "before its reply to DATA",
  block: "while taking the content",
  dot: "after the final dot and before its reply",
  quit: "before its reply to QUIT",
  idle: "between two mails",
};

/** True: the reply is about this mail. An unasked 5yz is so in the middle of the content only, and a 2yz refuses nothing. */
function isMeant(failure: Failure & { kind: "refused" | "unasked" }): boolean {
  const first = replyClass(failure.reply);
  return first === 4 || (first === 5 && (failure.kind === "refused" || failure.place === "block"));
}

/** True of the reason of `AbortSignal.timeout`. */
function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === "TimeoutError";
}
