/** The load balancers that an interface believes, by address and block (`useProxy`). */

import { BlockList, isIP } from "node:net";

import { DomainError } from "../domain/errors.ts";
import { ipFamily, parseIp } from "../domain/ip.ts";

/** Says whose connections begin with a PROXY header. Throws on what is neither an IP address nor a CIDR block. */
export function proxyPeers(proxyFrom: readonly string[]): (peer: string | undefined) => boolean {
  const peers = new BlockList();
  for (const entry of proxyFrom) addPeer(peers, entry);
  return (peer) => {
    const ip = peer === undefined ? null : parseIp(peer);
    return ip !== null && peers.check(ip, ipFamily(ip) === 6 ? "ipv6" : "ipv4");
  };
}

function addPeer(peers: BlockList, entry: string): void {
  const [address = "", prefix, ...more] = entry.split("/");
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  const maxPrefix = family === "ipv6" ? 128 : 32;
  if (isIP(address) === 0 || more.length > 0 || (prefix !== undefined && !isPrefix(prefix, maxPrefix))) {
    throw new DomainError(
      "invalid-config",
      `${entry} is neither an IP address nor a CIDR block`,
      "proxyFrom",
    );
  }
  peers.addSubnet(address, prefix === undefined ? maxPrefix : Number(prefix), family);
}

function isPrefix(text: string, max: number): boolean {
  return /^\d{1,3}$/.test(text) && Number(text) <= max;
}
