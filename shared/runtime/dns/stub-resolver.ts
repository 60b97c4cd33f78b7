/**
 * The Dns port over UDP and TCP: asks recursive name servers, one after another, and follows aliases. It keeps no answer
 * (cache.ts does) and never looks into the hosts file (hosts-file.ts does, for relays): mail goes where the DNS says.
 *
 * Node's own resolver gives no lifetime of MX records, and cannot tell "no such name" from "none of this type" everywhere.
 */

import { randomInt } from "node:crypto";

import type { Answer } from "dns-packet";

import type { Clock } from "../../domain/clock.ts";
import { parseIp, reverseName } from "../../domain/ip.ts";
import type { Dns, DnsAnswer, MxRecord } from "../../ports/dns.ts";

import { askServer } from "./ask-server.ts";
import type { Asked, ServerAnswer } from "./ask-server.ts";
import { loopbackOf } from "./hosts-file.ts";
import { nameserversOf, printNameserver } from "./nameservers.ts";
import { plainName, readAnswer } from "./read-answer.ts";
import { isAboutName, rcodeName } from "./rcode.ts";
import { slots } from "./slots.ts";

export interface StubResolverOptions {
  /** `ip`, `ip:port` or `[ipv6]:port`; null: those of the system. Throws a `DomainError` on anything else. */
  readonly nameservers: readonly string[] | null;
  /** For one try at one name server. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** 0 to 65,535; the default is from the system's source of chance. */
  readonly randomId?: () => number;
}

export interface StubResolver extends Dns {
  /** Ends what is being asked; every question from then on fails. */
  close(): void;
}

/** Tries at a question over all name servers; each name server is asked twice at most. */
const MAX_TRIES = 4;
/** Questions, and so sockets, out at once. */
const MAX_IN_FLIGHT = 512;
const MAX_WAITING = 20_000;
/** How long it is known that a name can never be asked for. */
const IMPOSSIBLE_TTL_SECONDS = 3_600;
const LOCALHOST_TTL_SECONDS = 3_600;
const MAX_NAME_CHARS = 253;

export function stubResolver(options: StubResolverOptions): StubResolver {
  const closed = new AbortController();
  const room = slots({ max: MAX_IN_FLIGHT, maxWaiting: MAX_WAITING });
  const ask = serverRound(options, closed.signal);

  async function lookUp<T>(asked: Asked, pick: (record: Answer) => T | null): Promise<DnsAnswer<T>> {
    const answer = room.run(() => followed(ask, asked, pick));
    return answer ?? { kind: "failed", detail: "too many questions to the DNS are waiting here" };
  }

  return {
    mx: (domain) => lookUp({ name: domain, type: "MX" }, pickMx),
    async addresses(host, family) {
      const loopback = loopbackOf(host, family);
      if (loopback !== null) return { kind: "found", records: loopback, ttlSeconds: LOCALHOST_TTL_SECONDS };
      return lookUp({ name: host, type: family === 4 ? "A" : "AAAA" }, pickAddress);
    },
    txt: (name) => lookUp({ name, type: "TXT" }, pickText),
    reverse: (ip) => lookUp({ name: reverseName(ip), type: "PTR" }, pickHostName),
    close: () => closed.abort(),
  };
}

/** Ask, and ask on for the name that a name stands for, until there is an answer. */
async function followed<T>(
  ask: (asked: Asked) => Promise<ServerAnswer>,
  first: Asked,
  pick: (record: Answer) => T | null,
): Promise<DnsAnswer<T>> {
  const visited = new Set<string>(); // bounds the loop: see MAX_ALIASES
  let asked = first;
  let ttlSeconds = Infinity;
  for (;;) {
    if (!isAskable(asked.name)) return { kind: "nxdomain", ttlSeconds: IMPOSSIBLE_TTL_SECONDS };
    const answer = await ask(asked);
    if (!answer.ok) return { kind: "failed", detail: answer.detail };
    visited.delete(asked.name.toLowerCase()); // of an alias the packet before has said nothing yet
    const reading = readAnswer(answer, asked, { pick, visited });
    if (reading.kind === "failed") return reading;
    ttlSeconds = Math.min(ttlSeconds, reading.ttlSeconds);
    if (reading.kind !== "alias") return { ...reading, ttlSeconds };
    asked = { ...asked, name: reading.target };
  }
}

/** One server after another until one has an answer to give. The one that had is asked first the next time. */
function serverRound(options: StubResolverOptions, signal: AbortSignal) {
  const { clock, timeoutMs, randomId = () => randomInt(0x1_00_00) } = options;
  let servers = nameserversOf(options.nameservers);
  let preferred = 0;
  return async (asked: Asked): Promise<ServerAnswer> => {
    let last: ServerAnswer = { ok: false, detail: "there is no name server to ask" };
    const [round, first] = [servers, preferred];
    for (let attempt = 0; attempt < Math.min(MAX_TRIES, 2 * round.length); attempt++) {
      const index = (first + attempt) % round.length;
      const server = round[index];
      if (server === undefined || signal.aborted) break;
      last = await askServer(asked, server, { clock, randomId, timeoutMs, signal });
      if (last.ok && isAboutName(last.rcode)) {
        preferred = index;
        return last;
      }
      if (last.ok)
        last = { ok: false, detail: `name server ${printNameserver(server)} said ${rcodeName(last.rcode)}` };
    }
    if (signal.aborted) return { ok: false, detail: "the resolver is closed" };
    // Those of the system may have changed with the network.
    if (options.nameservers === null) servers = nameserversOf(null);
    return last;
  };
}

/** What can be put on the wire: RFC 1035 §2.3.4. */
function isAskable(name: string): boolean {
  const labels = name.split(".");
  return name.length <= MAX_NAME_CHARS && labels.every((label) => /^[\x21-\x7e]{1,63}$/.test(label));
}

function pickMx(record: Answer): MxRecord | null {
  if (record.type !== "MX") return null;
  return { preference: record.data.preference ?? 0, exchange: plainName(record.data.exchange) };
}

function pickAddress(record: Answer): string | null {
  return record.type === "A" || record.type === "AAAA" ? parseIp(record.data) : null;
}

/** One record may come in many strings of at most 255 bytes (RFC 7208 §3.3). */
function pickText(record: Answer): string | null {
  if (record.type !== "TXT") return null;
  const parts = Array.isArray(record.data) ? record.data : [record.data];
  return Buffer.concat(parts.map((part) => Buffer.from(part))).toString("utf8");
}

/** The owner of an address writes what he likes there, and it goes into Received lines: only what can be a host name is taken. */
function pickHostName(record: Answer): string | null {
  const name = record.type === "PTR" ? plainName(record.data) : "";
  return /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(name) ? name : null;
}
