import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseDomain } from "#shared/domain/address.ts";
import type { Domain } from "#shared/domain/address.ts";
import { plainRelay } from "#shared/domain/zone.ts";
import type { Relay } from "#shared/domain/zone.ts";

import { mxResolver } from "../../../sender/delivery/resolve-mx.ts";
import type { AddressPolicy, MxResolverDeps, Resolved } from "../../../sender/delivery/resolve-mx.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { fakeDns } from "../../support/fake-dns.ts";
import type { FakeName } from "../../support/fake-dns.ts";

const STRICT: AddressPolicy = { ignoreIpv6: false, preferIpv6: false, blockLocalAddresses: true };

/** A resolver over a made-up DNS; chance is a seeded sequence, so that each run is the same. */
function resolver(names: Record<string, FakeName>, fields: Partial<MxResolverDeps> = {}) {
  const dns = fakeDns(names);
  const clock = fakeClock();
  const resolve = mxResolver({
    dns,
    clock,
    random: seeded(1),
    ownNames: new Set(["relay.own.net"]),
    ownAddresses: new Set(["198.41.0.4"]),
    hostsFile: () => Promise.resolve([]),
    ...fields,
  });
  return {
    dns,
    clock,
    domain: (name: string, policy: Partial<AddressPolicy> = {}) =>
      resolve({ domain: domain(name) }, { ...STRICT, ...policy }),
    relay: (host: string, policy: Partial<AddressPolicy> = {}) =>
      resolve({ relay: relay(host) }, { ...STRICT, ...policy }),
  };
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

function domain(text: string): Domain {
  const parsed = parseDomain(text);
  assert.ok(parsed, text);
  return parsed;
}

function relay(host: string): Relay {
  return plainRelay(host, 2526);
}

function names(resolved: Resolved): string[] {
  assert.ok(resolved.ok, JSON.stringify(resolved));
  return resolved.hosts.map(({ name }) => name);
}

function addresses(resolved: Resolved): readonly string[] {
  assert.ok(resolved.ok, JSON.stringify(resolved));
  return resolved.hosts.flatMap((host) => host.addresses);
}

async function untilAsleep(clock: FakeClock): Promise<void> {
  while (clock.sleepers === 0) await new Promise(setImmediate);
}

/** Kind, cause and status of the outcome, as `bounced no-domain 5.1.2`. */
function fate(resolved: Resolved): string {
  assert.ok(!resolved.ok, JSON.stringify(resolved));
  const { outcome } = resolved;
  if (outcome.kind === "deferred") return `deferred ${outcome.cause}`;
  return outcome.kind === "bounced" ? `bounced ${outcome.cause} ${outcome.status}` : outcome.kind;
}

function detail(resolved: Resolved): string {
  assert.ok(!resolved.ok && resolved.outcome.kind !== "delivered");
  return resolved.outcome.detail;
}

describe("MX records", () => {
  test("hosts come by preference, and in each order inside one preference about equally often", async () => {
    const { domain } = resolver({
      "many.net": {
        mx: [
          [20, "last.many.net"],
          [10, "a.many.net"],
          [10, "b.many.net"],
          [10, "c.many.net"],
        ],
      },
      "a.many.net": { a: ["9.9.9.1"] },
      "b.many.net": { a: ["9.9.9.2"] },
      "c.many.net": { a: ["9.9.9.3"] },
      "last.many.net": { a: ["9.9.9.4"] },
    });
    const counts = new Map<string, number>();
    for (let run = 0; run < 600; run++) {
      const order = names(await domain("many.net")).join(" ");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    assert.equal(counts.size, 6, "all orders of three hosts");
    for (const [order, count] of counts) {
      assert.match(order, /last\.many\.net$/);
      assert.ok(count > 50 && count < 150, `${order}: ${count}`);
    }
  });

  test("the answer is remembered for its lifetime, and shared by all who ask at once", async () => {
    const { domain, dns, clock } = resolver({
      "one.net": { mx: [[10, "mx.one.net"]], ttlSeconds: 60 },
      "mx.one.net": { a: ["9.9.9.9"], ttlSeconds: 90 },
    });
    await Promise.all(Array.from({ length: 50 }, () => domain("one.net")));
    await clock.advance(59_000);
    await domain("one.net");
    assert.deepEqual(dns.asked, ["mx one.net", "a mx.one.net", "aaaa mx.one.net"]);
    await clock.advance(1_000);
    await domain("one.net");
    assert.equal(dns.asked.length, 6);
  });

  test("domains with the same MX set are one site, whatever the preferences", async () => {
    const { domain } = resolver({
      "one.net": {
        mx: [
          [10, "mx1.host.net"],
          [20, "mx2.host.net"],
        ],
      },
      "two.net": {
        mx: [
          [5, "mx2.host.net"],
          [5, "mx1.host.net"],
        ],
      },
      "mx1.host.net": { a: ["9.9.9.9"] },
      "mx2.host.net": { a: ["9.9.9.10"] },
    });
    assert.equal((await domain("one.net")).site, "mx1.host.net,mx2.host.net");
    assert.equal((await domain("two.net")).site, "mx1.host.net,mx2.host.net");
  });

  test("a host that is listed twice is tried once, at its best preference", async () => {
    const { domain } = resolver({
      "twice.net": {
        mx: [
          [20, "mx.net"],
          [10, "mx.net"],
          [15, "other.net"],
        ],
      },
      "mx.net": { a: ["9.9.9.9"] },
      "other.net": { a: ["9.9.9.10"] },
    });
    assert.deepEqual(names(await domain("twice.net")), ["mx.net", "other.net"]);
  });

  test("a long MX set has a short site name of its own, and ten hosts at most are tried", async () => {
    const many = (letter: string): FakeName => ({
      mx: Array.from({ length: 40 }, (_, i) => [10, `${letter.repeat(40)}${i}.net`] as const),
    });
    const found: Record<string, FakeName> = { "a.net": many("a"), "b.net": many("b") };
    for (let i = 0; i < 40; i++) {
      found[`${"a".repeat(40)}${i}.net`] = { a: ["9.9.9.9"] };
      found[`${"b".repeat(40)}${i}.net`] = { a: ["9.9.9.9"] };
    }
    const { domain } = resolver(found);
    const [a, b] = [await domain("a.net"), await domain("b.net")];
    assert.ok(a.site.length < 400);
    assert.notEqual(a.site, b.site);
    assert.equal(names(a).length, 10);
  });

  test("a null MX bounces with 5.1.10 and asks for no address", async () => {
    const { domain, dns } = resolver({ "null.net": { mx: [[0, ""]], a: ["9.9.9.9"] } });
    assert.equal(fate(await domain("null.net")), "bounced null-mx 5.1.10");
    assert.deepEqual(dns.asked, ["mx null.net"]);
  });

  test("a root exchange beside others is only an unusable record", async () => {
    const { domain } = resolver({
      "odd.net": {
        mx: [
          [0, ""],
          [10, "mx.odd.net"],
        ],
      },
      "mx.odd.net": { a: ["9.9.9.9"] },
    });
    assert.deepEqual(names(await domain("odd.net")), ["mx.odd.net"]);
  });

  test("MX records of which none can be used bounce: the domain's own address is not tried", async () => {
    const { domain, dns } = resolver({
      "dead.net": {
        mx: [
          [10, "gone.dead.net"],
          [20, "empty.dead.net"],
        ],
        a: ["9.9.9.9"],
      },
      "empty.dead.net": {},
      "ip.net": { mx: [[10, "9.9.9.9"]], a: ["9.9.9.9"] },
      "hostile.net": {
        mx: [
          [10, "mx\r\nX-Evil: 1"],
          [10, "a,b"],
        ],
      },
    });
    const dead = await domain("dead.net");
    assert.equal(fate(dead), "bounced no-domain 5.4.4");
    assert.match(detail(dead), /gone\.dead\.net does not exist/);
    assert.match(detail(dead), /empty\.dead\.net has neither an A nor an AAAA record/);
    assert.equal(fate(await domain("ip.net")), "bounced no-domain 5.4.4", "an exchange is a name");
    const hostile = await domain("hostile.net");
    assert.equal(fate(hostile), "bounced no-domain 5.4.4");
    assert.doesNotMatch(detail(hostile), /[\r\n]/, "it is printed in DSNs and logs");
    assert.ok(!dns.asked.includes("a dead.net"));
  });

  test("hosts that can be reached are used although others are missing or the DNS fails for them", async () => {
    const { domain } = resolver({
      "part.net": {
        mx: [
          [10, "failed.net"],
          [20, "gone.net"],
          [30, "mx.part.net"],
        ],
      },
      "failed.net": { a: "failed", aaaa: "failed" },
      "mx.part.net": { a: "failed", aaaa: ["2620:fe::fe"] },
    });
    assert.deepEqual(names(await domain("part.net")), ["mx.part.net"]);
  });
});

describe("a domain without MX records", () => {
  test("is its own mail host", async () => {
    const { domain } = resolver({ "plain.net": { a: ["9.9.9.9"] } });
    const resolved = await domain("plain.net");
    assert.deepEqual(resolved, {
      ok: true,
      site: "plain.net",
      hosts: [{ name: "plain.net", preference: 0, addresses: ["9.9.9.9"] }],
    });
  });

  test("bounces with 5.4.4 when it has no address either", async () => {
    const { domain } = resolver({ "empty.net": {} });
    assert.equal(fate(await domain("empty.net")), "bounced no-domain 5.4.4");
  });

  test("bounces with 5.1.2 when it does not exist", async () => {
    const { domain } = resolver({});
    assert.equal(fate(await domain("nowhere.net")), "bounced no-domain 5.1.2");
  });
});

describe("a DNS that does not answer", { timeout: 10_000 }, () => {
  test("defers, whether it is asked for MX records or for the last addresses", async () => {
    const { domain } = resolver({
      "mx-fails.net": { mx: "failed", a: ["9.9.9.9"] },
      "a-fails.net": { a: "failed" },
      "all-fail.net": {
        mx: [
          [10, "x.net"],
          [20, "gone.net"],
        ],
      },
      "x.net": { a: "failed", aaaa: "failed" },
    });
    for (const name of ["mx-fails.net", "a-fails.net", "all-fail.net"]) {
      assert.equal(fate(await domain(name)), "deferred dns", name);
    }
  });

  test("is asked again by the next delivery", async () => {
    const { domain, dns } = resolver({ "later.net": { mx: "failed" } });
    assert.equal(fate(await domain("later.net")), "deferred dns");
    dns.names["later.net"] = { a: ["9.9.9.9"] };
    assert.deepEqual(names(await domain("later.net")), ["later.net"]);
  });

  test("is not waited for long where another answer will do, and is asked for again after a minute", async () => {
    const { domain, dns, clock } = resolver({
      "slow.net": {
        mx: [
          [10, "good.net"],
          [20, "silent.net"],
        ],
      },
      "good.net": { a: ["9.9.9.9"] },
    });
    let pending = 0;
    dns.gate = (question) => {
      if (!/silent|aaaa good/.test(question)) return undefined;
      pending++;
      return new Promise(() => undefined);
    };
    const resolving = domain("slow.net");
    await untilAsleep(clock); // waiting for AAAA of good.net
    await clock.advance(2_000);
    await untilAsleep(clock); // waiting for silent.net
    await clock.advance(2_000);
    assert.deepEqual(addresses(await resolving), ["9.9.9.9"]);
    assert.equal(pending, 3);
    await clock.advance(59_000);
    await domain("slow.net");
    assert.equal(pending, 3, "remembered");
    await clock.advance(1_000);
    dns.gate = () => undefined;
    dns.names["silent.net"] = { a: ["9.9.9.10"] };
    assert.deepEqual(addresses(await domain("slow.net")), ["9.9.9.9", "9.9.9.10"]);
  });

  test("a fault of ours rises and is not remembered", async () => {
    const { domain, dns } = resolver({ "fault.net": { a: ["9.9.9.9"] } });
    dns.gate = () => {
      throw new Error("a bug");
    };
    await assert.rejects(domain("fault.net"), /a bug/);
    dns.gate = () => undefined;
    assert.deepEqual(names(await domain("fault.net")), ["fault.net"]);
  });
});

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
