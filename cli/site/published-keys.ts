/** The DKIM keys whose records are to be in the DNS: one that is for all domains has a record in each that mail is signed for. */

import { parseDomain } from "#shared/domain/address.ts";
import type { Config } from "#shared/domain/config.ts";
import type { AllMailKey, DkimKey } from "#shared/domain/dkim.ts";
import type { EgressName } from "#shared/domain/egress-names.ts";

export interface SiteKeys {
  readonly keys: readonly DkimKey[];
  /** That of `core/dkim` without a domain; null: there is none. */
  readonly forAnyDomain: AllMailKey | null;
}

export function publishedKeys(
  { keys, forAnyDomain }: SiteKeys,
  { hostname, dkim }: Pick<Config, "hostname" | "dkim">,
  of: { readonly sending: readonly string[]; readonly egress: readonly EgressName[] },
): DkimKey[] {
  if (forAnyDomain === null) return [...keys];
  const hosts = dkim.signTransportDomain ? of.egress.map(({ name }) => name) : [];
  // reports on bounces are of our host name
  const domains = new Set([...of.sending, hostname, ...hosts].map((name) => parseDomain(name)));
  const records = [...domains].flatMap((domain) =>
    domain === null || domain.startsWith("[") ? [] : [{ ...forAnyDomain, domain }],
  );
  return [...keys, ...records];
}
