/**
 * Sockets that were bound as root, kept by a supervisor that is root no more: it lends them to each worker, to the one that replaces a
 * worker that died, and to its successor on a reload. Each place has a socket of its own for each door, as without them, so that the
 * kernel spreads connections evenly. While a place has no worker, connections to its sockets wait and are not refused.
 */

import type { Config } from "#shared/domain/config.ts";
import { bindSocket, socketKey } from "./listening-socket.ts";
import type { Endpoint, ListeningSocket, ListeningSockets } from "./listening-socket.ts";

export interface HeldSockets {
  /** Of the place with that index. */
  of(index: number): ListeningSockets;
  has(key: string): boolean;
  /** Close those that no door of `config` listens on. */
  keepOnly(config: Config): void;
  /** Whoever connects from now on is refused, as soon as no worker listens. */
  close(): void;
}

/** Bind a socket for each place and door. The ports are those that were checked: none is 0. */
export async function holdSockets(config: Config, places: number): Promise<HeldSockets> {
  const held = Array.from({ length: places }, () => new Map<string, ListeningSocket>());
  for (const endpoint of doorsOf(config)) {
    for (const sockets of held) {
      const { socket } = await bindSocket(endpoint, { reusePort: true });
      sockets.set(socketKey(endpoint), socket);
    }
  }
  const closeWhere = (isMeant: (key: string) => boolean): void => {
    for (const sockets of held) {
      for (const [key, socket] of sockets) {
        if (!isMeant(key)) continue;
        socket.close();
        sockets.delete(key);
      }
    }
  };
  return {
    of: (index) => held[index] ?? new Map(),
    has: (key) => held[0]?.has(key) === true,
    keepOnly(next) {
      const wanted = new Set(doorsOf(next).map(socketKey));
      closeWhere((key) => !wanted.has(key));
    },
    close: () => closeWhere(() => true),
  };
}

function doorsOf({ smtpInterfaces, api }: Config): Endpoint[] {
  return [...smtpInterfaces, ...(api.enabled ? [api] : [])];
}
