/**
 * An SMTP receiver that does as it is told: rules decide on each MAIL, RCPT and message, a store takes the bytes. The sandbox and
 * the fake mail host of the tests are made of it.
 *
 * A message is read to its end in constant memory, and only then the rules are asked about it.
 */

import { once } from "node:events";
import type { AddressInfo } from "node:net";

import type { SMTPServerDataStream, SMTPServerSession } from "smtp-server";

import { domainOf, localPartOf, parseAddress } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { GIB } from "#shared/domain/units.ts";

import type { Verdict } from "./behaviour.ts";
import { PromptServer } from "./prompt-server.ts";

export interface Peer {
  readonly ip: string;
  readonly port: number;
  /** Empty: it has not said. */
  readonly helo: string;
  /** Name of the cipher; null: in clear. */
  readonly cipher: string | null;
}

/** What was said since MAIL. Domains are in A-labels. */
export interface Transaction {
  readonly sessionId: string;
  readonly peer: Peer;
  /** Null: `<>`. */
  readonly returnPath: string | null;
  /** ESMTP parameters of MAIL, names in upper case. */
  readonly parameters: Readonly<Record<string, string | true>>;
  /** Those that were accepted, in the order they came. */
  readonly recipients: readonly string[];
}

/** What is decided at each command. */
export interface Rules {
  connect?: (peer: Peer) => Verdict | Promise<Verdict>;
  mail: (transaction: Transaction) => Verdict | Promise<Verdict>;
  /** `transaction` is as it is before this recipient. */
  recipient: (recipient: string, transaction: Transaction) => Verdict | Promise<Verdict>;
  message: (transaction: Transaction) => Verdict | Promise<Verdict>;
}

/** A message that has been read. Exactly one of the two is called. */
export interface ReadMessage {
  /** It was accepted; resolves before the peer is told so. */
  keep(): Promise<void>;
  discard(): Promise<void>;
}

export interface ReceiverOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly clock: Clock;
  readonly rules: Rules;
  /** Reads the message to its end. When it rejects, the peer is told 451 and nothing is left behind. */
  readonly read: (message: AsyncIterable<Buffer>, transaction: Transaction) => Promise<ReadMessage>;
  readonly onFault: (error: unknown) => void;
  /** True: STARTTLS is offered, with the certificate that comes with smtp-server: everybody knows its key. */
  readonly starttls: boolean;
  /** How long a `silence` lasts before the connection is closed. */
  readonly silenceMs: number;
  /** How long an `accept-late` waits. */
  readonly lateMs: number;
}

export interface Receiver {
  readonly host: string;
  readonly port: number;
  readonly counts: ConnectionCounts;
  /** Cuts off all connections. */
  close(): Promise<void>;
}

interface ConnectionCounts {
  /** Since the start. */
  readonly opened: number;
  readonly open: number;
  readonly mostAtOnce: number;
}

/** The name in the greeting. */
const NAME = "sandbox.invalid";
/** With what a message is taken. */
const TAKEN = "2.0.0 Taken by the sandbox";
const MAX_CLIENTS = 10_000;
const MAX_RECIPIENTS = 10_000;
const MAX_MESSAGE_BYTES = 2 * GIB;

/** What is known of a connection. */
interface Session {
  readonly gone: AbortController;
  transaction: (Transaction & { readonly recipients: string[] }) | null;
}

/** The text is for the answer to a message. */
type Callback = (error: Error | null, text?: string) => void;

/** Resolves when it listens. */
export async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
  const sessions = new Map<string, Session>();
  const counts = { opened: 0, open: 0, mostAtOnce: 0 };
  const handlers = protocolHandlers(options, sessions, (sessionId) => server.hangUp(sessionId));
  const server = new PromptServer({
    name: NAME,
    banner: "ESMTP this receiver keeps mail for nobody",
    logger: false,
    authOptional: true,
    disableReverseLookup: true,
    disabledCommands: options.starttls ? ["AUTH"] : ["AUTH", "STARTTLS"],
    size: MAX_MESSAGE_BYTES,
    rejectOversized: true,
    maxClients: MAX_CLIENTS,
    maxRecipients: MAX_RECIPIENTS,
    onConnect(session, callback) {
      counts.opened++;
      counts.open++;
      counts.mostAtOnce = Math.max(counts.mostAtOnce, counts.open);
      sessions.set(session.id, { gone: new AbortController(), transaction: null });
      handlers.connect(session, callback);
    },
    onMailFrom: (from, session, callback) => handlers.mail(from, session, callback),
    onRcptTo: (to, session, callback) => handlers.recipient(to, session, callback),
    onData: (stream, session, callback) => handlers.message(stream, session, callback),
    onClose(session) {
      const closed = sessions.get(session.id);
      if (closed === undefined) return;
      counts.open--;
      sessions.delete(session.id);
      closed.gone.abort();
    },
  });
  server.on("error", () => undefined); // a peer that went away in the middle of a message, which is its right
  await listen(server, options);
  const { address, port } = server.server.address() as AddressInfo;
  return {
    host: address,
    port,
    counts,
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(resolve);
      });
      server.hangUpAll();
      await closed;
    },
  };
}

/** Ask the rules and do what they say. */
function protocolHandlers(
  { rules, read, clock, silenceMs, lateMs, onFault }: ReceiverOptions,
  sessions: ReadonlyMap<string, Session>,
  hangUp: (sessionId: string) => void,
) {
  /** Null: accepted. `gone`: there is nobody left to answer. */
  async function carryOut(verdict: Verdict, session: SMTPServerSession): Promise<Error | "gone" | null> {
    const gone = sessions.get(session.id)?.gone.signal ?? AbortSignal.abort();
    if (verdict.do === "accept") return null;
    if (verdict.do === "reply") return replyError(verdict);
    if (verdict.do === "accept-late") {
      await clock.sleep(lateMs, gone);
      return gone.aborted ? "gone" : null;
    }
    if (verdict.do === "silence") await clock.sleep(silenceMs, gone);
    hangUp(session.id);
    return "gone";
  }

  /** Answer by what `decide` says; an error of ours is 451. */
  async function answer(callback: Callback, decide: () => Promise<Error | "gone" | null>): Promise<void> {
    const result = await decide().catch((error: unknown) => {
      onFault(error);
      return replyError({ code: 451, text: "4.3.0 The sandbox could not take this; see its log" });
    });
    if (result !== "gone") callback(result, TAKEN);
  }

  return {
    connect(session: SMTPServerSession, callback: Callback): void {
      void answer(callback, async () =>
        carryOut((await rules.connect?.(peerOf(session))) ?? { do: "accept" }, session),
      );
    },
    mail(
      from: { address: string; args: Record<string, string | true> | false },
      session: SMTPServerSession,
      callback: Callback,
    ): void {
      const transaction = {
        sessionId: session.id,
        peer: peerOf(session),
        returnPath: from.address === "" ? null : plainAddress(from.address),
        parameters: from.args === false ? {} : from.args,
        recipients: [],
      };
      const state = sessions.get(session.id);
      if (state) state.transaction = transaction;
      void answer(callback, async () => carryOut(await rules.mail(transaction), session));
    },
    recipient(to: { address: string }, session: SMTPServerSession, callback: Callback): void {
      const recipient = plainAddress(to.address);
      void answer(callback, async () => {
        const transaction = sessions.get(session.id)?.transaction;
        if (!transaction) return "gone";
        const result = await carryOut(await rules.recipient(recipient, transaction), session);
        if (result === null) transaction.recipients.push(recipient);
        return result;
      });
    },
    message(stream: SMTPServerDataStream, session: SMTPServerSession, callback: Callback): void {
      void answer(callback, async () => {
        const transaction = sessions.get(session.id)?.transaction;
        if (!transaction) return "gone";
        const message = await readOrGone(() => read(stream, transaction), stream);
        if (message === "gone") return "gone";
        const result = await carryOut(await rules.message(transaction), session);
        await (result === null ? message.keep() : message.discard());
        return result;
      });
    },
  };
}

/** `gone`: the peer left before the end of its message. */
async function readOrGone(
  read: () => Promise<ReadMessage>,
  stream: SMTPServerDataStream,
): Promise<ReadMessage | "gone"> {
  try {
    return await read();
  } catch (error) {
    if (stream.errored) return "gone";
    stream.resume(); // what is left of the message has to be read before anything can be answered
    throw error;
  }
}

function replyError({ code, text }: { code: number; text: string }): Error {
  return Object.assign(new Error(text), { responseCode: code });
}

function peerOf(session: SMTPServerSession): Peer {
  return {
    ip: session.remoteAddress,
    port: session.remotePort,
    helo: session.hostNameAppearsAs || "",
    cipher: session.tlsOptions ? session.tlsOptions.name : null,
  };
}

/** smtp-server gives domains in U-labels; what is no address by our rules stays as it is. */
function plainAddress(text: string): string {
  const address = parseAddress(text);
  return address === null ? text : `${localPartOf(address)}@${domainOf(address)}`;
}

async function listen(server: PromptServer, { host, port }: { host: string; port: number }): Promise<void> {
  try {
    const listening = once(server.server, "listening");
    server.listen(port, host);
    await listening;
  } catch (error) {
    throw new Error(`the sandbox receiver cannot listen on ${host}:${port}`, { cause: error });
  }
}
