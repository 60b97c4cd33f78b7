/**
 * An SMTP server that says what a test tells it to, byte for byte, right or wrong. `fake-mx` is for peers that behave; this one
 * is for those that do not.
 *
 *   await using peer = await scriptedPeer(answering({ RCPT: "550 5.1.1 no such user" }));
 *   await using peer = await scriptedPeer(async (talk) => { talk.say("220 hi"); await talk.line(); talk.hangUp(); });
 */

import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { TLSSocketOptions } from "node:tls";

export const TEST_KEY = readFileSync(new URL("../data/tls/test-only-key.pem", import.meta.url), "utf8");
export const TEST_CERT = readFileSync(new URL("../data/tls/test-only-cert.pem", import.meta.url), "utf8");

export type Script = (talk: Talk) => Promise<void>;

export interface ScriptedPeer extends AsyncDisposable {
  readonly port: number;
  /** One for each connection, in order. */
  readonly talks: readonly Talk[];
  /** The command lines of all connections, in order. */
  readonly lines: readonly string[];
  /** The contents between DATA and the lone dot, dot included, as on the wire. */
  readonly contents: readonly Buffer[];
}

/** Each connection plays the script, or the script of its own number when there are several; the last one is for the rest. */
export async function scriptedPeer(...scripts: readonly [Script, ...Script[]]): Promise<ScriptedPeer> {
  const talks: Talk[] = [];
  const lines: string[] = [];
  const contents: Buffer[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    const talk = new Talk(socket, { lines, contents });
    talks.push(talk);
    const script = scripts[Math.min(talks.length, scripts.length) - 1] as Script;
    script(talk).catch((error: unknown) => {
      if (!(error instanceof Gone)) throw error;
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    talks,
    lines,
    contents,
    async [Symbol.asyncDispose]() {
      for (const talk of talks) talk.reset();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** The client hung up: the end of a script, not an error. */
class Gone extends Error {}

/** The peer's side of one connection. */
export class Talk {
  /** All that came, in clear or decrypted. */
  received = Buffer.alloc(0);
  /** Server name of the TLS handshake; null: none was sent. */
  servername: string | null = null;
  /** True: the client ended the connection. */
  ended = false;

  #socket: Socket;
  #unread = Buffer.alloc(0);
  #waiters: (() => void)[] = [];
  readonly #log: { lines: string[]; contents: Buffer[] };

  constructor(socket: Socket, log: { lines: string[]; contents: Buffer[] }) {
    this.#socket = socket;
    this.#log = log;
    this.#listen();
  }

  /** Send lines; the last one gets its CRLF too. */
  say(text: string): void {
    this.raw(`${text}\r\n`);
  }

  raw(bytes: string | Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** One byte a packet. */
  async drip(text: string): Promise<void> {
    for (const byte of Buffer.from(text)) {
      this.raw(Buffer.of(byte));
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  /** The next command line, without CRLF. Throws when the client hung up, which ends the script. */
  async line(): Promise<string> {
    const line = (await this.#until("\r\n")).toString("utf8").slice(0, -2);
    this.#log.lines.push(line);
    return line;
  }

  /** What comes up to the lone dot, which is included. */
  async content(): Promise<Buffer> {
    const lone = this.#unread.length === 0 ? await this.#more(3) : this.#unread;
    const content = lone.subarray(0, 3).equals(Buffer.from(".\r\n"))
      ? this.#take(3)
      : await this.#until("\r\n.\r\n");
    this.#log.contents.push(content);
    return content;
  }

  /** Commands that came already and were not read. */
  get pending(): string {
    return this.#unread.toString("utf8");
  }

  /** Wait until `count` bytes in all have come. */
  async bytes(count: number): Promise<void> {
    while (this.received.length < count) await this.#moreData();
  }

  /** Wait until the client has hung up. */
  async end(): Promise<void> {
    while (!this.ended) {
      await this.#moreData().catch((error: unknown) => {
        if (!(error instanceof Gone)) throw error;
      });
    }
  }

  /** Read nothing more: the client's writes fill up. */
  deafen(): void {
    this.#socket.pause();
  }

  hangUp(): void {
    this.#socket.end();
  }

  /** Close at once; what is on its way is lost. */
  reset(): void {
    this.#socket.destroy();
  }

  /** Be the server of a TLS handshake from the next byte on. */
  async startTls(options: TLSSocketOptions = {}): Promise<void> {
    this.#socket.removeAllListeners("data");
    const secure = new TLSSocket(this.#socket, {
      isServer: true,
      key: TEST_KEY,
      cert: TEST_CERT,
      SNICallback: (name, done) => {
        this.servername = name;
        done(null);
      },
      ...options,
    });
    this.#socket = secure;
    this.#unread = Buffer.alloc(0);
    this.#listen();
    await new Promise<void>((resolve, reject) => {
      secure.once("secure", resolve).once("close", () => reject(new Gone()));
    });
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#unread = Buffer.concat([this.#unread, chunk]);
      this.#wake();
    });
    const onGone = (): void => {
      this.ended = true;
      this.#wake();
    };
    socket
      .on("error", () => undefined)
      .on("end", onGone)
      .on("close", onGone);
  }

  async #until(end: string): Promise<Buffer> {
    while (!this.#unread.includes(end)) await this.#moreData();
    return this.#take(this.#unread.indexOf(end) + end.length);
  }

  async #more(count: number): Promise<Buffer> {
    while (this.#unread.length < count) await this.#moreData();
    return this.#unread;
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  #take(count: number): Buffer {
    const taken = this.#unread.subarray(0, count);
    this.#unread = this.#unread.subarray(count);
    return Buffer.from(taken);
  }

  async #moreData(): Promise<void> {
    if (this.ended) throw new Gone();
    await new Promise<void>((resolve) => {
      this.#waiters.push(resolve);
    });
  }
}

/** Special answers: hang up, cut the connection, or say nothing at all from then on. */
export const HANG_UP = Symbol("hang up");
export const RESET = Symbol("reset");
export const SILENCE = Symbol("silence");

/** A reply without its last CRLF, a special answer, or what gives one for a command line and how often its verb came before. */
export type Answer = string | symbol | ((line: string, nth: number) => string | symbol);

export type Answers = Readonly<Partial<Record<Verb, Answer>>>;
type Verb =
  | "greeting"
  | "EHLO"
  | "LHLO"
  | "HELO"
  | "AUTH"
  | "RSET"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "DOT"
  | "QUIT"
  | "STARTTLS";

export const PIPELINING = "250-peer.example\r\n250 PIPELINING";

const POLITE: Record<Verb, Answer> = {
  greeting: "220 peer.example ESMTP",
  EHLO: PIPELINING,
  LHLO: PIPELINING,
  HELO: "250 peer.example",
  AUTH: "502 5.5.1 no",
  RSET: "250 2.0.0 reset",
  MAIL: "250 2.1.0 ok",
  RCPT: "250 2.1.5 ok",
  DATA: "354 go on",
  DOT: "250 2.0.0 queued",
  QUIT: "221 2.0.0 bye",
  STARTTLS: "220 2.0.0 ready",
};

/** A server that behaves but for `answers`. After STARTTLS it shakes hands; after QUIT it hangs up. */
export function answering(answers: Answers = {}): Script {
  const all = { ...POLITE, ...answers };
  return async (talk) => {
    const counts = new Map<Verb, number>();
    const answer = (verb: Verb, line: string): string | symbol => {
      const nth = counts.get(verb) ?? 0;
      counts.set(verb, nth + 1);
      const given = all[verb];
      const said = typeof given === "function" ? given(line, nth) : given;
      if (typeof said === "string") talk.say(said);
      else if (said === HANG_UP) talk.hangUp();
      else if (said === RESET) talk.reset();
      return said;
    };
    for (let verb: Verb = "greeting", line = ""; ;) {
      const said = answer(verb, line);
      if (typeof said === "symbol") return;
      if (verb === "QUIT") return talk.hangUp();
      if (verb === "STARTTLS" && said.startsWith("220")) await talk.startTls();
      if (verb === "DATA" && said.startsWith("354")) {
        await talk.content();
        [verb, line] = ["DOT", ""];
        continue;
      }
      line = await talk.line();
      verb = verbOf(line);
    }
  };
}

/** What a peer says to EHLO that offers STARTTLS. */
export const STARTTLS_OFFERED = "250-peer\r\n250-PIPELINING\r\n250 STARTTLS";

/** Says yes to STARTTLS, and then does as the test says. */
export function afterReady(goOn: (talk: Talk) => Promise<void>): Script {
  return async (talk) => {
    talk.say("220 hi");
    await talk.line();
    talk.say(STARTTLS_OFFERED);
    await talk.line();
    talk.say("220 ready");
    await goOn(talk);
  };
}

/** Says yes to STARTTLS and is then no TLS server. */
export const brokenTls = afterReady(async (talk) => {
  await talk.bytes(talk.received.length + 1);
  talk.raw("no, not really");
  await talk.end();
});

function verbOf(line: string): Verb {
  const verb = line.split(" ", 1)[0]?.toUpperCase() ?? "";
  if (!(verb in POLITE)) throw new Error(`the scripted peer does not know ${JSON.stringify(line)}`);
  return verb as Verb;
}
