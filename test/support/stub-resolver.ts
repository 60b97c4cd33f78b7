/** Name servers on loopback and a resolver that asks them, whose time is the test's. All of it is closed at the end of a test file. */

import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { after } from "node:test";

import { decode } from "dns-packet";
import type { Answer, DecodedPacket } from "dns-packet";

import { stubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import type { StubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import { startDnsServer } from "./dns-server.ts";
import type { AnswerHook, DnsServer, ServedName } from "./dns-server.ts";
import { fakeClock } from "./fake-clock.ts";
import type { FakeClock } from "./fake-clock.ts";

export const TIMEOUT_MS = 1_000;

/** What tests of a file have opened; it is closed at its end. */
const opened: { close: () => unknown }[] = [];
after(async () => {
  for (const one of opened) await one.close();
});

export async function server(
  names: Record<string, ServedName> = {},
  answer?: AnswerHook,
): Promise<DnsServer> {
  const started = await startDnsServer(names);
  if (answer) started.answer = answer;
  opened.push(started);
  return started;
}

/** A resolver whose time stands still, so that only `advance` makes it give up. */
export function resolverOf(...servers: { address: string }[]): { resolver: StubResolver; clock: FakeClock } {
  const clock = fakeClock();
  const nameservers = servers.map(({ address }) => address);
  const resolver = stubResolver({ nameservers, timeoutMs: TIMEOUT_MS, clock });
  opened.push(resolver);
  return { resolver, clock };
}

/** Turns of the loop until `ready`; the test's own time-out ends it when that never comes. */
export async function until(ready: () => boolean): Promise<void> {
  while (!ready()) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** Wait for question number `count`, then let it run into its time-out. */
export async function letTimeOut(clock: FakeClock, asked: readonly string[], count: number): Promise<void> {
  await until(() => asked.length >= count);
  await clock.advance(TIMEOUT_MS);
}

export async function udpSocket(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  opened.push(socket);
  return socket;
}

/** A name server that answers as `reply` wants, as often as it wants. */
export async function udpServer(
  reply: (query: DecodedPacket, send: (answer: Buffer) => void, port: number) => void,
): Promise<{ address: string }> {
  const socket = await udpSocket();
  socket.on("message", (data, { port }) => {
    reply(decode(data), (answer) => socket.send(answer, port, "127.0.0.1"), port);
  });
  return { address: `127.0.0.1:${socket.address().port}` };
}

export function cname(name: string, data: string, ttl = 300): Answer {
  return { type: "CNAME", name, ttl, data };
}

export function a(name: string, data: string, ttl = 300): Answer {
  return { type: "A", name, ttl, data };
}
