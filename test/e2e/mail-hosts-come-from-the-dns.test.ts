/** From a recipient domain to the hosts to try, over a real name server: stub resolver, cache and the rules of MX together. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseDomain } from "#shared/domain/address.ts";

import { mxResolver } from "../../sender/delivery/resolve-mx.ts";
import { cachedDns } from "#shared/runtime/dns/cache.ts";
import { stubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import { startDnsServer } from "../support/dns-server.ts";
import type { ServedName } from "../support/dns-server.ts";
import { fakeClock } from "../support/fake-clock.ts";

async function world(names: Record<string, ServedName>) {
  const server = await startDnsServer(names);
  const clock = fakeClock();
  const dns = stubResolver({ nameservers: [server.address], timeoutMs: 1_000, clock });
  const resolve = mxResolver({
    dns: cachedDns(dns, { clock }),
    clock,
    random: () => 0.5,
    ownNames: new Set(),
    ownAddresses: new Set(),
    hostsFile: () => Promise.resolve([]),
  });
  return {
    server,
    clock,
    async hostsOf(text: string): Promise<string> {
      const domain = parseDomain(text);
      assert.ok(domain);
      const policy = { ignoreIpv6: false, preferIpv6: false, blockLocalAddresses: true };
      const resolved = await resolve({ domain }, policy);
      if (resolved.ok)
        return resolved.hosts.map(({ name, addresses }) => `${name} ${addresses.join(",")}`).join("; ");
      const { outcome } = resolved;
      return outcome.kind === "bounced" ? `bounced ${outcome.status}` : outcome.kind;
    },
    async [Symbol.asyncDispose]() {
      dns.close();
      await server.close();
    },
  };
}

describe("the hosts of a domain", { timeout: 20_000 }, () => {
  test("are those that the DNS names, through aliases, over TCP where an answer is long", async () => {
    await using net = await world({
      "one.net": {
        mx: [
          [20, "backup.one.net"],
          [10, "MX.one.net"],
        ],
        truncate: true,
      },
      "mx.one.net": { cname: "host.one.net" },
      "host.one.net": { a: ["9.9.9.9"], aaaa: ["2620:fe::fe"] },
      "backup.one.net": { a: ["9.9.9.10"] },
      "plain.net": { a: ["9.9.9.11"] },
      "*.wild.net": { a: ["9.9.9.12"] },
    });
    assert.equal(await net.hostsOf("one.net"), "mx.one.net 9.9.9.9,2620:fe::fe; backup.one.net 9.9.9.10");
    assert.equal(await net.hostsOf("plain.net"), "plain.net 9.9.9.11");
    assert.equal(await net.hostsOf("any.wild.net"), "any.wild.net 9.9.9.12");
  });

  test("are none for good where it says so, and none for now where it fails", async () => {
    await using net = await world({
      "null.net": { mx: [[0, ""]] },
      "empty.net": {},
      "inside.net": { a: ["10.0.0.1"] },
      "broken.net": { mx: "failed" },
      "half.net": { mx: [[10, "host.half.net"]] },
      "host.half.net": { a: "failed", aaaa: "failed" },
    });
    const expected = {
      "null.net": "bounced 5.1.10",
      "empty.net": "bounced 5.4.4",
      "inside.net": "bounced 5.4.4",
      "gone.net": "bounced 5.1.2",
      "broken.net": "deferred",
      "half.net": "deferred",
    };
    for (const [domain, fate] of Object.entries(expected))
      assert.equal(await net.hostsOf(domain), fate, domain);
  });

  test("are asked for once in their lifetime, and outlive a name server that goes away", async () => {
    await using net = await world({
      "one.net": { mx: [[10, "mx.one.net"]], ttlSeconds: 60 },
      "mx.one.net": { a: ["9.9.9.9"], aaaa: [], ttlSeconds: 60 },
    });
    const before = await net.hostsOf("one.net");
    for (let i = 0; i < 20; i++) await net.hostsOf("one.net");
    assert.equal(net.server.asked.length, 3);
    await net.server.close();
    await net.clock.advance(61_000);
    assert.equal(await net.hostsOf("one.net"), before);
  });
});
