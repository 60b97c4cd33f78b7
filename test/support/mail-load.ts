/**
 * Clients that submit mail for as long as they are told to, by SMTP, LMTP and HTTP, and remember what was acknowledged. Each mail has
 * addresses of its own, so that what a receiver got can be held against what was promised. A mail that was not acknowledged is not
 * sent again: nobody promised anything about it.
 */

import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { patient } from "./patience.ts";
import { SmtpTalker } from "./smtp-talker.ts";
import type { ReplyRead } from "./smtp-talker.ts";

export type Fate = "DELIVERED" | "BOUNCED";
export type Door = "SMTP" | "LMTP" | "HTTP";

export interface Probe {
  readonly number: number;
  /** Where the report on a bounce goes. */
  readonly returnPath: string;
  readonly recipients: readonly { readonly address: string; readonly fate: Fate }[];
  /** Message id by which it was acknowledged; null: it was not. */
  id: string | null;
  /** Where it was acknowledged; left out: it was not. */
  door?: Door;
}

export interface Doors {
  readonly smtpPort: number;
  /** Left out: nobody speaks LMTP. */
  readonly lmtpPort?: number;
  readonly httpUrl: string;
}

export interface LoadOptions {
  /** Where to submit now; it may change when the relay is started again. */
  readonly doors: () => Doors;
  readonly smtpClients: number;
  /** Default 0. */
  readonly lmtpClients?: number;
  readonly httpClients: number;
  /** Mails acknowledged before the clients stop. */
  readonly enough: number;
}

/** Stops at the end of its scope. */
export interface Load extends AsyncDisposable {
  readonly probes: readonly Probe[];
  acknowledged(): readonly Probe[];
  /** Why mails were not acknowledged, in the words of the relay or of the operating system. */
  readonly failures: readonly string[];
  /** Resolves when that many are acknowledged. */
  reached(count: number): Promise<void>;
  /** Submit no more: what is under way is finished. */
  stop(): Promise<void>;
  /** Resolves when the clients have stopped by themselves. */
  readonly done: Promise<void>;
}

const MAILS_PER_SESSION = 10;
const AFTER_FAILURE_MS = 30;
const HTTP_TIMEOUT_MS = patient(10 * SECOND);
const CHECK_MS = 5;

export function startLoad(options: LoadOptions): Load {
  const probes: Probe[] = [];
  let count = 0;
  let stopped = false;
  const isOver = (): boolean => stopped || count >= options.enough;
  const next = (): Probe => {
    const made = probeOf(probes.length);
    probes.push(made);
    return made;
  };
  const acknowledge = (probe: Probe, id: string, door: Door): void => {
    probe.id = id;
    probe.door = door;
    count++;
  };
  const failures: string[] = [];
  const fail = async (error: unknown): Promise<void> => {
    failures.push(inWords(error));
    await systemClock.sleep(AFTER_FAILURE_MS);
  };
  const client = { doors: options.doors, isOver, next, acknowledge, fail };
  const done = Promise.all([
    ...Array.from({ length: options.smtpClients }, () => smtpClient(client, "SMTP")),
    ...Array.from({ length: options.lmtpClients ?? 0 }, () => smtpClient(client, "LMTP")),
    ...Array.from({ length: options.httpClients }, () => httpClient(client)),
  ]).then(() => undefined);
  const stop = async (): Promise<void> => {
    stopped = true;
    await done;
  };
  return {
    probes,
    failures,
    acknowledged: () => probes.filter(({ id }) => id !== null),
    async reached(wanted) {
      while (count < wanted && !isOver()) await systemClock.sleep(CHECK_MS);
    },
    stop,
    done,
    [Symbol.asyncDispose]: stop,
  };
}

interface Client {
  readonly doors: () => Doors;
  readonly isOver: () => boolean;
  readonly next: () => Probe;
  readonly acknowledge: (probe: Probe, id: string, door: Door) => void;
  /** Resolves when it is time to go on. */
  readonly fail: (error: unknown) => Promise<void>;
}

function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${inWords(error.cause)}`;
}

async function smtpClient(client: Client, protocol: Exclude<Door, "HTTP">): Promise<void> {
  while (!client.isOver()) {
    const { smtpPort, lmtpPort = 0 } = client.doors();
    const talker = SmtpTalker.connect(protocol === "SMTP" ? smtpPort : lmtpPort);
    try {
      await hear(talker.reply());
      await hear(talker.say(`${protocol === "SMTP" ? "EHLO" : "LHLO"} load.example`));
      for (let sent = 0; sent < MAILS_PER_SESSION && !client.isOver(); sent++) {
        const probe = client.next();
        const id = await sendBySmtp(talker, probe);
        client.acknowledge(probe, id, protocol);
        // the other recipients' (RFC 2033 §4.2): a mail is taken for all of them or for none
        if (protocol === "LMTP") for (const _ of probe.recipients.slice(1)) await hear(talker.reply());
      }
      talker.write("QUIT\r\n");
    } catch (error) {
      await client.fail(error);
    } finally {
      talker.destroy();
    }
  }
}

/** The message id. Throws when the mail was not acknowledged. */
export async function sendBySmtp(talker: SmtpTalker, probe: Probe): Promise<string> {
  const { returnPath, recipients, number } = probe;
  const rcpts = recipients.map(({ address }) => `RCPT TO:<${address}>`);
  for (const line of [`MAIL FROM:<${returnPath}>`, ...rcpts, "DATA"]) await hear(talker.say(line));
  const { text } = await hear(talker.say(`Subject: probe ${number}\r\n\r\nprobe ${number}\r\n.`));
  const [, id] = /queued as (\w+)/.exec(text) ?? [];
  if (id === undefined) throw new Error(`no message id in: ${text}`);
  return id;
}

/** Throws with what was said when it was no. */
async function hear(reply: Promise<ReplyRead>): Promise<ReplyRead> {
  const said = await reply;
  if (said.code >= 400) throw new Error(said.text);
  return said;
}

async function httpClient(client: Client): Promise<void> {
  while (!client.isOver()) {
    const probe = client.next();
    try {
      client.acknowledge(probe, await sendByHttp(client.doors().httpUrl, probe), "HTTP");
    } catch (error) {
      await client.fail(error);
    }
  }
}

/** The message id. Throws when the mail was not acknowledged. */
export async function sendByHttp(httpUrl: string, probe: Probe): Promise<string> {
  const { returnPath, recipients, number } = probe;
  const to = recipients.map(({ address }) => address);
  const response = await fetch(`${httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ from: returnPath, to, subject: `probe ${number}`, text: `probe ${number}` }),
    signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
  });
  const answer = (await response.json()) as { id: string };
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer.id;
}

/** Of ten mails one is greylisted, one bounces, one has a recipient that bounces, one goes to many; the others are plain. */
export function probeOf(number: number): Probe {
  const one = (local: string, fate: Fate = "DELIVERED") => ({
    address: `${local}-${number}@probe${number % 7}.test`,
    fate,
  });
  const recipients = {
    1: [one("greylist")],
    3: [one("550-rcpt", "BOUNCED")],
    5: [one("plain"), one("550-rcpt", "BOUNCED"), one("greylist")],
    7: Array.from({ length: 5 }, (_, i) => one(`many.${i}`)),
  }[number % 10] ?? [one("plain")];
  return { number, returnPath: `sender-${number}@origin.test`, recipients, id: null };
}
