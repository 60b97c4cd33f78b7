/** Which domains the zones of this worker take no mail for just now: what its heartbeat tells operators. */

import type { Domain } from "#shared/domain/address.ts";
import { domainOfLine } from "#shared/domain/queue-row.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { FullDomains } from "#shared/ports/fleet-store.ts";

/** Of a zone; a heartbeat is one small write. */
const MAX_TOLD = 100;

export interface FullDomainsBook {
  note(zone: ZoneName, full: ReadonlySet<Domain> | "all"): void;
  /** Zones without any are missing. */
  list(): FullDomains[];
}

export function fullDomainsBook(): FullDomainsBook {
  const byZone = new Map<ZoneName, ReadonlySet<Domain> | "all">();
  return {
    note: (zone, full) => void byZone.set(zone, full),
    list: () =>
      [...byZone]
        .map(([zone, full]) => ({ zone, domains: full === "all" ? ["*"] : domainsOf(full) }))
        .filter(({ domains }) => domains.length > 0),
  };
}

/** What is full are lines of the queue: several may be of one domain. */
function domainsOf(lines: ReadonlySet<Domain>): Domain[] {
  return [...new Set([...lines].map(domainOfLine))].slice(0, MAX_TOLD);
}
