/**
 * Datagrams to one address, from one socket. What is sent is forgotten: nobody waits for it, and nothing fails with it. When the network
 * does not keep up, or there is no such host, datagrams are dropped and counted.
 */

import { createSocket } from "node:dgram";
import { lookup } from "node:dns";
import type { LookupOneOptions } from "node:dns";

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { MINUTE, later } from "#shared/domain/units.ts";

export interface DatagramTarget {
  readonly protocol: "udp4" | "udp6";
  readonly host: string;
  readonly port: number;
}

export interface Datagrams {
  send(datagram: Uint8Array): void;
  close(): void;
}

export interface DatagramOptions {
  readonly clock: Pick<Clock, "now">;
  /** Told of what was dropped since it was told before, once a minute at most. */
  readonly onDropped: (count: number, error: Error) => void;
}

/** Handed to the system and not taken yet. */
const MAX_WAITING = 1_000;
/** How long the address of a host name is used before it is asked for again. */
const ADDRESS_TTL_MS = MINUTE;
const TELL_EVERY_MS = MINUTE;

export function openDatagrams(target: DatagramTarget, { clock, onDropped }: DatagramOptions): Datagrams {
  const socket = createSocket({ type: target.protocol, lookup: rememberingLookup(clock) });
  socket.unref(); // it keeps no process alive
  let waiting = 0;
  let dropped = 0;
  let toldAt: EpochMs | null = null;
  const drop = (error: Error): void => {
    dropped++;
    const now = clock.now();
    if (toldAt !== null && now < later(toldAt, TELL_EVERY_MS)) return;
    toldAt = now;
    onDropped(dropped, error);
    dropped = 0;
  };
  socket.on("error", drop);
  return {
    send(datagram) {
      if (waiting >= MAX_WAITING) return drop(new Error(`${MAX_WAITING} datagrams wait to be sent`));
      waiting++;
      socket.send(datagram, target.port, target.host, (error) => {
        waiting--;
        if (error) drop(error);
      });
    },
    close: () => void socket.close(),
  };
}

type Found = (error: NodeJS.ErrnoException | null, address: string, family: number) => void;

/** `lookup` as a socket asks for it, which is for each datagram. */
function rememberingLookup(clock: Pick<Clock, "now">) {
  let known: { readonly host: string; readonly address: string; readonly family: number } | null = null;
  let until = clock.now();
  return (host: string, options: LookupOneOptions, callback: Found): void => {
    if (known?.host === host && clock.now() < until) return callback(null, known.address, known.family);
    lookup(host, options, (error, address, family) => {
      if (error === null) {
        known = { host, address, family };
        until = later(clock.now(), ADDRESS_TTL_MS);
      }
      callback(error, address, family);
    });
  };
}
