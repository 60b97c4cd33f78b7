/** What the sessions of one SMTP interface share. */

import type { Login } from "#shared/app/credentials.ts";
import type { Submit } from "#shared/app/submission.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { SmtpInterface } from "#shared/domain/config.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import type { Srs } from "#shared/domain/srs.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { SenderDirectory } from "#shared/ports/sender-directory.ts";
import type { PluginSession } from "./plugin-session.ts";

export interface FeederContext {
  readonly interface: SmtpInterface;
  readonly hostname: string;
  readonly submit: Submit;
  /** Asked about each sender at MAIL; null: nobody is. */
  readonly senders: SenderDirectory | null;
  /** Whose addresses of ours lead back to senders; null: there are none. */
  readonly srs: Srs | null;
  /** Null: there are none. */
  readonly plugins: Plugins | null;
  readonly newMessageId: () => MessageId;
  /** What plugins see of a session, by the session of smtp-server. */
  readonly pluginSessions: WeakMap<object, PluginSession>;
  /** Peers whose XCLIENT and XFORWARD are taken. */
  readonly believes: {
    readonly xclient: (peer: string) => boolean;
    readonly xforward: (peer: string) => boolean;
  };
  /** The login of an account whose password somebody else has checked; null: there is no such account. */
  readonly accountLogin: (user: string) => Promise<Login | null>;
  readonly clock: Clock;
  readonly log: FeederLog;
  readonly metrics: FeederMetrics;
  /** True: nothing new is taken. */
  readonly draining: () => boolean;
}

/** The part of pino that is used here. */
export interface FeederLog {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
}

export interface FeederMetrics {
  sessionOpened(): void;
  sessionClosed(): void;
  /** `durationMs` from DATA to the reply. */
  accepted(message: { bytes: number; recipients: number; durationMs: number }): void;
  /** A message was refused after DATA with this reply code. */
  refused(code: number): void;
  authFailed(): void;
}
