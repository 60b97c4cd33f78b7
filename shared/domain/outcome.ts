/** What one delivery attempt to one recipient came to. Nothing else leaves the delivery pipeline. */

import type { SmtpReply } from "./smtp-reply.ts";
import { printReply, replyClass } from "./smtp-reply.ts";

/**
 * Why a recipient has to wait.
 * - `reply` the peer said 4yz · `dns` no answer or SERVFAIL · `connect` no connection to any host · `tls` a required TLS failed
 * - `timeout` the peer went silent · `protocol` the peer spoke nonsense or hung up before the final dot
 * - `ambiguous` the connection was lost after the final dot and before the reply: it may have been delivered, and is tried again
 * - `http` the server that the mail is posted to did not take it now
 * - `blocked` no egress address may talk to this site now · `plugin` an operator's plugin says so
 * - `internal` our own fault; never blames the recipient
 */
export type DeferCause =
  | "reply"
  | "dns"
  | "connect"
  | "tls"
  | "timeout"
  | "protocol"
  | "ambiguous"
  | "http"
  | "blocked"
  | "plugin"
  | "internal";

/**
 * Why a recipient will never be reached.
 * - `reply` the peer said 5yz · `null-mx` the domain takes no mail (RFC 7505) · `no-domain` NXDOMAIN, or no host at all
 * - `unroutable` every host is one we must not connect to · `too-large` over the peer's SIZE · `no-smtputf8` the peer cannot take it
 * - `http` the server that the mail is posted to refused it · `plugin` an operator's plugin says so
 */
export type BounceCause =
  "reply" | "null-mx" | "no-domain" | "unroutable" | "too-large" | "no-smtputf8" | "http" | "plugin";

/** Where an attempt went. Null: it did not get that far. */
export interface Route {
  /** Name of the MX or relay host. */
  readonly mx: string | null;
  /** IP address of the peer. */
  readonly peer: string | null;
  /** Our IP address. */
  readonly egress: string | null;
}

export type Outcome =
  | { kind: "delivered"; reply: SmtpReply; route: Route }
  | {
      kind: "deferred";
      cause: DeferCause;
      /** What the peer said; null when nothing. */
      reply: SmtpReply | null;
      /** Why, in words for the operator. */
      detail: string;
      route: Route;
      ruling?: Ruling;
      deferTimesMs?: DeferTimes;
    }
  | {
      kind: "bounced";
      cause: BounceCause;
      reply: SmtpReply | null;
      detail: string;
      /** Status for the DSN (RFC 3463), such as `5.1.2`. */
      status: string;
      route: Route;
      ruling?: Ruling;
      deferTimesMs?: DeferTimes;
    };

/** Waits between attempts that an operator's plugin has given when it saw how this one ended; left out: those of the zone. */
type DeferTimes = readonly number[];

/** What an operator's plugin says that an outcome means, in place of the rules. */
export interface Ruling {
  /** `drop`: it ends here, and nobody is told but by the event. */
  readonly action: "defer" | "reject" | "drop";
  /** Null: none is given. */
  readonly category: string | null;
}

export type Deferred = Extract<Outcome, { kind: "deferred" }>;

export const NO_ROUTE: Route = { mx: null, peer: null, egress: null };

/** Read the reply that decided a recipient's fate by its first digit (RFC 5321 §4.2.1). */
export function outcomeOfReply(reply: SmtpReply, route: Route): Outcome {
  switch (replyClass(reply)) {
    case 2:
      return { kind: "delivered", reply, route };
    case 4:
      return { kind: "deferred", cause: "reply", reply, detail: printReply(reply), route };
    case 5:
      return {
        kind: "bounced",
        cause: "reply",
        reply,
        detail: printReply(reply),
        status: reply.enhanced ?? "5.0.0",
        route,
      };
    default: // a confused peer, not a missing person: never bounce
      return {
        kind: "deferred",
        cause: "protocol",
        reply,
        detail: `unexpected reply ${printReply(reply)}`,
        route,
      };
  }
}

export function deferred(cause: DeferCause, detail: string, route: Route = NO_ROUTE): Deferred {
  return { kind: "deferred", cause, reply: null, detail, route };
}

export function bounced(
  cause: Exclude<BounceCause, "reply">,
  status: string,
  detail: string,
  route: Route = NO_ROUTE,
): Outcome {
  return { kind: "bounced", cause, reply: null, detail, status, route };
}
