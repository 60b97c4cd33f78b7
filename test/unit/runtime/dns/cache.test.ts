import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DAY, HOUR, SECOND } from "#shared/domain/units.ts";

import { cachedDns } from "#shared/runtime/dns/cache.ts";
import { fakeClock } from "../../../support/fake-clock.ts";
import { fakeDns } from "../../../support/fake-dns.ts";
import type { FakeName } from "../../../support/fake-dns.ts";

function cache(names: Record<string, FakeName>, maxEntries?: number) {
  const dns = fakeDns(names);
  const clock = fakeClock();
  return { dns, clock, cached: cachedDns(dns, { clock, ...(maxEntries ? { maxEntries } : {}) }) };
}

describe("a cached answer", () => {
  test("is given with the lifetime it has left, and asked for again when that is over", async () => {
    const { dns, clock, cached } = cache({ "x.net": { mx: [[10, "mx.x.net"]], ttlSeconds: 100 } });
    assert.equal(ttlOf(await cached.mx("x.net")), 100);
    await clock.advance(40 * SECOND);
    assert.equal(ttlOf(await cached.mx("x.net")), 60);
    await clock.advance(59.9 * SECOND);
    await cached.mx("x.net");
    assert.equal(dns.asked.length, 1);
    await clock.advance(0.1 * SECOND);
    assert.equal(ttlOf(await cached.mx("x.net")), 100);
    assert.equal(dns.asked.length, 2);
  });

  test("lives seconds when its owner says none, and a day when he says years", async () => {
    const { dns, clock, cached } = cache({
      "none.net": { a: ["192.0.2.1"], ttlSeconds: 0 },
      "years.net": { a: ["192.0.2.1"], ttlSeconds: 2 ** 31 - 1 },
    });
    await cached.addresses("none.net", 4);
    assert.equal(ttlOf(await cached.addresses("none.net", 4)), 5);
    assert.equal(ttlOf(await cached.addresses("years.net", 4)), 86_400);
    await clock.advance(5 * SECOND);
    await cached.addresses("none.net", 4);
    assert.deepEqual(dns.asked, ["a none.net", "a years.net", "a none.net"]);
  });

  test("of one type or family is not taken for another", async () => {
    const { dns, cached } = cache({ "x.net": { a: ["192.0.2.1"], aaaa: ["2001:db8::1"] } });
    const [four, six] = [await cached.addresses("x.net", 4), await cached.addresses("x.net", 6)];
    assert.notDeepEqual(four, six);
    await cached.mx("x.net");
    await cached.reverse("x.net");
    await cached.txt("x.net");
    assert.deepEqual(dns.asked, ["a x.net", "aaaa x.net", "mx x.net", "ptr x.net", "txt x.net"]);
  });

  test("that says no is kept too, but for 15 minutes at most", async () => {
    const { dns, clock, cached } = cache({ "empty.net": { ttlSeconds: 86_400 } });
    assert.deepEqual(await cached.mx("empty.net"), { kind: "nodata", ttlSeconds: 900 });
    assert.deepEqual(await cached.mx("gone.net"), { kind: "nxdomain", ttlSeconds: 60 });
    await cached.mx("empty.net");
    await cached.mx("gone.net");
    assert.equal(dns.asked.length, 2);
    dns.names["gone.net"] = { mx: [[10, "mx.net"]] };
    await clock.advance(60 * SECOND);
    assert.equal((await cached.mx("gone.net")).kind, "found");
  });

  test("leaves when there are too many, the longest unused first", async () => {
    const names = {
      "a.net": { a: ["192.0.2.1"] },
      "b.net": { a: ["192.0.2.1"] },
      "c.net": { a: ["192.0.2.1"] },
    };
    const { dns, cached } = cache(names, 2);
    for (const name of ["a.net", "b.net", "a.net", "c.net", "a.net", "b.net"])
      await cached.addresses(name, 4);
    assert.deepEqual(dns.asked, ["a a.net", "a b.net", "a c.net", "a b.net"]);
  });
});

describe("asking", () => {
  test("for what is being asked shares the question", async () => {
    const { dns, cached } = cache({ "x.net": { a: ["192.0.2.1"] } });
    let open: () => void = () => undefined;
    dns.gate = () =>
      new Promise((resolve) => {
        open = resolve;
      });
    const answers = Array.from({ length: 100 }, () => cached.addresses("x.net", 4));
    open();
    const first = await answers[0];
    for (const answer of answers) assert.deepEqual(await answer, first);
    assert.equal(dns.asked.length, 1);
  });

  test("again after a fault of the resolver works: the fault is not kept", async () => {
    const { dns, cached } = cache({ "x.net": { a: ["192.0.2.1"] } });
    dns.gate = () => {
      throw new Error("a bug");
    };
    await assert.rejects(Promise.all([cached.addresses("x.net", 4), cached.addresses("x.net", 4)]), /a bug/);
    dns.gate = () => undefined;
    assert.equal((await cached.addresses("x.net", 4)).kind, "found");
  });

  test("again after a failure waits some seconds", async () => {
    const { dns, clock, cached } = cache({ "x.net": { a: "failed" } });
    assert.equal((await cached.addresses("x.net", 4)).kind, "failed");
    dns.names["x.net"] = { a: ["192.0.2.1"] };
    assert.equal((await cached.addresses("x.net", 4)).kind, "failed");
    await clock.advance(5 * SECOND);
    assert.equal((await cached.addresses("x.net", 4)).kind, "found");
  });
});

describe("when asking again fails", () => {
  test("the last records are given for a day more, and the question is asked every half minute", async () => {
    const { dns, clock, cached } = cache({ "x.net": { a: ["192.0.2.1"], ttlSeconds: HOUR / SECOND } });
    const good = await cached.addresses("x.net", 4);
    assert.ok(good.kind === "found");
    dns.names["x.net"] = { a: "failed" };
    await clock.advance(HOUR);
    const stale = { kind: "found", records: good.records, ttlSeconds: 30 };
    assert.deepEqual(await cached.addresses("x.net", 4), stale);
    await clock.advance(29 * SECOND);
    assert.deepEqual(await cached.addresses("x.net", 4), { ...stale, ttlSeconds: 1 });
    assert.equal(dns.asked.length, 2);
    await clock.advance(1 * SECOND);
    assert.deepEqual(await cached.addresses("x.net", 4), stale);
    assert.equal(dns.asked.length, 3);
    await clock.advance(DAY);
    assert.equal((await cached.addresses("x.net", 4)).kind, "failed");
  });

  test("a better answer takes the place of the stale one at once", async () => {
    const { dns, clock, cached } = cache({ "x.net": { a: ["192.0.2.1"], ttlSeconds: 60 } });
    await cached.addresses("x.net", 4);
    dns.names["x.net"] = { a: "failed" };
    await clock.advance(60 * SECOND);
    await cached.addresses("x.net", 4);
    dns.names["x.net"] = { a: ["192.0.2.2"] };
    await clock.advance(30 * SECOND);
    const answer = await cached.addresses("x.net", 4);
    assert.ok(answer.kind === "found");
    assert.deepEqual(answer.records, ["192.0.2.2"]);
  });

  test("no such name is not given any longer: it would bounce mail", async () => {
    const { dns, clock, cached } = cache({});
    assert.equal((await cached.mx("gone.net")).kind, "nxdomain");
    dns.names["gone.net"] = { mx: "failed" };
    await clock.advance(60 * SECOND);
    assert.equal((await cached.mx("gone.net")).kind, "failed");
  });
});

function ttlOf(answer: { kind: string; ttlSeconds?: number }): number | undefined {
  assert.equal(answer.kind, "found");
  return answer.ttlSeconds;
}
