/** The addresses of this machine by network card, for zones that send from all of one (`interface`). */

import { networkInterfaces } from "node:os";

/** Those that reach further than the next router, IPv4 first. Null: there is no such card. */
export function addressesOfCard(name: string): string[] | null {
  const found = networkInterfaces()[name];
  if (found === undefined) return null;
  const usable = found.filter(({ address }) => !/^fe[89ab]/i.test(address)); // RFC 4291 §2.5.6: link-local
  return usable.toSorted((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address);
}

export function cardNames(): string[] {
  return Object.keys(networkInterfaces());
}
