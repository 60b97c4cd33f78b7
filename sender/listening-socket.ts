/**
 * Where a server listens, and how the socket that it listens on passes to the worker which takes its place.
 *
 * Each worker has a socket of its own on the shared port (SO_REUSEPORT), with a queue of connections that the kernel has opened and
 * nobody has accepted yet. When such a socket is closed, Linux resets what is in its queue and does not move it to the sockets of the
 * others (unless net.ipv4.tcp_migrate_req says so). So on a reload it is not closed: the new worker gets the very socket, by way of the
 * supervisor, and the old one lets go of it only when the new one accepts from it.
 */

/* oxlint-disable eslint/no-underscore-dangle -- Node takes such a handle in `listen` and `send`, and gives it by this name only */

import { once } from "node:events";
import { lookup } from "node:dns/promises";
import net from "node:net";
import type { AddressInfo, Server } from "node:net";
import { getSystemErrorName } from "node:util";

declare const socketBrand: unique symbol;

/** A socket that listens, with no server on it. */
export interface ListeningSocket {
  readonly [socketBrand]: true;
  close(): void;
}

/** By `socketKey` of the endpoint. */
export type ListeningSockets = ReadonlyMap<string, ListeningSocket>;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** As it is written in the configuration: two workers with the same key there share a socket. */
export function socketKey({ host, port }: Endpoint): string {
  return `${host} ${port}`;
}

/** Resolves when it listens: on `socket`, or on one of its own. */
export async function listenOn(
  server: Server,
  { host, port }: Endpoint,
  { reusePort, socket }: { reusePort: boolean; socket?: ListeningSocket | undefined },
): Promise<AddressInfo> {
  if (socket) server.listen(socket);
  else server.listen({ host, port, reusePort });
  await once(server, "listening"); // rejects with `error`
  return server.address() as AddressInfo;
}

/** Null: it does not listen. */
export function socketOf(server: Server): ListeningSocket | null {
  return (server as unknown as { _handle: ListeningSocket | null })._handle;
}

/** libuv's UV_TCP_REUSEPORT, part of its stable interface (uv.h). */
const REUSE_PORT = 2;

type CreateHandle = (
  address: string,
  port: number,
  addressType: 4 | 6,
  fd: number,
  flags: number,
) => BoundHandle | number;
type BoundHandle = ListeningSocket & { getsockname(into: Partial<AddressInfo>): number };

/** A socket that has its address and does not listen yet: nobody can connect to it until a server listens on it. */
export interface BoundSocket {
  readonly socket: ListeningSocket;
  readonly port: number;
}

/** Throws as `listen` does, with a `code`. `reusePort`: others that ask for the same may have the address too. */
export async function bindSocket(
  { host, port }: Endpoint,
  { reusePort }: { reusePort: boolean },
): Promise<BoundSocket> {
  const { address, family } = await lookup(host);
  const create = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
  const socket = create(address, port, family === 6 ? 6 : 4, -1, reusePort ? REUSE_PORT : 0);
  if (typeof socket === "number") throw bindError(socket, { host, port });
  const bound: Partial<AddressInfo> = {};
  const refused = socket.getsockname(bound); // libuv tells only here that an address is taken
  if (refused === 0 && bound.port !== undefined) return { socket, port: bound.port };
  socket.close();
  throw bindError(refused, { host, port });
}

function bindError(errno: number, { host, port }: Endpoint): Error {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`bind ${code} ${host}:${port}`), { code });
}
