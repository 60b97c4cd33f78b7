/**
 * A real name server on 127.0.0.1, UDP and TCP on one port, for tests of whole processes: zones as data, in the form that fake-dns
 * has them, and a hook for answers that no honest server gives.
 */

import { createSocket } from "node:dgram";
import type { Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

import { AUTHORITATIVE_ANSWER, RECURSION_AVAILABLE, TRUNCATED_RESPONSE, decode, encode } from "dns-packet";
import type { Answer, DecodedPacket, Packet, Question } from "dns-packet";

import type { FakeName } from "./fake-dns.ts";

/** `*.example.org` as a key stands for all names below it that have no key of their own. IP addresses are keys of `ptr`. */
export interface ServedName extends FakeName {
  /** The name stands for another one; what that has is put into the same answer if it is served here. */
  cname?: string;
  /** True: questions for it are never answered. */
  silent?: boolean;
  /** True: over UDP only "ask again over TCP". */
  truncate?: boolean;
}

export type Transport = "udp" | "tcp";
/** A query as it came, to the bytes to send; `silent`: none; null: what the zones say. */
export type AnswerHook = (query: DecodedPacket, transport: Transport) => Buffer | "silent" | null;

export interface DnsServer {
  /** `127.0.0.1:port`, as `dns.nameservers` takes it. */
  readonly address: string;
  readonly names: Record<string, ServedName>;
  /** Questions so far, such as `udp MX example.org`. */
  readonly asked: string[];
  answer: AnswerHook;
  /** May be called again. */
  close(): Promise<void>;
}

const TTL_SECONDS = 300;
const NEGATIVE_TTL_SECONDS = 60;
const MAX_ALIASES_SERVED = 20;
const FIELDS: Record<string, "mx" | "a" | "aaaa" | "ptr" | "txt" | undefined> = {
  MX: "mx",
  A: "a",
  AAAA: "aaaa",
  PTR: "ptr",
  TXT: "txt",
};
const RCODES = { found: 0, failed: 2, nxdomain: 3 };

export async function startDnsServer(names: Record<string, ServedName> = {}): Promise<DnsServer> {
  const { tcp, udp, port } = await listenOnBoth();
  const sockets = new Set<Socket>();
  let closed: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    udp.close();
    tcp.close();
    await once(tcp, "close");
  };
  const server: DnsServer = {
    address: `127.0.0.1:${port}`,
    names,
    asked: [],
    answer: () => null,
    close: () => (closed ??= close()),
  };
  const reply = (data: Buffer, transport: Transport): Buffer | null => {
    const query = decode(data);
    const [question] = query.questions ?? [];
    server.asked.push(`${transport} ${question?.type} ${question?.name}`);
    const special = server.answer(query, transport);
    if (special === "silent") return null;
    return special ?? replyFromZones(names, query, transport);
  };
  udp.on("message", (data, peer) => {
    const answer = reply(data, "udp");
    if (answer) udp.send(answer, peer.port, peer.address);
  });
  tcp.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (data) => {
      const answer = reply(data.subarray(2), "tcp"); // our resolver's queries come in one piece
      if (answer) socket.end(withLength(answer));
    });
  });
  return server;
}

/** An answer with the id and the question of its query. */
export function replyPacket(query: DecodedPacket, fields: Packet & { rcode?: number }): Buffer {
  const { rcode = 0, flags = AUTHORITATIVE_ANSWER, ...rest } = fields;
  return encode({
    type: "response",
    id: query.id ?? 0,
    flags: flags | RECURSION_AVAILABLE | rcode,
    questions: query.questions,
    ...rest,
  });
}

export function soa(zone: string, minimum: number, ttl = minimum): Answer {
  const data = {
    mname: `ns.${zone}`,
    rname: `hostmaster.${zone}`,
    serial: 1,
    refresh: 1,
    retry: 1,
    expire: 1,
  };
  return { type: "SOA", name: zone, ttl, data: { ...data, minimum } };
}

function replyFromZones(
  names: Record<string, ServedName>,
  query: DecodedPacket,
  transport: Transport,
): Buffer | null {
  const [question] = query.questions ?? [];
  if (question === undefined) return replyPacket(query, { rcode: 1 });
  const chain = aliasesOf(names, question.name.toLowerCase());
  const served = find(names, chain.name);
  if (served?.silent === true) return null;
  if (served?.truncate === true && transport === "udp") {
    return replyPacket(query, { flags: TRUNCATED_RESPONSE });
  }
  const { kind, answers } = recordsOf(served, question, chain.name);
  const all = [...chain.aliases, ...answers];
  const authorities =
    answers.length === 0 ? [soa("zone.test", served?.ttlSeconds ?? NEGATIVE_TTL_SECONDS)] : [];
  return replyPacket(query, {
    rcode: RCODES[kind],
    answers: all,
    authorities: kind === "failed" ? [] : authorities,
  });
}

function aliasesOf(names: Record<string, ServedName>, from: string): { name: string; aliases: Answer[] } {
  const aliases: Answer[] = [];
  let name = from;
  for (let i = 0; i < MAX_ALIASES_SERVED; i++) {
    const served = find(names, name);
    if (served?.cname === undefined) break;
    aliases.push({ type: "CNAME", name, ttl: served.ttlSeconds ?? TTL_SECONDS, data: served.cname });
    name = served.cname;
  }
  return { name, aliases };
}

function find(names: Record<string, ServedName>, name: string): ServedName | undefined {
  const parents = name.split(".").map((_, i, labels) => `*.${labels.slice(i + 1).join(".")}`);
  const key = [name, ipOfReverseName(name), ...parents].find((candidate) => Object.hasOwn(names, candidate));
  return key === undefined ? undefined : names[key];
}

function ipOfReverseName(name: string): string {
  const match = /^([\d.]+)\.in-addr\.arpa$/.exec(name);
  return match?.[1]?.split(".").toReversed().join(".") ?? name;
}

function recordsOf(
  served: ServedName | undefined,
  { type }: Question,
  name: string,
): { kind: keyof typeof RCODES; answers: Answer[] } {
  const field = FIELDS[type];
  const value = served === undefined ? "nxdomain" : field && served[field];
  if (value === "nxdomain" || value === "failed") return { kind: value, answers: [] };
  const ttl = served?.ttlSeconds ?? TTL_SECONDS;
  const answers = (value ?? []).map((data): Answer => {
    if (type === "TXT") return { type, name, ttl, data: inStrings(String(data)) };
    if (typeof data === "string")
      return { type: type === "PTR" ? "PTR" : type === "A" ? "A" : "AAAA", name, ttl, data };
    return { type: "MX", name, ttl, data: { preference: data[0], exchange: data[1] || "." } };
  });
  return { kind: "found", answers };
}

/** Text longer than 255 bytes needs several strings (RFC 1035 §3.3.14); here each has 100 at most. */
function inStrings(text: string): string[] {
  return text.match(/.{1,100}/g) ?? [""];
}

/** A port that is free for both; the system is asked again when the one it gave for TCP is taken for UDP. */
async function listenOnBoth(tries = 10): Promise<{ tcp: Server; udp: UdpSocket; port: number }> {
  const tcp = createServer();
  tcp.listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket("udp4");
  try {
    udp.bind(port, "127.0.0.1");
    await once(udp, "listening");
    return { tcp, udp, port };
  } catch (error) {
    tcp.close();
    udp.close();
    if (tries <= 1) throw error;
    return listenOnBoth(tries - 1);
  }
}

function withLength(message: Buffer): Buffer {
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16BE(message.length);
  return Buffer.concat([prefix, message]);
}
