/**
 * One question to one name server: UDP with EDNS0, again without it when the server chokes on it, TCP when the answer was cut.
 * What comes back is an answer to this very question from this very server, or a reason.
 */

import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";

import { RECURSION_DESIRED, decode, encode } from "dns-packet";
import type { DecodedPacket, OptAnswer, Question } from "dns-packet";

import type { Clock } from "../../domain/clock.ts";

import { printNameserver } from "./nameservers.ts";
import type { Nameserver } from "./nameservers.ts";
import { isAboutName, RCODE } from "./rcode.ts";

export interface Asked {
  readonly name: string;
  readonly type: "MX" | "A" | "AAAA" | "PTR" | "TXT";
}

export type ServerAnswer = { ok: true; packet: DecodedPacket; rcode: number } | { ok: false; detail: string };

export interface Asking {
  readonly clock: Clock;
  /** 0 to 65,535, not to be guessed: a forged answer has to match it (RFC 5452). */
  readonly randomId: () => number;
  /** For each of at most three exchanges. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Largest UDP answer to ask for: it fits one unfragmented packet nearly everywhere (DNS flag day 2020). */
const UDP_PAYLOAD_BYTES = 1_232;
const EDNS0: OptAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: UDP_PAYLOAD_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};
/** Bytes of the length before a message over TCP (RFC 1035 §4.2.2). */
const TCP_PREFIX_BYTES = 2;

/** RFC 6891 §7: a server that knows no EDNS0 says so in one of these ways. */
const WITHOUT_EDNS: readonly number[] = [RCODE.formErr, RCODE.notImp, RCODE.badVers];

/** What one exchange came to. `malformed`: it bears our id and cannot be read. */
type Exchanged = DecodedPacket | "malformed" | "timeout" | Error;
type Transport = (query: Buffer, server: Nameserver, read: Read, signal: AbortSignal) => Promise<Exchanged>;
/** Null: not an answer to our question; wait for another. */
type Read = (data: Buffer) => DecodedPacket | "malformed" | null;

export async function askServer(asked: Asked, server: Nameserver, asking: Asking): Promise<ServerAnswer> {
  let answer = await exchange(asked, { server, transport: overUdp, edns: true, asking });
  const edns = !(answer.ok && WITHOUT_EDNS.includes(answer.rcode));
  if (!edns) answer = await exchange(asked, { server, transport: overUdp, edns, asking });
  if (!answer.ok || !answer.packet.flag_tc) return answer;
  return exchange(asked, { server, transport: overTcp, edns, asking });
}

async function exchange(
  asked: Asked,
  how: { server: Nameserver; transport: Transport; edns: boolean; asking: Asking },
): Promise<ServerAnswer> {
  const { server, transport, edns, asking } = how;
  const id = asking.randomId();
  const question: Question = { name: asked.name, type: asked.type, class: "IN" };
  const query = encode({
    type: "query",
    id,
    flags: RECURSION_DESIRED,
    questions: [question],
    ...(edns ? { additionals: [EDNS0] } : {}),
  });
  const exchanged = await withinTime(asking, (signal) =>
    transport(query, server, (data) => readPacket(data, id, asked), signal),
  );
  return judge(exchanged, server, asking.timeoutMs);
}

/** Run an exchange until it ends, its time is over or the resolver is closed. */
async function withinTime(
  { clock, timeoutMs, signal }: Asking,
  work: (signal: AbortSignal) => Promise<Exchanged>,
): Promise<Exchanged> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  if (signal.aborted) return new Error("the resolver is closed");
  signal.addEventListener("abort", stop, { once: true });
  try {
    const timeout = clock.sleep(timeoutMs, over.signal).then(() => "timeout" as const);
    return await Promise.race([work(over.signal), timeout]);
  } finally {
    signal.removeEventListener("abort", stop);
    over.abort();
  }
}

function judge(exchanged: Exchanged, server: Nameserver, timeoutMs: number): ServerAnswer {
  const name = `name server ${printNameserver(server)}`;
  if (exchanged === "timeout") return { ok: false, detail: `${name} did not answer within ${timeoutMs} ms` };
  if (exchanged === "malformed") return { ok: false, detail: `${name} sent an answer that cannot be read` };
  if (exchanged instanceof Error) return { ok: false, detail: `${name}: ${exchanged.message}` };
  return { ok: true, packet: exchanged, rcode: rcodeOf(exchanged) };
}

/** The four bits of the header, and the eight above them in the OPT record (RFC 6891 §6.1.3). */
function rcodeOf(packet: DecodedPacket): number {
  const opt = packet.additionals?.find((record) => record.type === "OPT");
  return ((opt?.extendedRcode ?? 0) << 4) | ((packet.flags ?? 0) & 0xf);
}

/** RFC 5452 §3: id and question have to match; source address and port do, for the socket is connected. */
function readPacket(data: Buffer, id: number, asked: Asked): DecodedPacket | "malformed" | null {
  if (data.length < 2 || data.readUInt16BE(0) !== id) return null;
  let packet: DecodedPacket;
  try {
    packet = decode(data);
  } catch {
    return "malformed";
  }
  return packet.flag_qr && answersQuestion(packet, asked) ? packet : null;
}

function answersQuestion(packet: DecodedPacket, asked: Asked): boolean {
  const questions = packet.questions ?? [];
  // A server that did not read the question cannot repeat it.
  if (questions.length === 0) return !isAboutName(rcodeOf(packet));
  const [question] = questions;
  return (
    questions.length === 1 &&
    question?.type === asked.type &&
    question.name.toLowerCase() === asked.name.toLowerCase()
  );
}

/** A socket for each question has a source port of its own, which the system picks at random. */
function overUdp(query: Buffer, server: Nameserver, read: Read, signal: AbortSignal): Promise<Exchanged> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(server.address) ? "udp6" : "udp4");
    let open = true;
    socket.once("close", () => {
      open = false;
      resolve(new Error("the question was given up"));
    });
    const end = (exchanged: Exchanged): void => {
      resolve(exchanged);
      if (open) socket.close();
      open = false;
    };
    signal.addEventListener("abort", () => end("timeout"), { once: true });
    socket.on("error", end);
    socket.on("message", (data) => {
      const packet = read(data);
      if (packet !== null) end(packet);
    });
    socket.connect(server.port, server.address, () => {
      socket.send(query, (error) => {
        if (error) end(error);
      });
    });
  });
}

function overTcp(query: Buffer, server: Nameserver, read: Read, signal: AbortSignal): Promise<Exchanged> {
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port, signal });
    let received = Buffer.alloc(0);
    const end = (exchanged: Exchanged): void => {
      resolve(exchanged);
      socket.destroy();
    };
    socket.on("error", end);
    socket.once("close", () => resolve(new Error("the connection was closed before the answer was there")));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      const message = wholeMessage(received); // never more than 64 KiB
      if (message !== null) end(read(message) ?? "malformed");
    });
    socket.write(Buffer.concat([lengthPrefix(query.length), query]));
  });
}

function wholeMessage(received: Buffer): Buffer | null {
  if (received.length < TCP_PREFIX_BYTES) return null;
  const end = TCP_PREFIX_BYTES + received.readUInt16BE(0);
  return received.length >= end ? received.subarray(TCP_PREFIX_BYTES, end) : null;
}

function lengthPrefix(length: number): Buffer {
  const prefix = Buffer.alloc(TCP_PREFIX_BYTES);
  prefix.writeUInt16BE(length);
  return prefix;
}
