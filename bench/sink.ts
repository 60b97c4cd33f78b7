/** The other end: a child process that takes all mail and tells how many there were and when the last one came. */

import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export interface SinkReport {
  readonly received: number;
  readonly lastAt: number;
  readonly connections: number;
}

const END_OF_DATA = Buffer.from("\r\n.\r\n");
const CAPABILITIES = ["sink.example", "PIPELINING", "8BITMIME", "SIZE 100000000", "ENHANCEDSTATUSCODES"];

const report = { received: 0, lastAt: 0, connections: 0 };

function serve(socket: Socket): void {
  report.connections++;
  let rest: Buffer = Buffer.alloc(0);
  let inData = false;
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.write("220 sink.example ESMTP\r\n");
  socket.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let answer = "";
    for (;;) {
      const end = inData ? rest.indexOf(END_OF_DATA) : rest.indexOf("\n");
      if (end < 0) break;
      if (inData) {
        rest = rest.subarray(end + END_OF_DATA.length);
        inData = false;
        report.received++;
        report.lastAt = Date.now();
        answer += "250 2.0.0 taken\r\n";
        continue;
      }
      const verb = rest.toString("latin1", 0, Math.min(4, end)).toUpperCase();
      rest = rest.subarray(end + 1);
      inData = verb === "DATA";
      answer += replyTo(verb);
      if (verb === "QUIT") socket.end(answer);
    }
    if (answer !== "" && !socket.writableEnded) socket.write(answer);
  });
}

function replyTo(verb: string): string {
  if (verb === "EHLO")
    return CAPABILITIES.map((line, i) => `250${i < CAPABILITIES.length - 1 ? "-" : " "}${line}\r\n`).join("");
  if (verb === "DATA") return "354 go on\r\n";
  return verb === "QUIT" ? "221 2.0.0 bye\r\n" : "250 2.0.0 ok\r\n";
}

if (process.send) {
  const server = createServer(serve);
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
  process.on("message", (what: string) => {
    if (what === "reset") Object.assign(report, { received: 0, lastAt: 0, connections: 0 });
    process.send?.({ ...report });
  });
  process.once("disconnect", () => process.exit(0));
}
