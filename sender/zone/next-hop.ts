/**
 * Where mail of one line goes next: its recipient's own way before the relay or the server of the zone, that before the sandbox, and
 * that before the MX hosts of the domain.
 */

import type { Domain } from "#shared/domain/address.ts";
import { isReservedName } from "#shared/domain/reserved-names.ts";
import type { Way } from "#shared/domain/way.ts";
import type { HttpTarget, Relay, Zone } from "#shared/domain/zone.ts";
import { joinedSite } from "../delivery/resolve-mx.ts";
import type { ResolveMx, Resolved } from "../delivery/resolve-mx.ts";

export type NextHop =
  | { readonly kind: "http"; readonly target: HttpTarget }
  /** In the order to try. They differ in their hosts alone. */
  | { readonly kind: "relays"; readonly relays: readonly [Relay, ...Relay[]] }
  | { readonly kind: "mx" }
  /** What the way asks for cannot be done in this zone. */
  | { readonly kind: "none"; readonly detail: string };

export interface NextHopFacts {
  readonly zone: Zone;
  /** Null: he has none of his own. */
  readonly way: Way | null;
  readonly domain: Domain;
  /** Not null: where mail for the reserved names of RFC 2606 and RFC 6761 goes. */
  readonly sandbox: Relay | null;
  /** Of our posts by HTTP. */
  readonly userAgent: string;
}

const SMTP_PORT = 25;
const SMTPS_PORT = 465;

export function nextHop({ zone, way, domain, sandbox, userAgent }: NextHopFacts): NextHop {
  if (way?.http != null) return { kind: "http", target: { url: way.http, userAgent } };
  if (way?.hosts) return { kind: "relays", relays: relaysOf(way, way.hosts) };
  if (zone.http !== null) return { kind: "http", target: zone.http };
  const relay = zone.relay ?? (sandbox && isReservedName(domain) ? sandbox : null);
  if (relay) return { kind: "relays", relays: [way?.lmtp === true ? { ...relay, lmtp: true } : relay] };
  return way?.lmtp === true
    ? { kind: "none", detail: "LMTP is for a relay, and neither the way of this mail nor its zone names one" }
    : { kind: "mx" };
}

function relaysOf(way: Way, hosts: readonly string[]): [Relay, ...Relay[]] {
  const { auth, authMethod, credentials, secure, lmtp } = way;
  const port = way.port ?? (secure ? SMTPS_PORT : SMTP_PORT);
  const [first = "", ...others] = hosts;
  const relay = { host: first, port, auth, authMethod, credentials, secure, lmtp };
  return [relay, ...others.map((host) => ({ ...relay, host }))];
}

/** The hosts of all that can be found; the first trouble when none can. */
export async function resolveRelays(
  relays: readonly [Relay, ...Relay[]],
  zone: Zone,
  resolve: ResolveMx,
): Promise<Resolved> {
  const [first, ...others] = await Promise.all(relays.map((relay) => resolve({ relay }, zone)));
  if (first === undefined || others.length === 0) return first as Resolved;
  const site = joinedSite([first, ...others].map((one) => one.site));
  const hosts = [first, ...others].flatMap((one, preference) =>
    one.ok ? one.hosts.map((host) => ({ ...host, preference })) : [],
  );
  if (hosts.length === 0 && !first.ok) return { ...first, site };
  return { ok: true, site, hosts };
}
