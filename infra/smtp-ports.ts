/** The SMTP interfaces that the load balancer leads to, and whether they will take its word for who the client is. */

import { isLoopbackHost } from "#shared/app/api-access.ts";
import type { Config, SmtpInterface } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { proxyPeers } from "#shared/runtime/proxy-peers.ts";

/** Ports of the interfaces that others than their own host can reach. `cidr` is where the load balancer connects from. */
export function smtpPorts(config: Config, cidr: string): number[] {
  const outside = config.smtpInterfaces.filter(({ host }) => !isLoopbackHost(host));
  for (const one of outside) checkProxy(one, cidr);
  return outside.map(({ port }) => port);
}

/** Else its PROXY header would be taken for the first command of the client, and every session would fail. */
function checkProxy({ name, proxyFrom }: SmtpInterface, cidr: string): void {
  const [address = ""] = cidr.split("/");
  if (proxyPeers(proxyFrom)(address)) return;
  throw new DomainError(
    "invalid-config",
    `smtpInterfaces.${name} is behind the load balancer, which tells by a PROXY header who the client is: set its useProxy to ["${cidr}"]`,
  );
}
