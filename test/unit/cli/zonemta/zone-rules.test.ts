import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Tree } from "../../../../cli/zonemta/tree.ts";
import { treeAt } from "../../../../cli/zonemta/tree.ts";
import { carried } from "../../../support/carried-over.ts";

const POOLS = { default: ["192.0.2.1"], six: ["192.0.2.1", "2001:db8::1"] };

/** The zone `bulk`, and what is said of it. */
function zone(written: Tree, rest: Tree = {}) {
  const { config, changed, leftOut } = carried({ zones: { bulk: written }, ...rest });
  return { zone: treeAt(treeAt(config, "zones"), "bulk"), said: [...changed, ...leftOut].join("\n") };
}

describe("a zone of ZoneMTA", () => {
  test("keeps the seconds of its connection cache, and has our default for a zero, which is ZoneMTA's", () => {
    const cache = { ttl: 60, reuseCount: 20 };
    assert.deepEqual(zone({ connectionCache: cache }).zone, { connectionCache: cache });
    assert.deepEqual(zone({ connectionCache: { ttl: 0, reuseCount: 0 } }).zone, { connectionCache: {} });
    const long = zone({ connectionCache: { ttl: 900 } });
    assert.deepEqual(long.zone, { connectionCache: { ttl: 300 } });
    assert.match(long.said, /connectionCache\.ttl: is 300 seconds now/);
  });

  for (const [written, rate] of [
    ["100 messages/second", "100/second"],
    ["100 anything / MINUTES", "100/minute"],
    ["20 mails/hour", "20/hour"],
    ["50/day", "50/hour"], // what ZoneMTA makes of it
    ["50 a/b/s", "50/second"],
  ])
    test(`has the rate ${rate} of ${JSON.stringify(written)}, and is told that it is of the whole zone`, () => {
      const { zone: bulk, said } = zone({ throttling: written as string });
      assert.deepEqual(bulk, { throttling: rate });
      assert.match(said, /throttling: is .* of the whole zone now/);
    });

  test("has no rate of what is none, and that is told", () => {
    for (const throttling of ["7", 7, "many/second"]) {
      const { zone: bulk, said } = zone({ throttling, connections: 2 });
      assert.deepEqual(bulk, { connections: 2 });
      assert.match(said, /throttling: .* is no rate.*100\/minute/);
    }
    assert.equal(zone({ throttling: false }).said, "");
  });

  test("takes one where there may be several", () => {
    const { zone: bulk, said } = zone({
      senderDomains: "a.example",
      recipientDomains: "b.example",
      originAddresses: "192.0.2.9",
      routingHeaders: { "x-user-id": 123 },
      authMethod: "login",
    });
    assert.deepEqual(bulk, {
      senderDomains: ["a.example"],
      recipientDomains: ["b.example"],
      originAddresses: ["192.0.2.9"],
      routingHeaders: { "x-user-id": "123" },
      authMethod: "LOGIN",
    });
    assert.equal(said, "");
  });

  test("has the connections of all its processes, in whatever way their numbers are written", () => {
    for (const [connections, processes] of [
      [4, 2],
      ["4", "2"],
    ] as const) {
      const { zone: bulk, said } = zone({ connections, processes });
      assert.deepEqual(bulk, { connections: 8 });
      assert.match(said, /zones\.bulk\.connections: is 8 now: 4 in each of 2 processes before/);
    }
    assert.deepEqual(zone({ connections: 4, processes: 1 }).zone, { connections: 4 });
    assert.deepEqual(zone({ connectionCache: { ttl: "900" } }).zone, { connectionCache: { ttl: 300 } });
  });

  test("logs in to its relay only with a user and a password", () => {
    const auth = { user: "", pass: "" };
    assert.deepEqual(zone({ host: "relay.example", auth }), { zone: { host: "relay.example" }, said: "" });
    const half = { user: "us", pass: "" };
    assert.deepEqual(zone({ host: "relay.example", auth: half }).zone["auth"], { user: "us" });
  });

  test("has the address that its pool names, in a list", () => {
    assert.deepEqual(zone({ pool: "192.0.2.7" }).zone, { pool: ["192.0.2.7"] });
    const entry = { address: "192.0.2.7", name: "m7.example" };
    assert.deepEqual(zone({ pool: entry }).zone, { pool: [entry] });
    assert.deepEqual(zone({ pool: "six" }, { pools: { six: "192.0.2.1" } }).zone, { pool: "six" });
  });

  test("without a pool has any address of the system, where it would have the pool default here", () => {
    const { zone: bulk, said } = zone({ connections: 1 }, { pools: POOLS });
    assert.deepEqual(bulk, { connections: 1, pool: [] });
    assert.match(said, /zones\.bulk\.pool: is empty now/);
    assert.deepEqual(zone({ interface: "eth1" }, { pools: POOLS }).zone, { interface: "eth1" });
    assert.deepEqual(zone({}, { pools: { default: [] } }).zone, {});
    const { config } = carried({ zones: { default: { connections: 1 } }, pools: POOLS });
    assert.deepEqual(config["zones"], { default: { connections: 1 } });
  });

  test("uses the IPv6 addresses of its pool where nothing says that it does not", () => {
    const { zone: bulk, said } = zone({ pool: "six" }, { pools: POOLS });
    assert.deepEqual(bulk, { pool: "six", ignoreIPv6: false });
    assert.match(said, /zones\.bulk\.ignoreIPv6: is false now/);
    assert.deepEqual(zone({ pool: "six", ignoreIPv6: true }, { pools: POOLS }).zone["ignoreIPv6"], true);
    assert.equal(
      zone({ pool: "six" }, { pools: POOLS, dns: { ignoreIPv6: true } }).zone["ignoreIPv6"],
      undefined,
    );
    assert.equal(zone({ pool: "default" }, { pools: POOLS }).zone["ignoreIPv6"], undefined);
  });
});

describe("what is around the zones of ZoneMTA", () => {
  test("is a list for a pool of one, and tells of a ratio of 0", () => {
    const { config, changed } = carried({
      pools: { one: "192.0.2.1", two: [{ address: "192.0.2.2", ratio: 0 }, "192.0.2.3"], none: false },
    });
    assert.deepEqual(config["pools"], {
      one: ["192.0.2.1"],
      two: [{ address: "192.0.2.2", ratio: 0 }, "192.0.2.3"],
      none: [],
    });
    assert.match(changed.join("\n"), /pools\.two\[0\]\.ratio: is 0, which is never used/);
  });

  test("is no sending without the queue server", () => {
    const { config, changed } = carried({
      queueServer: { enabled: false },
      zones: { bulk: { connections: 2 } },
    });
    assert.deepEqual(config["zones"], {
      default: { disabled: true },
      bounces: { disabled: true },
      bulk: { connections: 2, disabled: true },
    });
    assert.match(changed.join("\n"), /queueServer\.enabled: is false, so each zone is disabled/);
  });

  test("is no sending for a zone whose name has capitals either", () => {
    const { config } = carried({ queueServer: false, zones: { Default: { connections: 2 } } });
    assert.deepEqual(config["zones"], {
      bounces: { disabled: true },
      Default: { connections: 2, disabled: true },
    });
  });

  test("is asked of the name servers that the code of ZoneMTA asks", () => {
    const { config, changed } = carried({
      nameservers: "192.0.2.53",
      dns: { nameservers: false, caching: true },
    });
    assert.deepEqual(config, { dns: { nameservers: ["192.0.2.53"] } });
    assert.match(changed.join("\n"), /^nameservers: is dns\.nameservers now/);
    assert.deepEqual(carried({ dns: { nameservers: [] } }).config, { dns: { nameservers: [] } });
  });

  test("is for all domains what the code of ZoneMTA takes for all of them", () => {
    const { config } = carried({
      domainConfig: {
        default: { maxConnections: 9, disabledAddresses: [] },
        defaults: { maxConnections: 2 },
        "a.example": { disabledAddresses: "192.0.2.1" },
      },
    });
    assert.deepEqual(config["domainConfig"], {
      default: { maxConnections: 2, disabledAddresses: [] },
      "a.example": { disabledAddresses: ["192.0.2.1"] },
    });
  });
});
