/** Which name servers to ask: those of the configuration, or those of the system. */

import { Resolver } from "node:dns";
import { isIP } from "node:net";

import { DomainError } from "../../domain/errors.ts";

export interface Nameserver {
  readonly address: string;
  readonly port: number;
}

const DNS_PORT = 53;
/** As many as resolv.conf may have, and one to spare. */
const MAX_NAMESERVERS = 4;

/**
 * Null: those of the system as they are now, as far as they are addresses. Throws a `DomainError` on what is not `ip`, `ip:port` or
 * `[ipv6]:port`, and on too many.
 */
export function nameserversOf(configured: readonly string[] | null): Nameserver[] {
  if (configured === null) {
    const servers = new Resolver().getServers().flatMap((text) => parseNameserver(text) ?? []);
    return servers.slice(0, MAX_NAMESERVERS);
  }
  if (configured.length > MAX_NAMESERVERS) {
    const message = `dns.nameservers has ${configured.length} name servers, but ${MAX_NAMESERVERS} are asked at most`;
    throw new DomainError("invalid-config", message, "dns.nameservers");
  }
  return configured.map((text, i) => readConfigured(text, `dns.nameservers[${i}]`));
}

export function printNameserver({ address, port }: Nameserver): string {
  if (port === DNS_PORT) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function readConfigured(text: string, path: string): Nameserver {
  const server = parseNameserver(text);
  if (server !== null) return server;
  const wanted = "an IP address such as 192.0.2.53, 192.0.2.53:5353, 2001:db8::53 or [2001:db8::53]:5353";
  throw new DomainError("invalid-config", `${path} is ${JSON.stringify(text)}, but must be ${wanted}`, path);
}

function parseNameserver(text: string): Nameserver | null {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  return isIP(address) !== 0 && port > 0 && port <= 65_535 ? { address, port } : null;
}
