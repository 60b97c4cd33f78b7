/** What `dns` and `doctor` are told besides the configuration: public addresses by EHLO name, and domains that mail is sent for. */

import { parseDomain } from "#shared/domain/address.ts";
import type { KnownAddress } from "#shared/domain/egress-names.ts";
import { parseIp } from "#shared/domain/ip.ts";

import { UsageError } from "../command.ts";
import type { Site } from "./site.ts";

export const SITE_OPTIONS = {
  ip: { type: "string", multiple: true },
  sender: { type: "string", multiple: true },
} as const;

export const SITE_USAGE = `      [--ip <name>=<address>]        public address behind an EHLO name, where the configuration cannot know it (NAT, Elastic IPs)
      [--sender <domain>]            mail is sent in its name, too; both may be given again`;

export type IpsByName = ReadonlyMap<string, readonly KnownAddress[]>;

/** Throws a `UsageError` on what is not `name=address`. */
export function ipsByName(given: readonly string[]): IpsByName {
  const byName = new Map<string, KnownAddress[]>();
  for (const text of given) {
    const [name = "", address = ""] = text.split("=", 2);
    const [domain, ip] = [parseDomain(name), parseIp(address)];
    if (domain === null || ip === null)
      throw new UsageError(
        `--ip is <name>=<address>, such as m1.example.com=192.0.2.1, and not ${JSON.stringify(text)}`,
      );
    byName.set(domain, [...(byName.get(domain) ?? []), { publicIp: ip, privateAddress: null }]);
  }
  return byName;
}

export function domainsOf(given: readonly string[]): string[] {
  return given.map((text) => {
    const domain = parseDomain(text);
    if (domain === null || domain.startsWith("["))
      throw new UsageError(`--sender is a domain name, and not ${JSON.stringify(text)}`);
    return domain;
  });
}

/** What is given, and the Elastic IPs of a deployment beneath it. `trouble`: those could not be asked for, and why. */
export async function knownAddresses(
  site: Site,
  given: IpsByName,
): Promise<{ byName: IpsByName; trouble: string | null }> {
  const { elasticIps } = site;
  if (elasticIps === null) return { byName: given, trouble: null };
  try {
    const { ours } = await elasticIps();
    const byName = Map.groupBy(ours, ({ name }) => name.toLowerCase());
    return { byName: new Map([...byName, ...given]), trouble: null };
  } catch (error) {
    return { byName: given, trouble: error instanceof Error ? error.message : String(error) };
  }
}
