/** Answers what comes to the HTTP API and is no request: then the connection is closed. */

import type { Socket } from "node:net";

import { KIB } from "#shared/domain/units.ts";

export const MAX_HEADER_BYTES = 16 * KIB;

/** What is no HTTP, or too slow or too large in its headers. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code, text] = BROKEN[error.code ?? ""] ?? [
    "400 Bad Request",
    "invalid-request",
    "this is not HTTP/1.1",
  ];
  const body = JSON.stringify({ error: text, code });
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const BROKEN: Readonly<Record<string, readonly [string, string, string]>> = {
  HPE_HEADER_OVERFLOW: [
    "431 Request Header Fields Too Large",
    "too-large",
    `the headers of the request are larger than ${MAX_HEADER_BYTES} bytes`,
  ],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "timeout", "the request did not come whole in time"],
};
