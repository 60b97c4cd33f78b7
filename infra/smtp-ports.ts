/** The SMTP interfaces that the load balancer leads to, and whether they will take its word for who the client is. */

import { BlockList } from "node:net";

import { isLoopbackHost } from "#shared/app/api-access.ts";
import type { Config, SmtpInterface } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";

/** Ports of the interfaces that others than their own host can reach. `cidr` is where the load balancer connects from. */
export function smtpPorts(config: Config, cidr: string): number[] {
  const outside = config.smtpInterfaces.filter(({ host }) => !isLoopbackHost(host));
  for (const one of outside) checkProxy(one, cidr);
  return outside.map(({ port }) => port);
}

/** Else its PROXY header would be taken for the first command of the client, and every session would fail. */
function checkProxy({ name, proxyFrom }: SmtpInterface, cidr: string): void {
  const [address = ""] = cidr.split("/");
  const peers = new BlockList();
  for (const entry of proxyFrom) {
    const [network = "", bits] = entry.split("/");
    const family = network.includes(":") ? "ipv6" : "ipv4";
    if (bits === undefined) peers.addAddress(network, family);
    else peers.addSubnet(network, Number(bits), family);
  }
  if (peers.check(address, "ipv4")) return;
  throw new DomainError(
    "invalid-config",
    `smtpInterfaces.${name} is behind the load balancer, which tells by a PROXY header who the client is: set its useProxy to ["${cidr}"]`,
  );
}
