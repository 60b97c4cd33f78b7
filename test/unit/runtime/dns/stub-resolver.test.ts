import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { stubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import { replyPacket, soa } from "../../../support/dns-server.ts";
import { fakeClock } from "../../../support/fake-clock.ts";
import { a, cname, resolverOf, server } from "../../../support/stub-resolver.ts";

describe("answers", { timeout: 10_000 }, () => {
  test("MX records come in lower case with their lifetime", async () => {
    const dns = await server({
      "example.net": {
        mx: [
          [10, "MX1.Example.NET"],
          [20, "mx2.example.net"],
        ],
        ttlSeconds: 77,
      },
      "null.net": { mx: [[0, ""]] },
    });
    const { resolver } = resolverOf(dns);
    assert.deepEqual(await resolver.mx("example.net"), {
      kind: "found",
      records: [
        { preference: 10, exchange: "mx1.example.net" },
        { preference: 20, exchange: "mx2.example.net" },
      ],
      ttlSeconds: 77,
    });
    const nullMx = await resolver.mx("null.net");
    assert.ok(nullMx.kind === "found");
    assert.deepEqual(nullMx.records, [{ preference: 0, exchange: "" }]);
  });

  test("addresses of both families and names of addresses are found", async () => {
    const dns = await server({
      "host.net": { a: ["192.0.2.1", "192.0.2.2"], aaaa: ["2001:db8::1"] },
      "192.0.2.1": { ptr: ["Host.NET"] },
      "192.0.2.2": { ptr: ["evil\r\nX-Header: 1"] },
    });
    const { resolver } = resolverOf(dns);
    const found = { kind: "found", ttlSeconds: 300 };
    assert.deepEqual(await resolver.addresses("host.net", 4), {
      ...found,
      records: ["192.0.2.1", "192.0.2.2"],
    });
    assert.deepEqual(await resolver.addresses("host.net", 6), { ...found, records: ["2001:db8::1"] });
    assert.deepEqual(await resolver.reverse("192.0.2.1"), { ...found, records: ["host.net"] });
    assert.equal((await resolver.reverse("192.0.2.2")).kind, "failed", "that is no host name");
    await resolver.reverse("2001:db8::1");
    assert.match(dns.asked.at(-1) ?? "", /^udp PTR 1\.0\.0\.0\.(0\.){20}8\.b\.d\.0\.1\.0\.0\.2\.ip6\.arpa$/);
  });

  test("texts are found, each as one however many strings it came in", async () => {
    const long = `v=STSv1; id=1; note=${"x".repeat(300)}`;
    const dns = await server({ "_mta-sts.one.net": { txt: ["v=spf1 -all", long] } });
    const { resolver } = resolverOf(dns);
    const answer = await resolver.txt("_mta-sts.one.net");
    assert.deepEqual(answer, { kind: "found", ttlSeconds: 300, records: ["v=spf1 -all", long] });
  });

  test("no such name and none of this type differ, and live as long as the SOA record says", async () => {
    const dns = await server({}, (query) => {
      const [question] = query.questions ?? [];
      const rcode = question?.name === "gone.net" ? 3 : 0;
      return replyPacket(query, { rcode, authorities: [soa("net", 120, 600)] });
    });
    const { resolver } = resolverOf(dns);
    assert.deepEqual(await resolver.mx("gone.net"), { kind: "nxdomain", ttlSeconds: 120 });
    assert.deepEqual(await resolver.mx("there.net"), { kind: "nodata", ttlSeconds: 120 });
  });

  test("an empty answer without an SOA record lives no time at all", async () => {
    const { resolver } = resolverOf(await server({}, (query) => replyPacket(query, {})));
    assert.deepEqual(await resolver.mx("bare.net"), { kind: "nodata", ttlSeconds: 0 });
  });

  test("a lifetime with the top bit set is none", async () => {
    const dns = await server({}, (query) =>
      replyPacket(query, { answers: [a("x.net", "192.0.2.1", 2 ** 31)] }),
    );
    const { resolver } = resolverOf(dns);
    assert.deepEqual(await resolver.addresses("x.net", 4), {
      kind: "found",
      records: ["192.0.2.1"],
      ttlSeconds: 0,
    });
  });

  test("a name that cannot be put on the wire does not exist, and localhost is never asked for", async () => {
    const dns = await server();
    const { resolver } = resolverOf(dns);
    for (const name of ["", "a..b", `${"x".repeat(64)}.net`, `${"x.".repeat(127)}net`, "a b.net"]) {
      assert.equal((await resolver.mx(name)).kind, "nxdomain", name);
    }
    const loopback = await resolver.addresses("localhost", 4);
    assert.ok(loopback.kind === "found");
    assert.deepEqual(loopback.records, ["127.0.0.1"]);
    assert.deepEqual(dns.asked, []);
  });
});

describe("aliases", { timeout: 10_000 }, () => {
  test("are followed inside an answer, and the shortest lifetime on the way counts", async () => {
    const dns = await server({
      "www.net": { cname: "web.net", ttlSeconds: 30 },
      "web.net": { a: ["192.0.2.1"], ttlSeconds: 600 },
    });
    const { resolver } = resolverOf(dns);
    assert.deepEqual(await resolver.addresses("www.net", 4), {
      kind: "found",
      records: ["192.0.2.1"],
      ttlSeconds: 30,
    });
    assert.equal(dns.asked.length, 1);
  });

  test("are followed by asking again when the answer does not say more", async () => {
    const dns = await server({ "end.net": { a: ["192.0.2.1"], ttlSeconds: 600 } }, (query) => {
      const name = query.questions?.[0]?.name;
      return name === "start.net"
        ? replyPacket(query, { answers: [cname("start.net", "END.net", 40)] })
        : null;
    });
    const { resolver } = resolverOf(dns);
    assert.deepEqual(await resolver.addresses("start.net", 4), {
      kind: "found",
      records: ["192.0.2.1"],
      ttlSeconds: 40,
    });
    assert.deepEqual(dns.asked, ["udp A start.net", "udp A end.net"]);
  });

  test("to a name that does not exist or has nothing give that answer", async () => {
    const dns = await server({
      "a.net": { cname: "gone.net", ttlSeconds: 10 },
      "b.net": { cname: "empty.net", ttlSeconds: 10 },
      "empty.net": {},
    });
    const { resolver } = resolverOf(dns);
    assert.deepEqual(await resolver.mx("a.net"), { kind: "nxdomain", ttlSeconds: 10 });
    assert.deepEqual(await resolver.mx("b.net"), { kind: "nodata", ttlSeconds: 10 });
  });

  test("that go round fail, inside one answer and over many", async () => {
    const dns = await server({}, (query) => {
      const name = query.questions?.[0]?.name ?? "";
      const answers = {
        "round.net": [cname("round.net", "back.net"), cname("back.net", "round.net")],
        "ping.net": [cname("ping.net", "pong.net")],
        "pong.net": [cname("pong.net", "ping.net")],
        "self.net": [cname("self.net", "self.net")],
      }[name];
      return replyPacket(query, { answers: answers ?? [] });
    });
    const { resolver } = resolverOf(dns);
    for (const name of ["round.net", "ping.net", "self.net"]) {
      const answer = await resolver.addresses(name, 4);
      assert.ok(answer.kind === "failed", name);
      assert.match(answer.detail, /no end/);
    }
  });

  test("that go on without end fail after eight", async () => {
    const dns = await server({}, (query) => {
      const name = query.questions?.[0]?.name ?? "";
      return replyPacket(query, { answers: [cname(name, `x${name}`)] });
    });
    const { resolver } = resolverOf(dns);
    assert.equal((await resolver.addresses("on.net", 4)).kind, "failed");
    assert.ok(dns.asked.length <= 9, `${dns.asked.length} questions`);
  });
});

describe("configuration", () => {
  test("a name server that is not an IP address is refused with the key and an example", () => {
    for (const text of [
      "ns.example.net",
      "192.0.2.1:0",
      "192.0.2.1:99999",
      "[192.0.2.1",
      "2001:db8::1:53x",
      "",
    ]) {
      assert.throws(
        () => stubResolver({ nameservers: ["192.0.2.1", text], timeoutMs: 1, clock: fakeClock() }),
        (error) =>
          error instanceof DomainError &&
          error.path === "dns.nameservers[1]" &&
          error.message.includes("192.0.2.53:5353"),
        text,
      );
    }
  });

  test("more name servers than are ever asked are refused", () => {
    const nameservers = Array.from({ length: 5 }, () => "192.0.2.1");
    assert.throws(
      () => stubResolver({ nameservers, timeoutMs: 1, clock: fakeClock() }),
      /has 5 name servers/,
    );
  });

  test("IPv4 and IPv6 name servers with and without a port, and those of the system, are taken", () => {
    const nameservers = ["192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353"];
    for (const list of [nameservers, null]) {
      stubResolver({ nameservers: list, timeoutMs: 1, clock: fakeClock() }).close();
    }
  });
});
