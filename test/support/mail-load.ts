/**
 * Clients that submit mail for as long as they are told to, by SMTP and HTTP, and remember what was acknowledged. Each mail has
 * addresses of its own, so that what a receiver got can be held against what was promised. A mail that was not acknowledged is not
 * sent again: nobody promised anything about it.
 */

import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "../../sender/system-clock.ts";
import { SmtpTalker } from "./smtp-talker.ts";

export type Fate = "DELIVERED" | "BOUNCED";

export interface Probe {
  readonly number: number;
  /** Where the report on a bounce goes. */
  readonly returnPath: string;
  readonly recipients: readonly { readonly address: string; readonly fate: Fate }[];
  /** Message id by which it was acknowledged; null: it was not. */
  id: string | null;
}

export interface Doors {
  readonly smtpPort: number;
  readonly httpUrl: string;
}

export interface LoadOptions {
  /** Where to submit now; it may change when the relay is started again. */
  readonly doors: () => Doors;
  readonly smtpClients: number;
  readonly httpClients: number;
  /** Mails acknowledged before the clients stop. */
  readonly enough: number;
}

export interface Load {
  readonly probes: readonly Probe[];
  acknowledged(): readonly Probe[];
  /** Resolves when that many are acknowledged. */
  reached(count: number): Promise<void>;
  /** Submit no more: what is under way is finished. */
  stop(): Promise<void>;
  /** Resolves when the clients have stopped by themselves. */
  readonly done: Promise<void>;
}

const MAILS_PER_SESSION = 10;
const AFTER_FAILURE_MS = 30;
const HTTP_TIMEOUT_MS = 10 * SECOND;
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
  const acknowledge = (probe: Probe, id: string): void => {
    probe.id = id;
    count++;
  };
  const client = { doors: options.doors, isOver, next, acknowledge };
  const done = Promise.all([
    ...Array.from({ length: options.smtpClients }, () => smtpClient(client)),
    ...Array.from({ length: options.httpClients }, () => httpClient(client)),
  ]).then(() => undefined);
  return {
    probes,
    acknowledged: () => probes.filter(({ id }) => id !== null),
    async reached(wanted) {
      while (count < wanted && !isOver()) await systemClock.sleep(CHECK_MS);
    },
    async stop() {
      stopped = true;
      await done;
    },
    done,
  };
}

interface Client {
  readonly doors: () => Doors;
  readonly isOver: () => boolean;
  readonly next: () => Probe;
  readonly acknowledge: (probe: Probe, id: string) => void;
}

async function smtpClient(client: Client): Promise<void> {
  while (!client.isOver()) {
    const talker = SmtpTalker.connect(client.doors().smtpPort);
    try {
      await talker.reply();
      await talker.say("EHLO load.example");
      for (let sent = 0; sent < MAILS_PER_SESSION && !client.isOver(); sent++) {
        const probe = client.next();
        const id = await sendBySmtp(talker, probe);
        client.acknowledge(probe, id);
      }
      talker.write("QUIT\r\n");
    } catch {
      await systemClock.sleep(AFTER_FAILURE_MS); // the relay has just been killed, or drains
    } finally {
      talker.destroy();
    }
  }
}

/** The message id. Throws when the mail was not acknowledged. */
export async function sendBySmtp(talker: SmtpTalker, probe: Probe): Promise<string> {
  const { returnPath, recipients, number } = probe;
  const codes = await talker.sayAll(
    `MAIL FROM:<${returnPath}>`,
    ...recipients.map(({ address }) => `RCPT TO:<${address}>`),
    "DATA",
  );
  if (codes.some((code) => code >= 400)) throw new Error(`refused: ${codes.join(" ")}`);
  const { code, text } = await talker.say(`Subject: probe ${number}\r\n\r\nprobe ${number}\r\n.`);
  const [, id] = /queued as (\w+)/.exec(text) ?? [];
  if (code !== 250 || id === undefined) throw new Error(text);
  return id;
}

async function httpClient(client: Client): Promise<void> {
  while (!client.isOver()) {
    const probe = client.next();
    try {
      client.acknowledge(probe, await sendByHttp(client.doors().httpUrl, probe));
    } catch {
      await systemClock.sleep(AFTER_FAILURE_MS);
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
