/**
 * Which zone a recipient's mail goes by, in ZoneMTA's order: the zone that the operator's directory names for the sender, the one
 * that a permitted X-Sending-Zone names, a routing header (the lowest in the message wins), the domain of the return path, the recipient's domain, the client's IP, the default zone.
 * Domains and addresses match exactly: `example.com` does not speak for `mail.example.com`.
 */

import type { Domain } from "./address.ts";
import { headerValue } from "./headers.ts";
import type { HeaderList } from "./headers.ts";
import { parseIp } from "./ip.ts";
import type { Zone, ZoneName, ZoneRoutes } from "./zone.ts";

export interface RoutingFacts {
  /** Value of X-Sending-Zone when the origin may choose its zone; null: it may not, or did not. */
  readonly headerZone: string | null;
  /** What the operator's directory says of the sender; null: nothing. */
  readonly directoryZone: string | null;
  readonly headers: HeaderList;
  /** Null: an empty return path. */
  readonly returnPathDomain: Domain | null;
  readonly recipientDomain: Domain;
  /** IP address of the client; null: unknown. */
  readonly originIp: string | null;
}

type Table = ReadonlyMap<string, ZoneName>;

const MAX_SHOWN_CHARS = 64;

/** A router with its lookup tables: what a recipient costs does not grow with the zones. */
export function zoneRouter(
  zones: ReadonlyMap<ZoneName, Zone>,
  defaultZone: ZoneName,
): (facts: RoutingFacts) => ZoneName {
  const byHeader = headerTables(zones);
  const bySender = table(zones, (routes) => routes.senderDomains);
  const byRecipient = table(zones, (routes) => routes.recipientDomains);
  const byOrigin = table(zones, (routes) => routes.originAddresses);
  return ({ headerZone, directoryZone, headers, returnPathDomain, recipientDomain, originIp }) =>
    namedZone(zones, directoryZone) ??
    namedZone(zones, headerZone) ??
    zoneByHeader(byHeader, headers) ??
    lookUp(bySender, returnPathDomain) ??
    lookUp(byRecipient, recipientDomain) ??
    lookUp(byOrigin, originIp === null ? null : parseIp(originIp)) ??
    defaultZone;
}

/** What the directory or the header names and is no zone, cut short; null: nothing. */
export function unknownZone(
  zones: ReadonlyMap<ZoneName, Zone>,
  { directoryZone, headerZone }: Pick<RoutingFacts, "directoryZone" | "headerZone">,
): string | null {
  const named = [directoryZone, headerZone].map((name) => name?.trim() ?? "");
  const unknown = named.find((name) => name !== "" && namedZone(zones, name) === null);
  return unknown?.slice(0, MAX_SHOWN_CHARS) ?? null;
}

/** Null: no zone is named, or one that does not exist. A client's slip must not make mail wait where nobody sends. */
function namedZone(zones: ReadonlyMap<ZoneName, Zone>, text: string | null): ZoneName | null {
  const name = text?.trim().toLowerCase() as ZoneName | undefined;
  return name !== undefined && zones.has(name) ? name : null;
}

function zoneByHeader(tables: ReadonlyMap<string, Table>, headers: HeaderList): ZoneName | null {
  if (tables.size === 0) return null;
  for (const header of headers.toReversed()) {
    const zone = tables.get(header.key)?.get(headerValue(header).trim().toLowerCase());
    if (zone !== undefined) return zone;
  }
  return null;
}

function lookUp(zones: Table, key: string | null): ZoneName | null {
  return key === null ? null : (zones.get(key) ?? null);
}

/** The first zone that claims a key has it; a configuration file with two claims is refused. */
function table(
  zones: ReadonlyMap<ZoneName, Zone>,
  keysOf: (routes: ZoneRoutes) => readonly string[],
): Map<string, ZoneName> {
  const claims = [...zones.values()].flatMap(({ name, routes }) =>
    keysOf(routes).map((key) => [key, name] as const),
  );
  return new Map(claims.toReversed());
}

function headerTables(zones: ReadonlyMap<ZoneName, Zone>): Map<string, Table> {
  const names = [...zones.values()].flatMap(({ routes }) => Object.keys(routes.routingHeaders));
  return new Map(
    names.map((name) => [name, table(zones, ({ routingHeaders }) => routingHeaders[name] ?? [])]),
  );
}
