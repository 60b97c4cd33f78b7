/**
 * A mail host for tests: the receiver of the sandbox with rules that a test may replace, the bytes of each mail, a record of what was
 * said, and counts of connections. Without rules of the test an address means what sender/sandbox/behaviour.ts says.
 */

import { createHash } from "node:crypto";

import type { Clock } from "#shared/domain/clock.ts";
import { MIB, SECOND } from "#shared/domain/units.ts";

import { greylist } from "../../sender/sandbox/behaviour.ts";
import { startReceiver } from "../../sender/sandbox/receiver.ts";
import type { ReadMessage, Receiver, Rules, Transaction } from "../../sender/sandbox/receiver.ts";
import { localPartRules } from "../../sender/sandbox/start-sandbox.ts";
import type { ReceivedMail } from "../../sender/sandbox/start-sandbox.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { patient } from "./patience.ts";

export interface FakeMxOptions {
  readonly port?: number;
  readonly host?: string;
  readonly clock?: Clock;
  readonly rules?: Partial<Rules>;
  readonly starttls?: boolean;
  readonly silenceMs?: number;
  readonly lateMs?: number;
}

export interface FakeMail extends ReceivedMail {
  /** As it came, dot-unstuffed; the first `MAX_BODY_BYTES` of it. */
  readonly body: Buffer;
}

export interface FakeMx extends Receiver, AsyncDisposable {
  /** Replace one to change what it does from then on. */
  readonly rules: Partial<Rules>;
  /** Mails that were accepted, in that order. */
  readonly mails: readonly FakeMail[];
  /** What was said, such as `MAIL a@b.example`, `RCPT c@d.example`, `DATA c@d.example,e@f.example`. */
  readonly said: readonly string[];
  /** Resolves when that many mails were accepted; rejects when they were not in time. */
  waitFor(count: number, patienceMs?: number): Promise<readonly FakeMail[]>;
}

const MAX_BODY_BYTES = 64 * MIB;
const MAX_GREYLISTED = 10_000;

export async function startFakeMx(options: FakeMxOptions = {}): Promise<FakeMx> {
  const { clock = systemClock, rules = {} } = options;
  const mails: FakeMail[] = [];
  const said: string[] = [];
  const waiting = new Set<() => void>();
  const receiver = await startReceiver({
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 0,
    clock,
    rules: recorded(said, rules, localPartRules(greylist(MAX_GREYLISTED))),
    read: (message, transaction) =>
      readWhole(message, transaction, (mail) => {
        mails.push({ ...mail, at: clock.now() });
        for (const look of waiting) look();
      }),
    onFault: (error) => {
      throw error;
    },
    starttls: options.starttls ?? false,
    silenceMs: options.silenceMs ?? 60 * SECOND,
    lateMs: options.lateMs ?? 50,
  });
  const close = (): Promise<void> => receiver.close();
  return {
    ...receiver,
    rules,
    mails,
    said,
    async waitFor(count, patienceMs = patient(20 * SECOND)) {
      const over = new AbortController();
      const enough = new Promise<void>((resolve) => {
        const look = (): void => {
          if (mails.length >= count) resolve();
        };
        waiting.add(look);
        look();
      });
      await Promise.race([enough, systemClock.sleep(patienceMs, over.signal)]);
      over.abort();
      if (mails.length < count) throw new Error(`${mails.length} mails of ${count} came in ${patienceMs} ms`);
      return mails;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Ask the test's rule where there is one, and write down what was said. */
function recorded(said: string[], rules: Partial<Rules>, otherwise: Rules): Rules {
  return {
    connect: (peer) => rules.connect?.(peer) ?? { do: "accept" },
    mail(transaction) {
      said.push(`MAIL ${transaction.returnPath ?? "<>"}`);
      return (rules.mail ?? otherwise.mail)(transaction);
    },
    recipient(recipient, transaction) {
      said.push(`RCPT ${recipient}`);
      return (rules.recipient ?? otherwise.recipient)(recipient, transaction);
    },
    message(transaction) {
      said.push(`DATA ${transaction.recipients.join(",")}`);
      return (rules.message ?? otherwise.message)(transaction);
    },
  };
}

async function readWhole(
  message: AsyncIterable<Buffer>,
  transaction: Transaction,
  taken: (mail: Omit<FakeMail, "at">) => void,
): Promise<ReadMessage> {
  const hash = createHash("sha256");
  const kept: Buffer[] = [];
  let size = 0;
  for await (const chunk of message) {
    hash.update(chunk);
    size += chunk.length;
    if (size <= MAX_BODY_BYTES) kept.push(chunk);
  }
  const sha256 = hash.digest("hex");
  return {
    keep() {
      const recipients = [...transaction.recipients];
      taken({ ...transaction, recipients, size, sha256, file: null, body: Buffer.concat(kept) });
      return Promise.resolve();
    },
    discard: () => Promise.resolve(),
  };
}
