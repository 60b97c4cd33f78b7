/** How long an SMTP client waits for what: one table, so that no wait is without an end and tests can set their own. */

import { MINUTE, SECOND } from "#shared/domain/units.ts";

/**
 * What we wait for.
 * - `connect` TCP · `tls` handshake · `greeting` `ehlo` `starttls` `auth` `reset` `mail` `rcpt` `data` the reply to each
 * - `block` room for the next piece of the content, or that piece from our own store · `dot` the reply after the final dot
 */
export type Phase =
  | "connect"
  | "tls"
  | "greeting"
  | "ehlo"
  | "starttls"
  | "auth"
  | "reset"
  | "mail"
  | "rcpt"
  | "data"
  | "block"
  | "dot"
  | "quit";

/** Milliseconds. */
export type Timeouts = Readonly<Record<Phase, number>>;

/** RFC 5321 §4.5.3.2 where it names a time. An overall deadline is the caller's AbortSignal. */
export const DEFAULT_TIMEOUTS: Timeouts = {
  connect: 30 * SECOND, // Linux tries for 127 s; a host that answers at all does so in the first seconds
  tls: MINUTE,
  greeting: 5 * MINUTE,
  ehlo: 5 * MINUTE,
  starttls: 2 * MINUTE,
  auth: 5 * MINUTE,
  reset: 5 * MINUTE,
  mail: 5 * MINUTE,
  rcpt: 5 * MINUTE,
  data: 2 * MINUTE,
  block: 3 * MINUTE,
  dot: 10 * MINUTE, // shorter makes duplicates: the peer may have taken the mail already
  quit: 5 * SECOND, // a courtesy, nothing depends on the answer
};

/**
 * Timers as a session sets them: three per mail, so plain callbacks and not `Clock.sleep`, whose promise and signal per wait
 * would cost more than the rest of a transaction.
 */
export interface Timers {
  set(ms: number, onTime: () => void): NodeJS.Timeout;
  clear(timer: NodeJS.Timeout): void;
}

export const systemTimers: Timers = { set: (ms, onTime) => setTimeout(onTime, ms), clear: clearTimeout };
