/**
 * Which addresses of the pools cannot be bound on this machine? They are told at the start, since nothing is ever sent from them; mail
 * goes from the others (zone/idle-egress.ts).
 */

import { createSocket } from "node:dgram";
import { once } from "node:events";

import type { Config } from "#shared/domain/config.ts";
import { ipFamily } from "#shared/domain/ip.ts";

/** In the order of the configuration, each once. Elastic IPs are looked after elsewhere. */
export async function missingAddresses({ zones }: Pick<Config, "zones">): Promise<string[]> {
  const pools = [...zones.values()].flatMap(({ pool }) => pool);
  const ours = pools.filter(({ elastic, share }) => elastic !== true && share > 0);
  const missing: string[] = [];
  for (const address of new Set(ours.map((each) => each.address)))
    if (!(await canBind(address))) missing.push(address);
  return missing;
}

async function canBind(address: string): Promise<boolean> {
  const socket = createSocket(ipFamily(address) === 6 ? "udp6" : "udp4");
  try {
    socket.bind(0, address);
    await once(socket, "listening");
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}
