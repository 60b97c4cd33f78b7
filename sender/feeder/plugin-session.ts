/** One SMTP session as plugins see it, and what their hooks on its commands come to: null, or the reply that refuses the command. */

import type { MessageId } from "#shared/domain/ids.ts";
import type { Origin } from "#shared/domain/message.ts";
import { RefusedError } from "#shared/domain/errors.ts";
import type { HookArguments } from "#shared/plugins/hooks.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import { DroppedError } from "#shared/plugins/verdict.ts";
import type { AddressArgs, SessionView } from "#shared/plugins/views.ts";
import type { FeederLog } from "./context.ts";
import type { Reply } from "./reply.ts";

type SessionHook = "smtp:connect" | "smtp:mail_from" | "smtp:rcpt_to";

const FAILED: Reply = { code: 451, text: "4.3.0 Cannot check this now, try again later" };
const DROPPED = "2.0.0 OK";

/** Read anew before each hook, since a session changes with its commands. */
export type SessionNow = () => {
  readonly id: string;
  readonly origin: Origin;
  readonly secure: boolean;
};

/** The parts of a view that only this file changes. */
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class PluginSession {
  readonly #plugins: Plugins;
  readonly #newMessageId: () => MessageId;
  readonly #now: SessionNow;
  readonly #log: FeederLog;
  readonly #view: Mutable<SessionView>;
  #rcptTo: AddressArgs[] = [];

  constructor(deps: { plugins: Plugins; newMessageId: () => MessageId; log: FeederLog }, now: SessionNow) {
    this.#plugins = deps.plugins;
    this.#newMessageId = deps.newMessageId;
    this.#log = deps.log;
    this.#now = now;
    const { id, origin } = now();
    this.#view = {
      id,
      interface: origin.interface,
      remoteAddress: origin.ip,
      clientHostname: null,
      hostNameAppearsAs: null,
      transmissionType: origin.protocol,
      user: null,
      secure: false,
      envelopeId: null,
      envelope: { mailFrom: null, rcptTo: [] },
    };
  }

  /** As it is now. The same object each time: plugins may have put something on it. */
  view(): SessionView {
    const { origin, secure } = this.#now();
    return Object.assign(this.#view, {
      remoteAddress: origin.ip,
      clientHostname: origin.host,
      hostNameAppearsAs: origin.helo,
      transmissionType: origin.protocol,
      user: origin.user,
      secure,
    });
  }

  has(hook: SessionHook): boolean {
    return this.#plugins.has(hook);
  }

  connected(): Promise<Reply | null> {
    return this.#run("smtp:connect", this.view());
  }

  /** A mail begins. What the session's plugins have said of the one before is over, but for what they put on the session. */
  begin(command: string, address: string): Promise<Reply | null> {
    const mailFrom = { address, args: argsOf(command) };
    this.#rcptTo = [];
    this.#view.envelopeId = this.#newMessageId();
    this.#view.envelope = { mailFrom, rcptTo: this.#rcptTo };
    return this.#run("smtp:mail_from", mailFrom, this.view());
  }

  /** Costs nothing to wait for where no hook asks about recipients. */
  async recipient(command: string, address: string): Promise<Reply | null> {
    const rcptTo = { address, args: argsOf(command) };
    const reply = this.#plugins.has("smtp:rcpt_to")
      ? await this.#run("smtp:rcpt_to", rcptTo, this.view())
      : null;
    if (reply === null) this.#rcptTo.push(rcptTo);
    return reply;
  }

  async #run<N extends SessionHook>(name: N, ...args: HookArguments[N]): Promise<Reply | null> {
    try {
      await this.#plugins.run(name, ...args);
      return null;
    } catch (error) {
      if (error instanceof RefusedError) return error.reply;
      if (error instanceof DroppedError) return { code: 250, text: error.text ?? DROPPED };
      this.#log.error({ sessionId: this.#view.id, hook: name, err: error }, "hook failed");
      return FAILED;
    }
  }
}

const PARAMETER = /^([A-Za-z0-9-]+)(?:=(.*))?$/;

/** What follows the address. The command has been read before, so it is well formed. */
function argsOf(command: string): AddressArgs["args"] {
  const rest = command.slice(command.lastIndexOf(">") + 1).trim();
  if (rest === "") return {};
  const pairs = rest.split(/\s+/).flatMap((part): [string, string | true][] => {
    const match = PARAMETER.exec(part);
    return match ? [[(match[1] as string).toUpperCase(), match[2] ?? true]] : [];
  });
  return Object.fromEntries(pairs);
}
