/** Load: a child process that hands over mails by SMTP on some sessions at once and says when it began and ended. */

import { connect } from "node:net";
import type { Socket } from "node:net";

export interface SourceJob {
  readonly port: number;
  readonly messages: number;
  readonly bytes: number;
  readonly sessions: number;
  /** False: a new connection for each mail. */
  readonly reuse: boolean;
  readonly recipient: string;
}

export interface SourceReport {
  readonly startedAt: number;
  readonly acceptedAt: number;
  readonly accepted: number;
}

/** Give up on a system that says nothing for this long. */
const SILENCE_MS = 60_000;

/** A mail as an application sends it: a few headers, then lines of text up to `bytes`. */
export function sampleMail(bytes: number): Buffer {
  const head = [
    "From: Bench <bench@sender.example>",
    "To: Someone <someone@receiver.example>",
    "Subject: A mail to measure with",
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "",
  ].join("\r\n");
  const line = `${"The quick brown fox jumps over the lazy dog, again and again. ".padEnd(74, ".")}\r\n`;
  const lines = Math.max(1, Math.floor((bytes - head.length) / line.length));
  return Buffer.from(head + line.repeat(lines));
}

async function run(job: SourceJob): Promise<SourceReport> {
  const data = Buffer.concat([sampleMail(job.bytes), Buffer.from(".\r\n")]);
  const startedAt = Date.now();
  let left = job.messages;
  const next = (): boolean => left-- > 0;
  await Promise.all(Array.from({ length: job.sessions }, () => session(job, data, next)));
  return { startedAt, acceptedAt: Date.now(), accepted: job.messages };
}

async function session(job: SourceJob, data: Buffer, next: () => boolean): Promise<void> {
  let peer: Peer | null = null;
  while (next()) {
    peer ??= await greet(job.port);
    await peer.say("MAIL FROM:<bench@sender.example>\r\n", 250);
    await peer.say(`RCPT TO:<${job.recipient}>\r\n`, 250);
    await peer.say("DATA\r\n", 354);
    await peer.say(data, 250);
    if (job.reuse) continue;
    await peer.say("QUIT\r\n", 221);
    peer.close();
    peer = null;
  }
  if (!peer) return;
  await peer.say("QUIT\r\n", 221);
  peer.close();
}

interface Peer {
  say(data: string | Buffer, expected: number): Promise<void>;
  close(): void;
}

async function greet(port: number): Promise<Peer> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const reply = replies(socket);
  const peer: Peer = {
    async say(data, expected) {
      if (data.length > 0) socket.write(data);
      const code = await reply();
      if (code !== expected) throw new Error(`expected ${expected}, the system under test said ${code}`);
    },
    close: () => socket.destroy(),
  };
  await peer.say("", 220);
  await peer.say("EHLO bench.example\r\n", 250);
  return peer;
}

/** The code of the next whole reply, one caller at a time. */
function replies(socket: Socket): () => Promise<number> {
  let text = "";
  let waiting: { resolve: (code: number) => void; reject: (error: Error) => void } | null = null;
  const fail = (why: string): void => waiting?.reject(new Error(why));
  const look = (): void => {
    const last = /^(\d{3})(?: .*)?\r\n/m.exec(text);
    if (!last || !waiting) return;
    text = text.slice(last.index + last[0].length);
    waiting.resolve(Number(last[1]));
    waiting = null;
  };
  socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error("no reply for a minute")));
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => fail("the system under test closed the connection"));
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    look();
  });
  return () =>
    new Promise((resolve, reject) => {
      waiting = { resolve, reject };
      look();
    });
}

if (process.send) {
  process.once("message", (job: SourceJob) => {
    run(job).then(
      (report) => process.send?.(report),
      (error: unknown) => process.send?.({ error: String(error) }),
    );
  });
}
