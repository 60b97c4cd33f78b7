import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { FakeName } from "../../support/fake-dns.ts";
import { addresses, detail, fate, names, resolver, untilAsleep } from "../../support/mx-resolver.ts";

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
