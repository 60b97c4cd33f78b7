/**
 * The built-in receiver for mail that can have no real one (shared/domain/reserved-names.ts): a mail host on this machine that
 * treats each address as its local part says (behaviour.ts), keeps the newest mails as files and remembers what it took.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";

import { ACCEPT, greylist, verdictOn } from "./behaviour.ts";
import type { Greylist } from "./behaviour.ts";
import { measure, openMailFolder } from "./mail-folder.ts";
import type { MailFolder, MailFolderLimits, UnfiledMail } from "./mail-folder.ts";
import { startReceiver } from "./receiver.ts";
import type { Peer, ReadMessage, Receiver, Rules, Transaction } from "./receiver.ts";

export interface SandboxOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Where mails are kept as files; null: they are not. */
  readonly folder: string | null;
  readonly clock: Clock;
  readonly log: SandboxLog;
  readonly starttls?: boolean;
  readonly folderLimits?: MailFolderLimits;
  /** How long a `timeout-…` address keeps silent before the connection is closed. */
  readonly silenceMs?: number;
  /** How long a `slow` address takes. */
  readonly slowMs?: number;
}

/** The part of pino that is used here. */
interface SandboxLog {
  info(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
}

/** One message that was accepted: one transaction, however many recipients. */
export interface ReceivedMail {
  readonly at: EpochMs;
  readonly sessionId: string;
  readonly peer: Peer;
  /** Null: `<>`. */
  readonly returnPath: string | null;
  /** ESMTP parameters of MAIL, names in upper case. */
  readonly parameters: Readonly<Record<string, string | true>>;
  readonly recipients: readonly string[];
  /** Bytes after dot-unstuffing. */
  readonly size: number;
  /** Of those bytes, in hex. */
  readonly sha256: string;
  /** Name in the folder; null: not kept. */
  readonly file: string | null;
}

export interface Sandbox extends Receiver {
  /** The newest mails, oldest first: at most `MAX_REMEMBERED`, with at most `MAX_REMEMBERED_RECIPIENTS` in all. */
  received(): readonly ReceivedMail[];
}

const MAX_REMEMBERED = 1_000;
const MAX_REMEMBERED_RECIPIENTS = 50_000;
const MAX_GREYLISTED = 10_000;
/** Longer than a sender should wait for any reply but the one to the final dot (RFC 5321 §4.5.3.2). */
const SILENCE_MS = 6 * MINUTE;
const SLOW_MS = 3 * SECOND;

/** Resolves when it listens. Rejects when the port is taken or the folder cannot be written. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { clock, log } = options;
  const folder = options.folder === null ? null : await openMailFolder(options.folder, options.folderLimits);
  const memory = mailMemory();
  const remember = (mail: ReceivedMail): void => {
    memory.add(mail);
    const { sessionId, size, sha256, recipients } = mail;
    const fields = { sessionId, bytes: size, sha256, recipients: recipients.length, peer: mail.peer.ip };
    log.info({ component: "sandbox", ...fields }, "sandbox received mail");
  };
  const receiver = await startReceiver({
    host: options.host,
    port: options.port,
    clock,
    rules: localPartRules(greylist(MAX_GREYLISTED)),
    read: mailReader({ folder, clock, remember }),
    onFault: (err) => log.error({ component: "sandbox", err }, "sandbox failed to take mail"),
    starttls: options.starttls ?? false,
    silenceMs: options.silenceMs ?? SILENCE_MS,
    lateMs: options.slowMs ?? SLOW_MS,
  });
  return { ...receiver, received: memory.list };
}

function mailMemory() {
  const mails: ReceivedMail[] = [];
  let recipients = 0;
  return {
    add(mail: ReceivedMail): void {
      mails.push(mail);
      recipients += mail.recipients.length;
      while (mails.length > MAX_REMEMBERED || recipients > MAX_REMEMBERED_RECIPIENTS) {
        recipients -= mails.shift()?.recipients.length ?? 0;
      }
    },
    list: (): readonly ReceivedMail[] => [...mails],
  };
}

/** The rules of behaviour.ts. Of several recipients that want something of the message, the first is obeyed. */
export function localPartRules(list: Greylist): Rules {
  const contextOf = ({ returnPath, peer }: Transaction) => ({
    returnPath,
    clientIp: peer.ip,
    greylist: list,
  });
  return {
    mail: (transaction) => verdictOn(transaction.returnPath ?? "", "mail", contextOf(transaction)),
    recipient: (recipient, transaction) => verdictOn(recipient, "rcpt", contextOf(transaction)),
    message: (transaction) =>
      transaction.recipients
        .map((recipient) => verdictOn(recipient, "data", contextOf(transaction)))
        .find((verdict) => verdict !== ACCEPT) ?? ACCEPT,
  };
}

/** Reads a message into the folder, or only measures it, and remembers it once it is accepted. */
function mailReader({
  folder,
  clock,
  remember,
}: {
  folder: MailFolder | null;
  clock: Clock;
  remember: (mail: ReceivedMail) => void;
}) {
  return async (message: AsyncIterable<Buffer>, transaction: Transaction): Promise<ReadMessage> => {
    const unfiled = folder ? await folder.write(message) : notKept(await measure(message));
    return {
      async keep() {
        const { sessionId, peer, returnPath, parameters } = transaction;
        const recipients = [...transaction.recipients];
        const { size, sha256 } = unfiled;
        const at = clock.now();
        const mail = { at, sessionId, peer, returnPath, parameters, recipients, size, sha256 };
        const file = await unfiled.file({ at, recipient: recipients[0] ?? "nobody", envelope: mail });
        remember({ ...mail, file });
      },
      discard: () => unfiled.discard(),
    };
  };
}

function notKept(measured: { size: number; sha256: string }): UnfiledMail {
  return { ...measured, file: () => Promise.resolve(null), discard: () => Promise.resolve() };
}
