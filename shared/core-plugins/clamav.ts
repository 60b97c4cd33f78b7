/** `core/clamav`: each mail is read by ClamAV's daemon while it comes, and taken only when that has said that it is clean. */

import { connect } from "node:net";
import type { Socket } from "node:net";

import type { PluginApp } from "../plugins/app.ts";
import type { ClamavOptions } from "../runtime/config-scanners.ts";
import { NOT_SCANNED, mailOf, openScan, scanMail } from "./scan.ts";
import type { Scan } from "./scan.ts";

export const title = "ClamAV virus scan";

/** `too-large`: over our limit or clamd's own. */
interface ClamVerdict {
  readonly kind: "clean" | "virus" | "too-large";
  readonly response: string;
}

/** ZoneMTA's words. */
const RESULT = { clean: "clean", virus: "infected", "too-large": "skipped" } as const;

const VIRUS = "550 5.7.1 This message contains a virus and may not be delivered";
/** To try again would not make it smaller. */
const TOO_LARGE = "552 5.3.4 This message is too large to be scanned for viruses";
/** A reply has one line. */
const MAX_REPLY_CHARS = 1_000;

export async function init(app: PluginApp): Promise<void> {
  const options = app.config as unknown as ClamavOptions;
  const verdictOn = scanMail(app, mailOf(options), () => scanByClamav(options));

  app.addHook("message:queue", async (envelope, info) => {
    const asked = verdictOn(envelope);
    if (asked === null) return;
    const verdict = await asked.catch((error: unknown) => error as Error);
    if (verdict instanceof Error) {
      app.logger.error("Clamav", "%s VIRUSCHECK result=failed error=%j", envelope.id, explained(verdict));
      if (options.onFailure === "accept") return;
      throw app.reject(envelope, "virus scan failed", info, NOT_SCANNED);
    }
    const { kind, response } = verdict;
    app.remotelog(envelope.id, false, "VIRUSCHECK", { result: RESULT[kind], response });
    if (kind === "virus") throw app.reject(envelope, "virus", info, VIRUS);
    if (kind === "clean") envelope["virus"] = { clean: true, response };
    else if (options.onFailure === "defer")
      throw app.reject(envelope, "too large for the virus scan", info, TOO_LARGE);
  });
}

/** clamd breaks off at its limit, and what it says then may be lost with the connection. */
function explained({ message }: Error): string {
  const brokeOff = /EPIPE|ECONNRESET/.test(message);
  return brokeOff
    ? `${message}; if the mail is large: clamd's StreamMaxLength has to be maxSize or more`
    : message;
}

/** The protocol's INSTREAM: chunks with their length in front, one of length 0 at the end. */
function scanByClamav({ host, port, socket: path, maxSize, timeout }: ClamavOptions): Scan<ClamVerdict> {
  const socket = path === undefined ? connect({ host, port, noDelay: true }) : connect({ path });
  const tooLarge = Promise.withResolvers<ClamVerdict>();
  let bytes = 0;
  let isWhole = false;
  socket.write("zINSTREAM\0");
  return openScan({
    sink: socket,
    verdict: Promise.race([tooLarge.promise, replyOn(socket).then((reply) => verdictOf(reply, isWhole))]),
    send(chunk) {
      bytes += chunk.length;
      if (bytes > maxSize) {
        tooLarge.resolve({ kind: "too-large", response: `over ${maxSize} bytes` });
        return true;
      }
      if (chunk.length === 0) return true; // it would be the end
      return socket.write(Buffer.concat([lengthOf(chunk.length), chunk]));
    },
    finish() {
      isWhole = true;
      socket.write(lengthOf(0));
    },
    timeoutMs: timeout,
  });
}

function lengthOf(bytes: number): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes);
  return prefix;
}

/** The first line, which ends with a NUL. */
function replyOn(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      text += chunk;
      const end = text.search(/[\0\n]/);
      if (end !== -1) resolve(text.slice(0, end).trim());
      else if (text.length > MAX_REPLY_CHARS) reject(new Error("its reply has no end"));
    });
    socket.on("close", () => reject(new Error("it has closed the connection without a verdict")));
  });
}

/** Throws for what is no verdict on the whole mail. */
function verdictOf(reply: string, isWhole: boolean): ClamVerdict {
  const response = reply.replace(/^stream: /, "").slice(0, MAX_REPLY_CHARS);
  if (response === "OK" && isWhole) return { kind: "clean", response };
  if (response.endsWith(" FOUND")) return { kind: "virus", response };
  if (/size limit exceeded/i.test(response)) return { kind: "too-large", response };
  throw new Error(
    `it says ${JSON.stringify(response)}${isWhole ? "" : " before it has seen the whole mail"}`,
  );
}
