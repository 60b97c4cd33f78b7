/** What a client is called by reverse DNS: for Received, for plugins, and for the operator's directory of senders. */

import type { SMTPServerOptions } from "smtp-server";

import { ipFamily, parseIp } from "#shared/domain/ip.ts";
import type { Dns } from "#shared/ports/dns.ts";

/** An address may have any number of names. */
const MAX_NAMES = 5;

export type NameLookup = Pick<Dns, "reverse" | "addresses">;

/** Null: it has none that leads back to it. Anybody can call his own addresses what he likes (RFC 8601 §2.7.3). */
export async function clientName(peer: string, dns: NameLookup): Promise<string | null> {
  const ip = parseIp(peer);
  const answer = ip === null ? null : await dns.reverse(ip);
  if (ip === null || answer?.kind !== "found") return null;
  for (const name of answer.records.slice(0, MAX_NAMES)) {
    const back = await dns.addresses(name, ipFamily(ip));
    if (back.kind === "found" && back.records.some((address) => parseIp(address) === ip)) return name;
  }
  return null;
}

/** As smtp-server asks for it, which greets the client after 1.5 seconds at the latest. */
export function clientNames(dns: NameLookup): NonNullable<SMTPServerOptions["resolver"]> {
  return {
    reverse: (peer, answer) => {
      clientName(peer, dns).then(
        (name) => answer(null, name === null ? [] : [name]),
        (error: unknown) => answer(error as Error),
      );
    },
  };
}
