/** A client that says exactly what it is told, byte for byte, and reads replies: for what no real client would say. */

import assert from "node:assert/strict";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import { patient } from "./patience.ts";
import { TEST_CERT } from "./test-certificate.ts";

/** No reply for this long fails the test. */
const PATIENCE_MS = patient(10_000);

export interface ReplyRead {
  readonly code: number;
  /** Without the code, one per line. */
  readonly lines: readonly string[];
  /** All of it, lines parted by newlines: `250-one\n250 two`. */
  readonly text: string;
}

const REPLY_LINE = /^([2-5]\d\d)([ -])([\x20-\x7e]*)$/;

export class SmtpTalker {
  #socket: Socket;
  #received = "";
  #closed = false;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen();
  }

  static connect(port: number): SmtpTalker {
    return new SmtpTalker(connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
  }

  static connectTls(port: number, before?: Buffer | string): SmtpTalker {
    const socket = connect({ port, host: "127.0.0.1" });
    if (before !== undefined) socket.write(before);
    return new SmtpTalker(connectTls({ socket, ca: TEST_CERT, servername: "localhost" }));
  }

  /** Connect and read the greeting. */
  static async greeted(port: number): Promise<SmtpTalker> {
    const talker = SmtpTalker.connect(port);
    assert.equal((await talker.reply()).code, 220);
    return talker;
  }

  /** Greeted, and EHLO said. */
  static async ready(port: number): Promise<SmtpTalker> {
    const talker = await SmtpTalker.greeted(port);
    assert.equal((await talker.say("EHLO client.example")).code, 250);
    return talker;
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  write(bytes: string | Buffer): void {
    this.#socket.write(bytes);
  }

  /** Write, then wait until the operating system has taken it all. */
  writeAll(bytes: string | Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  async say(line: string): Promise<ReplyRead> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /** Several lines, one reply to each, in order. Returns the codes. */
  async sayAll(...lines: string[]): Promise<number[]> {
    const codes: number[] = [];
    for (const line of lines) codes.push((await this.say(line)).code);
    return codes;
  }

  /** MAIL, RCPT, DATA and a message. Returns the last reply. */
  async mail(content = "Subject: hello\r\n\r\nhello\r\n"): Promise<ReplyRead> {
    assert.deepEqual(
      await this.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA"),
      [250, 250, 354],
    );
    return this.say(`${content}.`);
  }

  /** The next reply. Fails on a line that is none, on the end of the connection, and when it takes too long. */
  async reply(): Promise<ReplyRead> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.line();
      const match = REPLY_LINE.exec(line);
      assert.ok(match, `not a line of a reply: ${JSON.stringify(line)}`);
      lines.push(line);
      if (match[2] !== " ") continue;
      return { code: Number(match[1]), lines: lines.map((text) => text.slice(4)), text: lines.join("\n") };
    }
  }

  /** Waits for the server to close. Returns what it had sent that was not read. */
  async closed(): Promise<string> {
    while (!this.#closed) await this.#more("the end of the connection");
    return this.#received;
  }

  /** Close our side; replies can still be read. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Go away with a reset: the server can see that nobody is there to read. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  /** After 220 to STARTTLS. */
  async upgrade(): Promise<void> {
    const raw = this.#socket;
    raw.removeAllListeners();
    const secured = connectTls({ socket: raw, ca: TEST_CERT, servername: "localhost" });
    await new Promise<void>((resolve, reject) => {
      secured.once("secureConnect", resolve);
      secured.once("error", reject);
    });
    this.#socket = secured;
    this.#listen();
  }

  #listen(): void {
    this.#socket.on("data", (chunk: Buffer) => {
      this.#received += chunk.toString("latin1");
      this.#wake?.();
    });
    const over = (): void => {
      this.#closed = true;
      this.#wake?.();
    };
    this.#socket.on("end", over);
    this.#socket.on("close", over);
    this.#socket.on("error", over);
  }

  /** The next line of a reply, without its CRLF. */
  async line(): Promise<string> {
    let end = this.#received.indexOf("\r\n");
    while (end === -1) {
      assert.ok(!this.#closed, `closed while a reply was due, after ${JSON.stringify(this.#received)}`);
      await this.#more("a reply");
      end = this.#received.indexOf("\r\n");
    }
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 2);
    return line;
  }

  #more(what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), PATIENCE_MS);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }
}
