/** Which addresses of a destination are used: families, those that are not for the world, ourselves, literals and relays. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { addresses, detail, fate, names, resolver } from "../../support/mx-resolver.ts";

describe("address families", () => {
  const dual = {
    "dual.net": { a: ["9.9.9.9"], aaaa: ["2620:fe::fe"] },
    "six.net": { aaaa: ["2620:fe::fe"] },
  };

  test("IPv4 comes first, or IPv6 when the zone prefers it", async () => {
    const { domain } = resolver(dual);
    assert.deepEqual(addresses(await domain("dual.net")), ["9.9.9.9", "2620:fe::fe"]);
    assert.deepEqual(addresses(await domain("dual.net", { preferIpv6: true })), ["2620:fe::fe", "9.9.9.9"]);
  });

  test("IPv6 is not even asked for where the zone ignores it", async () => {
    const { domain, dns } = resolver(dual);
    const policy = { ignoreIpv6: true, preferIpv6: true };
    assert.deepEqual(addresses(await domain("dual.net", policy)), ["9.9.9.9"]);
    assert.ok(!dns.asked.includes("aaaa dual.net"));
    const six = await domain("six.net", policy);
    assert.equal(fate(six), "bounced unroutable 5.4.4");
    assert.match(detail(six), /ignoreIpv6/);
    assert.equal(fate(await domain("[IPv6:2620:fe::fe]", policy)), "bounced unroutable 5.4.4");
  });

  test("four addresses of a host and family at most, others each time", async () => {
    const all = Array.from({ length: 20 }, (_, i) => `9.9.9.${i}`);
    const { domain } = resolver({ "wide.net": { a: all } });
    const seen = new Set<string>();
    for (let run = 0; run < 50; run++) {
      const some = addresses(await domain("wide.net"));
      assert.equal(some.length, 4);
      for (const ip of some) seen.add(ip);
    }
    assert.equal(seen.size, all.length);
  });
});

describe("targets that are not for the world", () => {
  test("are left out, and bounce with the name of the setting when nothing else is left", async () => {
    const { domain } = resolver({
      "mixed.net": {
        mx: [
          [10, "inside.net"],
          [20, "outside.net"],
        ],
      },
      "inside.net": { a: ["10.0.0.1", "169.254.169.254"] },
      "outside.net": { a: ["192.168.1.1", "9.9.9.9"], aaaa: ["::1", "fd00:ec2::254"] },
    });
    assert.deepEqual(addresses(await domain("mixed.net")), ["9.9.9.9"]);
    const inside = await domain("inside.net");
    assert.equal(fate(inside), "bounced unroutable 5.4.4");
    assert.match(detail(inside), /10\.0\.0\.1: private network, RFC 1918/);
    assert.match(detail(inside), /dns\.blockLocalAddresses/);
    assert.deepEqual(addresses(await domain("inside.net", { blockLocalAddresses: false })).toSorted(), [
      "10.0.0.1",
      "169.254.169.254",
    ]);
  });

  test("a host the DNS fails for may still be a good one, so a list of it and a forbidden one defers", async () => {
    const { domain } = resolver({
      "half.net": {
        mx: [
          [10, "inside.net"],
          [20, "unknown.net"],
        ],
      },
      "inside.net": { a: ["10.0.0.1"] },
      "unknown.net": { a: "failed" },
    });
    assert.equal(fate(await domain("half.net")), "deferred dns");
  });

  test("0.0.0.0, broadcast and multicast are refused even where local addresses are allowed", async () => {
    const { domain } = resolver({
      "zero.net": { a: ["0.0.0.0", "255.255.255.255", "224.0.0.1"], aaaa: ["::"] },
    });
    const resolved = await domain("zero.net", { blockLocalAddresses: false });
    assert.equal(fate(resolved), "bounced unroutable 5.4.4");
    assert.doesNotMatch(detail(resolved), /blockLocalAddresses/, "no setting would help");
  });
});

describe("this host among the mail hosts", () => {
  test("is dropped by name, with all that are no better", async () => {
    const { domain, dns } = resolver({
      "backup.net": {
        mx: [
          [10, "best.net"],
          [20, "relay.own.net"],
          [20, "twin.net"],
          [30, "worse.net"],
        ],
      },
      "best.net": { a: ["9.9.9.9"] },
      "twin.net": { a: ["9.9.9.10"] },
      "worse.net": { a: ["9.9.9.11"] },
    });
    assert.deepEqual(names(await domain("backup.net")), ["best.net"]);
    assert.ok(!dns.asked.some((question) => /twin|worse|own/.test(question)));
  });

  test("is dropped by address, with all that are no better", async () => {
    const { domain } = resolver({
      "alias.net": {
        mx: [
          [10, "best.net"],
          [20, "our-alias.net"],
          [30, "worse.net"],
        ],
      },
      "best.net": { a: ["9.9.9.9"] },
      "our-alias.net": { a: ["198.41.0.4"] },
      "worse.net": { a: ["9.9.9.11"] },
    });
    assert.deepEqual(names(await domain("alias.net")), ["best.net"]);
    assert.equal(names(await domain("alias.net", { blockLocalAddresses: false })).length, 3);
  });

  test("bounces with 5.4.6 when no better one is left", async () => {
    const { domain } = resolver({
      "mine.net": {
        mx: [
          [10, "relay.own.net"],
          [20, "worse.net"],
        ],
      },
      "worse.net": { a: ["9.9.9.9"] },
      "us.net": { a: ["198.41.0.4"] },
    });
    assert.equal(fate(await domain("mine.net")), "bounced unroutable 5.4.6");
    assert.equal(fate(await domain("us.net")), "bounced unroutable 5.4.6");
    assert.equal(fate(await domain("[198.41.0.4]")), "bounced unroutable 5.4.6");
  });
});

describe("an address literal", () => {
  test("is its own host, without a question to the DNS", async () => {
    const { domain, dns } = resolver({});
    assert.deepEqual(await domain("[9.9.9.9]"), {
      ok: true,
      site: "[9.9.9.9]",
      hosts: [{ name: "9.9.9.9", preference: 0, addresses: ["9.9.9.9"] }],
    });
    assert.deepEqual(addresses(await domain("[IPv6:2620:FE:0:0::fe]")), ["2620:fe::fe"]);
    assert.deepEqual(dns.asked, []);
  });

  test("is held to the rules for addresses", async () => {
    const { domain } = resolver({});
    const hidden = ["[127.0.0.1]", "[IPv6:::1]", "[IPv6:::ffff:127.0.0.1]", "[IPv6:64:ff9b::a00:1]"];
    for (const literal of hidden)
      assert.equal(fate(await domain(literal)), "bounced unroutable 5.4.4", literal);
    assert.deepEqual(addresses(await domain("[127.0.0.1]", { blockLocalAddresses: false })), ["127.0.0.1"]);
  });
});

describe("a relay", () => {
  test("given as an IP address is taken as it is, local or not, and its site has the port", async () => {
    const { relay, dns } = resolver({});
    assert.deepEqual(await relay("127.0.0.1"), {
      ok: true,
      site: "127.0.0.1:2526",
      hosts: [{ name: "127.0.0.1", preference: 0, addresses: ["127.0.0.1"] }],
    });
    const six = await relay("::1", { ignoreIpv6: true });
    assert.equal(six.site, "[::1]:2526");
    assert.deepEqual(addresses(six), ["::1"]);
    assert.deepEqual(dns.asked, []);
  });

  test("given by name is looked up in the hosts file, then in the DNS, never by MX", async () => {
    const { relay, dns } = resolver(
      { "smart.net": { mx: [[10, "other.net"]], a: ["10.0.0.5"] } },
      { hostsFile: (name) => Promise.resolve(name === "localhost" ? ["127.0.0.1", "::1"] : []) },
    );
    assert.deepEqual(addresses(await relay("LocalHost")), ["127.0.0.1", "::1"]);
    assert.deepEqual(addresses(await relay("localhost", { ignoreIpv6: true })), ["127.0.0.1"]);
    assert.deepEqual(addresses(await relay("Smart.NET")), ["10.0.0.5"]);
    assert.deepEqual(dns.asked, ["a smart.net", "aaaa smart.net"]);
  });

  test("that cannot be found or used defers: no recipient is to blame for our configuration", async () => {
    const { relay } = resolver({ "broken.net": { a: "failed" } });
    assert.equal(fate(await relay("missing.net")), "deferred connect");
    assert.equal(fate(await relay("broken.net")), "deferred dns");
    assert.equal(fate(await relay("0.0.0.0")), "deferred connect");
  });
});
