/** Can mail hosts be reached? A connection from each egress address to port 25 of a mail host: greeting, QUIT, and no mail. */

import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { networkInterfaces } from "node:os";

import type { EgressName } from "#shared/domain/egress-names.ts";
import { ipFamily } from "#shared/domain/ip.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Dns } from "#shared/ports/dns.ts";

import type { Check, Verdict } from "./check.ts";
import { failure, messageOf, noAnswer, ok, skipped, warning } from "./check.ts";

export interface ProbeTarget {
  readonly domain: string;
  readonly port: number;
}

/** Of one try, to the greeting. */
const TRY_MS = 8 * SECOND;
/** Mail hosts tried, one after another, before the port counts as closed. */
const MAX_TRIES = 3;
const MAX_GREETING_CHARS = 512;
const TOPIC = "port 25";

/** `target` null: nobody has said whose mail host may be connected to. */
export function port25Checks(egress: readonly EgressName[], target: ProbeTarget | null, dns: Dns): Check[] {
  if (target === null) return [{ topic: TOPIC, about: "outbound", run: () => Promise.resolve(notAsked()) }];
  const own = ownAddresses();
  return egress.flatMap(({ name, bound }): Check[] => {
    if (bound.length === 0)
      return [{ topic: TOPIC, about: name, run: () => Promise.resolve(elsewhere(name)) }];
    return bound.map((ip) => ({
      topic: TOPIC,
      about: `${name} ${ip}`,
      run: () => (own.has(ip) || isAny(ip) ? probe(ip, target, dns) : Promise.resolve(elsewhere(ip))),
    }));
  });
}

function notAsked(): Verdict {
  return skipped(
    "nothing was connected to",
    "Say --to <domain> with a domain that somebody else takes mail for, such as that of your own mailbox. No mail is sent.",
  );
}

function elsewhere(what: string): Verdict {
  return skipped(
    `${what} is not on this machine`,
    "Run zonefleet doctor on the host that sends from it: on AWS in /opt/zonefleet, by Session Manager.",
  );
}

async function probe(ip: string, { domain, port }: ProbeTarget, dns: Dns): Promise<Verdict> {
  const hosts = await mailHosts(domain, ipFamily(ip), dns);
  if ("verdict" in hosts) return hosts.verdict;
  const failures: string[] = [];
  for (const host of hosts.addresses.slice(0, MAX_TRIES)) {
    try {
      const greeting = await greetingOf({ host, port, localAddress: ip });
      if (greeting.startsWith("2")) return ok(`${host} says ${greeting}`);
      const todo = "Look up what it says: it may refuse this address, or all that send much.";
      return warning(`${host} says ${greeting}`, todo);
    } catch (error) {
      failures.push(`${host}: ${messageOf(error)}`);
    }
  }
  return failure(
    `no mail host of ${domain} can be reached (${failures.join("; ")})`,
    "Have outbound port 25 opened: on AWS ask for the removal of its restriction for the account and region; elsewhere ask the provider, and look at the firewall.",
  );
}

async function mailHosts(
  domain: string,
  family: 4 | 6,
  dns: Dns,
): Promise<{ addresses: string[] } | { verdict: Verdict }> {
  const mx = await dns.mx(domain);
  if (mx.kind === "failed") return { verdict: noAnswer(mx.detail) };
  const records = mx.kind === "found" ? mx.records.toSorted((a, b) => a.preference - b.preference) : [];
  // RFC 5321 §5.1: without an MX record the domain is its own mail host
  const names = records.length === 0 ? [domain] : records.map(({ exchange }) => exchange);
  const answers = await Promise.all(names.slice(0, MAX_TRIES).map((name) => dns.addresses(name, family)));
  const addresses = answers.flatMap((answer) => (answer.kind === "found" ? answer.records.slice(0, 1) : []));
  if (addresses.length > 0) return { addresses };
  const says = `no mail host of ${domain} has an IPv${family} address`;
  return { verdict: skipped(says, "Say --to with another domain.") };
}

/** First line of what a mail host says. Rejects when there is none in time. */
async function greetingOf({
  host,
  port,
  localAddress,
}: {
  host: string;
  port: number;
  localAddress: string;
}): Promise<string> {
  const signal = AbortSignal.timeout(TRY_MS);
  const socket = connect({ host, port, ...(isAny(localAddress) ? {} : { localAddress }) });
  try {
    await once(socket, "connect", { signal });
    const line = await firstLine(socket, signal);
    socket.end("QUIT\r\n");
    return line;
  } catch (error) {
    if (signal.aborted) throw new Error(`no greeting within ${TRY_MS / SECOND} seconds`, { cause: error });
    throw error;
  } finally {
    socket.destroySoon();
    socket.on("error", () => undefined); // what comes after the greeting is no matter
  }
}

async function firstLine(socket: Socket, signal: AbortSignal): Promise<string> {
  let text = "";
  while (!text.includes("\n") && text.length < MAX_GREETING_CHARS) {
    const [chunk] = (await Promise.race([
      once(socket, "data", { signal }),
      once(socket, "end", { signal }).then(() => {
        throw new Error("it closed the connection without a greeting");
      }),
    ])) as [Buffer];
    text += chunk.toString("latin1");
  }
  return (text.split(/\r?\n/, 1)[0] ?? "").replaceAll(/[^ -~]/g, "?").slice(0, 100);
}

function isAny(ip: string): boolean {
  return ip === "0.0.0.0" || ip === "::";
}

function ownAddresses(): Set<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
  );
}
