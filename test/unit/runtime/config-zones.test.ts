import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { elasticNames } from "#shared/domain/pool.ts";
import type { ConfigInput } from "#shared/runtime/define-config.ts";
import { addressesOfCard, cardNames } from "#shared/runtime/network-cards.ts";
import { parse, zone } from "../../support/config.ts";

describe("a zone", () => {
  test("has its name in lower case, so that X-Sending-Zone reaches it", () => {
    assert.equal(zone({ zones: { Bulk: {} } }, "bulk").name, "bulk");
  });

  test("takes what it does not say from dns and queue", () => {
    const given = {
      queue: { deferTimes: [1_000] },
      dns: { blockLocalAddresses: false, preferIPv6: true },
      zones: { a: {} },
    };
    const { blockLocalAddresses, preferIpv6, ignoreIpv6, deferTimesMs } = zone(given, "a");
    assert.deepEqual(
      { blockLocalAddresses, preferIpv6, ignoreIpv6, deferTimesMs },
      {
        blockLocalAddresses: false,
        preferIpv6: true,
        ignoreIpv6: false,
        deferTimesMs: [1_000],
      },
    );
  });

  test("that prefers IPv6 does not ignore it, and one that ignores it does not prefer it", () => {
    assert.equal(zone({ zones: { a: { preferIPv6: true } } }, "a").ignoreIpv6, false);
    assert.equal(
      zone({ dns: { preferIPv6: true }, zones: { a: { ignoreIPv6: true } } }, "a").preferIpv6,
      false,
    );
  });

  test("with a host is a relay, on port 465 when that is TLS from the first byte", () => {
    assert.deepEqual(zone({ zones: { a: { host: "relay.example" } } }, "a").relay, {
      host: "relay.example",
      port: 25,
      auth: null,
      secure: false,
      authMethod: null,
      credentials: "verified",
      lmtp: false,
    });
    const secure = { host: "192.0.2.1", secure: true, auth: { user: "u", pass: "p" } };
    assert.deepEqual(zone({ zones: { a: secure } }, "a").relay, {
      host: "192.0.2.1",
      port: 465,
      auth: { user: "u", pass: "p" },
      secure: true,
      authMethod: null,
      credentials: "verified",
      lmtp: false,
    });
    const own = { ...secure, authMethod: "LOGIN", credentials: "encrypted" } as const;
    const relay = zone({ zones: { a: own } }, "a").relay;
    assert.deepEqual([relay?.authMethod, relay?.credentials], ["LOGIN", "encrypted"]);
    assert.equal(zone({ zones: { a: { host: "127.0.0.1", port: 24, lmtp: true } } }, "a").relay?.lmtp, true);
  });

  test("with http posts its mail, under the name that uploads have", () => {
    const zones = { a: { http: "https://app.example/in" } };
    assert.deepEqual(zone({ zones }, "a").http, { url: "https://app.example/in", userAgent: "ZoneFleet" });
    assert.equal(zone({ zones, uploads: { userAgent: "us/1" } }, "a").http?.userAgent, "us/1");
    assert.equal(zone({ zones }, "default").http, null);
  });

  test("uses its pool, the pool default when it names none, and both wildcards with IPv6", () => {
    const pools = { default: ["192.0.2.1"], named: ["192.0.2.2"] };
    const addresses = (of: NonNullable<ConfigInput["zones"]>[string], given: ConfigInput["pools"] = pools) =>
      zone({ pools: given, zones: { a: of } }, "a").pool.map(({ address }) => address);
    assert.deepEqual(addresses({}), ["192.0.2.1"]);
    assert.deepEqual(addresses({ pool: "named" }), ["192.0.2.2"]);
    assert.deepEqual(addresses({ pool: ["192.0.2.3"] }), ["192.0.2.3"]);
    assert.deepEqual(addresses({}, {}), ["0.0.0.0"]);
    assert.deepEqual(addresses({ ignoreIPv6: false }, { default: [] }), ["0.0.0.0", "::"]);
  });

  test("knows an Elastic IP by its name, in as many pools as it is in", () => {
    const m1 = { address: "elastic", name: "M1.example.com" };
    const m2 = { address: "elastic", name: "m2.example.com", ratio: 0.25 };
    const given: ConfigInput = {
      pools: { default: [m1, m2], other: [m1] },
      zones: { other: { pool: "other" } },
      domainConfig: { "gmail.com": { disabledAddresses: ["M2.example.com", "192.0.2.1"] } },
    };
    assert.deepEqual(zone(given, "default").pool, [
      { address: "m1.example.com", name: "m1.example.com", share: 0.75, elastic: true },
      { address: "m2.example.com", name: "m2.example.com", share: 0.25, elastic: true },
    ]);
    const { zones, domains } = parse(given);
    const pools = [...zones.values()].map(({ pool }) => pool);
    assert.deepEqual(elasticNames(pools), ["m1.example.com", "m2.example.com"]);
    assert.deepEqual(domains.byDomain.get("gmail.com")?.disabledAddresses, ["m2.example.com", "192.0.2.1"]);
  });

  test("has its routes in the spelling that mail is compared in", () => {
    const routes = {
      senderDomains: ["JÕGEVA.ee"],
      originAddresses: ["2001:DB8:0::1"],
      routingHeaders: { "X-Kind": " Bulk " },
    };
    assert.deepEqual(zone({ zones: { a: routes } }, "a").routes, {
      senderDomains: ["xn--jgeva-dua.ee"],
      recipientDomains: [],
      originAddresses: ["2001:db8::1"],
      routingHeaders: { "x-kind": ["bulk"] },
    });
  });

  test("uses no connection twice when its connections may not wait", () => {
    const never = zone({ zones: { bulk: { connectionCache: { ttl: 0 } } } }, "bulk");
    assert.deepEqual(never.connectionCache, { ttlMs: 0, reuseCount: 1 });
    const soon = zone({ zones: { bulk: { connectionCache: { ttl: 0.5, reuseCount: 7 } } } }, "bulk");
    assert.deepEqual(soon.connectionCache, { ttlMs: 500, reuseCount: 7 });
  });

  test("takes the ttl of connectionCache in seconds, as ZoneMTA does, and says so of what can only be milliseconds", () => {
    const zoneMta = zone({ zones: { bulk: { connectionCache: { ttl: 60, reuseCount: 100 } } } }, "bulk");
    assert.deepEqual(zoneMta.connectionCache, { ttlMs: 60_000, reuseCount: 100 });
    assert.equal(zone({ zones: { bulk: {} } }, "bulk").connectionCache.ttlMs, 5_000);
    assert.throws(() => parse({ zones: { bulk: { connectionCache: { ttl: 5_000 } } } }), {
      message: /connectionCache\.ttl: expected seconds, 300 at most .*, found 5000/,
    });
  });
});

/** One that has an address; every machine has the loopback. */
const card = cardNames().find((name) => addressesOfCard(name)?.includes("127.0.0.1")) ?? "";

function poolOf(a: Record<string, unknown>, pools: Record<string, unknown> = {}): string[] {
  return zone({ pools, zones: { a } } as ConfigInput, "a").pool.map(({ address }) => address);
}

describe("the network card of a zone", () => {
  test("gives its addresses to the pool", () => {
    const all = addressesOfCard(card) ?? [];
    assert.ok(all.includes("127.0.0.1"));
    assert.deepEqual(poolOf({ interface: card }), all);
    assert.deepEqual(poolOf({ interface: card, pool: ["192.0.2.1"] }), ["192.0.2.1", ...all]);
    assert.deepEqual(poolOf({ interface: card, pool: "out" }, { out: ["192.0.2.2"] }), ["192.0.2.2", ...all]);
  });

  test("adds no address that is in the pool already", () => {
    const pool = [{ address: "127.0.0.1", name: "mail.example.com" }];
    const found = poolOf({ interface: card, pool });
    assert.equal(found.filter((address) => address === "127.0.0.1").length, 1);
  });

  test("has to be there, and so has the pool", () => {
    assert.throws(
      () => poolOf({ interface: "nosuch0" }),
      (error) =>
        error instanceof DomainError &&
        error.message.includes('zones.a.interface: this machine has no network card "nosuch0"; it has '),
    );
    assert.throws(() => poolOf({ interface: card, pool: "nosuch" }), /there is no pool "nosuch"/);
  });
});

test("a pool of nothing is any address of the system", () => {
  assert.deepEqual(poolOf({ pool: "empty" }, { empty: [] }), ["0.0.0.0"]);
  assert.deepEqual(poolOf({ pool: [], ignoreIPv6: false }), ["0.0.0.0", "::"]);
});
