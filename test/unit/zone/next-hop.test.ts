/** Where mail goes next: the recipient's own way, then the zone's, then the sandbox, then MX. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import { deferred } from "#shared/domain/outcome.ts";
import { PLAIN_WAY } from "#shared/domain/way.ts";
import type { Way } from "#shared/domain/way.ts";
import type { Relay, Zone } from "#shared/domain/zone.ts";
import { plainRelay } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import type { Resolved } from "../../../sender/delivery/resolve-mx.ts";
import { nextHop, resolveRelays } from "../../../sender/zone/next-hop.ts";
import type { NextHop } from "../../../sender/zone/next-hop.ts";

const sandbox = plainRelay("127.0.0.1", 2526);

function hopOf(
  way: Partial<Way> | null,
  zone: NonNullable<ConfigInput["zones"]>[string] = {},
  domain = "one.org",
) {
  const config = parseConfig({ zones: { default: zone } }, { source: null, baseDir: "/" });
  const usual = [...config.zones.values()].find(({ name }) => name === "default") as Zone;
  const whole = way && { ...PLAIN_WAY, ...way };
  return nextHop({ zone: usual, way: whole, domain: domain as Domain, sandbox, userAgent: "us/1" });
}

/** Hosts and ports of the relays. */
const shown = (hop: NextHop): string =>
  hop.kind === "relays"
    ? hop.relays.map(({ host, port, lmtp }) => `${host}:${port}${lmtp ? " lmtp" : ""}`).join(" ")
    : hop.kind === "http"
      ? `${hop.target.url} ${hop.target.userAgent}`
      : hop.kind;

describe("mail of a recipient", () => {
  const relay = { host: "relay.org", port: 26 };
  const cases: [what: string, hop: NextHop, expected: string][] = [
    ["goes to MX hosts", hopOf(null), "mx"],
    [
      "goes to the sandbox when its domain can have no host",
      hopOf(null, {}, "one.example"),
      "127.0.0.1:2526",
    ],
    ["goes to the relay of the zone", hopOf(null, relay, "one.example"), "relay.org:26"],
    ["goes to its own before that", hopOf({ hosts: ["a.org", "b.org"] }, relay), "a.org:25 b.org:25"],
    [
      "goes to its own before the sandbox",
      hopOf({ hosts: ["a.org"], port: 27 }, {}, "one.example"),
      "a.org:27",
    ],
    [
      "goes to its own before the server of the zone",
      hopOf({ hosts: ["a.org"] }, { http: "http://z.org/" }),
      "a.org:25",
    ],
    ["goes to port 465 for TLS from the first byte", hopOf({ hosts: ["a.org"], secure: true }), "a.org:465"],
    ["is posted to its own URL", hopOf({ http: "http://in.org/?k" }, relay), "http://in.org/?k us/1"],
    [
      "is posted to that of the zone",
      hopOf({ skipSts: true }, { http: "http://z.org/" }),
      "http://z.org/ ZoneFleet",
    ],
    ["is spoken LMTP to the relay of the zone", hopOf({ lmtp: true }, relay), "relay.org:26 lmtp"],
    ["is not spoken LMTP to MX hosts", hopOf({ lmtp: true }), "none"],
    ["with a flag alone goes as the zone does", hopOf({ skipSrs: true }), "mx"],
  ];
  for (const [what, hop, expected] of cases) test(what, () => assert.equal(shown(hop), expected));
});

describe("several relays", () => {
  const relays: [Relay, Relay] = [plainRelay("a.org", 25), plainRelay("b.org", 25)];
  const zone = {} as Zone;
  const found = (name: string): Resolved => ({
    ok: true,
    site: `${name}:25`,
    hosts: [{ name, addresses: [`${name} address`], preference: 0 }],
  });
  const lost = (name: string): Resolved => ({
    ok: false,
    site: `${name}:25`,
    outcome: deferred("dns", name),
  });
  const resolvedBy = (answer: (name: string) => Resolved) =>
    resolveRelays(relays, zone, async (to) => answer("relay" in to ? to.relay.host : ""));

  test("are tried in order, as one site", async () => {
    const resolved = await resolvedBy(found);
    assert.ok(resolved.ok);
    assert.equal(resolved.site, "a.org:25,b.org:25");
    assert.deepEqual(
      resolved.hosts.map(({ name, preference }) => `${preference} ${name}`),
      ["0 a.org", "1 b.org"],
    );
  });

  test("do without one that cannot be found", async () => {
    const resolved = await resolvedBy((name) => (name === "a.org" ? lost(name) : found(name)));
    assert.ok(resolved.ok);
    assert.deepEqual(
      resolved.hosts.map(({ name }) => name),
      ["b.org"],
    );
  });

  test("are a deferral when none can be found", async () => {
    const resolved = await resolvedBy(lost);
    assert.deepEqual(resolved, { ok: false, site: "a.org:25,b.org:25", outcome: deferred("dns", "a.org") });
  });
});
