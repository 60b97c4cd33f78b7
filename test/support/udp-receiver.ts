/** Somebody who gets datagrams, on a free port of 127.0.0.1. */

import { createSocket } from "node:dgram";
import { once } from "node:events";

import { SECOND } from "#shared/domain/units.ts";
import { eventually } from "./relay-process.ts";

const PATIENCE_MS = 20 * SECOND;

export interface UdpReceiver extends AsyncDisposable {
  readonly port: number;
  readonly datagrams: readonly Buffer[];
  /** Ports that they came from. */
  readonly sources: ReadonlySet<number>;
  /** Resolves with the datagrams when there are so many. */
  reached(count: number): Promise<readonly Buffer[]>;
}

export async function startUdpReceiver(): Promise<UdpReceiver> {
  const socket = createSocket("udp4");
  const datagrams: Buffer[] = [];
  const sources = new Set<number>();
  socket.on("message", (datagram, { port }) => {
    datagrams.push(datagram);
    sources.add(port);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    datagrams,
    sources,
    reached: (count) =>
      eventually(`${count} datagrams`, PATIENCE_MS, () => (datagrams.length >= count ? datagrams : null)),
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}
