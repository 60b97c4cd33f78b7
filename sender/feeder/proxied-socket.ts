/** Reads the PROXY header off a new socket, and leaves the bytes behind it for whoever reads on. */

import type { Socket } from "node:net";

import type { Clock } from "#shared/domain/clock.ts";
import { SECOND } from "#shared/domain/units.ts";
import { readProxyHeader } from "./proxy-protocol.ts";
import type { ProxiedClient } from "./proxy-protocol.ts";

/** A balancer sends it with its first segment. */
export const PROXY_HEADER_TIMEOUT_MS = 5 * SECOND;

export type ProxiedSocket = { ok: true; client: ProxiedClient | null } | { ok: false; reason: string };

/**
 * Calls `done` once, from an event of the socket: in the same turn its next reader must take over, for the socket is left
 * without listeners. When it is not `ok` the socket is destroyed.
 */
export function readProxiedClient(
  socket: Socket,
  { clock }: { clock: Clock },
  done: (result: ProxiedSocket) => void,
): void {
  let bytes = Buffer.alloc(0);
  const timeout = new AbortController();

  function finish(result: ProxiedSocket): void {
    if (timeout.signal.aborted) return;
    timeout.abort();
    if (!result.ok) {
      socket.on("error", () => undefined); // what still comes of it must not end the process
      socket.destroy();
    }
    for (const [event, listener] of listeners) socket.off(event, listener);
    done(result);
  }

  function read(): void {
    for (let chunk = nextChunk(socket); chunk; chunk = nextChunk(socket)) {
      bytes = Buffer.concat([bytes, chunk]);
      const header = readProxyHeader(bytes);
      if (header.kind === "malformed") return finish({ ok: false, reason: header.reason });
      if (header.kind === "header") {
        if (bytes.length > header.length) socket.unshift(bytes.subarray(header.length));
        return finish({ ok: true, client: header.client });
      }
    }
  }

  const gone = (): void => finish({ ok: false, reason: "the connection was closed before the header" });
  const listeners: readonly (readonly [string, () => void])[] = [
    ["readable", read],
    ["end", gone],
    ["close", gone],
    ["error", gone],
  ];
  for (const [event, listener] of listeners) socket.on(event, listener);
  void clock
    .sleep(PROXY_HEADER_TIMEOUT_MS, timeout.signal)
    .then(() => finish({ ok: false, reason: "the header did not come in time" }));
}

function nextChunk(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}
