/**
 * The other end of `npm run bench -- rates`: a child process that takes all mail, answers each command after `delayMs`, and tells when,
 * by its own clock, each mail began (MAIL) and was whole (the final dot), for whom it was, and how many connections there were at once.
 */

import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export interface SeenMail {
  readonly began: number;
  readonly whole: number;
  readonly recipient: string;
}

export interface RatesReport {
  readonly mails: readonly SeenMail[];
  readonly mostConnections: number;
}

const delayMs = Number(process.argv[2] ?? 0);
const mails: SeenMail[] = [];
let connections = 0;
let mostConnections = 0;

/** One after the other, each so much later: as a receiver does that looks something up for each command. */
function answering(socket: Socket): (text: string) => void {
  const write = (text: string): void => void (socket.writable && socket.write(text));
  if (delayMs === 0) return write;
  return (text) => void setTimeout(() => write(text), delayMs);
}

function serve(socket: Socket): void {
  connections++;
  mostConnections = Math.max(mostConnections, connections);
  const answer = answering(socket);
  let rest = "";
  let inData = false;
  let began = 0;
  let recipient = "";
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("close", () => connections--);
  answer("220 receiver.example ESMTP\r\n");
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    rest += chunk;
    for (;;) {
      const end = inData ? rest.indexOf("\r\n.\r\n") : rest.indexOf("\r\n");
      if (end < 0) return;
      const line = rest.slice(0, inData ? 0 : end);
      rest = rest.slice(end + (inData ? 5 : 2));
      if (inData) {
        inData = false;
        mails.push({ began, whole: performance.now(), recipient });
        answer("250 2.0.0 taken\r\n");
        continue;
      }
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === "MAIL") began = performance.now();
      if (verb === "RCPT") recipient = line.slice(line.indexOf("<") + 1, line.indexOf(">"));
      inData = verb === "DATA";
      if (verb === "EHLO") answer("250-receiver.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
      else answer(verb === "DATA" ? "354 go on\r\n" : "250 2.0.0 ok\r\n");
      if (verb === "QUIT") socket.end("221 2.0.0 bye\r\n");
    }
  });
}

if (process.send) {
  const server = createServer(serve);
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
  process.on("message", () => process.send?.({ mails, mostConnections } satisfies RatesReport));
  process.on("disconnect", () => process.exit(0));
}
