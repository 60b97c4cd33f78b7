import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { after, describe, test } from "node:test";

import { decode, encode } from "dns-packet";
import type { Answer, DecodedPacket } from "dns-packet";

import { DomainError } from "#shared/domain/errors.ts";

import { stubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import type { StubResolver } from "#shared/runtime/dns/stub-resolver.ts";
import { replyPacket, soa, startDnsServer } from "../../../support/dns-server.ts";
import type { AnswerHook, DnsServer, ServedName } from "../../../support/dns-server.ts";
import { fakeClock } from "../../../support/fake-clock.ts";
import type { FakeClock } from "../../../support/fake-clock.ts";

const TIMEOUT_MS = 1_000;

const opened: { close: () => unknown }[] = [];
after(async () => {
  for (const one of opened) await one.close();
});

async function server(names: Record<string, ServedName> = {}, answer?: AnswerHook): Promise<DnsServer> {
  const started = await startDnsServer(names);
  if (answer) started.answer = answer;
  opened.push(started);
  return started;
}

/** A resolver whose time stands still, so that only `advance` makes it give up. */
function resolverOf(...servers: { address: string }[]): { resolver: StubResolver; clock: FakeClock } {
  const clock = fakeClock();
  const nameservers = servers.map(({ address }) => address);
  const resolver = stubResolver({ nameservers, timeoutMs: TIMEOUT_MS, clock });
  opened.push(resolver);
  return { resolver, clock };
}

/** Turns of the loop until `ready`; the test's own time-out ends it when that never comes. */
async function until(ready: () => boolean): Promise<void> {
  while (!ready()) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** Wait for question number `count`, then let it run into its time-out. */
async function letTimeOut(clock: FakeClock, asked: readonly string[], count: number): Promise<void> {
  await until(() => asked.length >= count);
  await clock.advance(TIMEOUT_MS);
}

async function udpSocket(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  opened.push(socket);
  return socket;
}

/** A name server that answers as `reply` wants, as often as it wants. */
async function udpServer(
  reply: (query: DecodedPacket, send: (answer: Buffer) => void, port: number) => void,
): Promise<{ address: string }> {
  const socket = await udpSocket();
  socket.on("message", (data, { port }) => {
    reply(decode(data), (answer) => socket.send(answer, port, "127.0.0.1"), port);
  });
  return { address: `127.0.0.1:${socket.address().port}` };
}

function cname(name: string, data: string, ttl = 300): Answer {
  return { type: "CNAME", name, ttl, data };
}

function a(name: string, data: string, ttl = 300): Answer {
  return { type: "A", name, ttl, data };
}

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

describe("servers in trouble", { timeout: 10_000 }, () => {
  test("the next one is asked when one fails, refuses or only refers to others", async () => {
    for (const bad of [
      (query: DecodedPacket) => replyPacket(query, { rcode: 2 }),
      (query: DecodedPacket) => replyPacket(query, { rcode: 5, questions: [] }),
    ]) {
      const [first, second] = [await server({}, bad), await server({ "x.net": { a: ["192.0.2.1"] } })];
      const { resolver } = resolverOf(first, second);
      assert.equal((await resolver.addresses("x.net", 4)).kind, "found");
    }
    const authorities: Answer[] = [{ type: "NS", name: "net", ttl: 1, data: "ns.net" }];
    const lame = await server({}, (query) => replyPacket(query, { flags: 0, authorities }));
    const { resolver } = resolverOf(lame);
    assert.equal((await resolver.mx("x.net")).kind, "failed", "a referral is no answer");
  });

  test("a silent one costs its time-out once, and is asked last from then on", async () => {
    const silent = await server({ "*.net": { silent: true } });
    const good = await server({ "*.net": { a: ["192.0.2.1"] } });
    const { resolver, clock } = resolverOf(silent, good);
    const first = resolver.addresses("x.net", 4);
    await letTimeOut(clock, silent.asked, 1);
    assert.equal((await first).kind, "found");
    assert.equal((await resolver.addresses("y.net", 4)).kind, "found");
    assert.deepEqual(silent.asked, ["udp A x.net"]);
  });

  test("silence of all ends in a failure that says who was silent", async () => {
    const silent = await server({ "*.net": { silent: true } });
    const { resolver, clock } = resolverOf(silent);
    const answer = resolver.mx("x.net");
    await letTimeOut(clock, silent.asked, 1);
    await letTimeOut(clock, silent.asked, 2);
    assert.deepEqual(await answer, {
      kind: "failed",
      detail: `name server ${silent.address} did not answer within ${TIMEOUT_MS} ms`,
    });
  });

  test("SERVFAIL of all is a failure that says so", async () => {
    const { resolver } = resolverOf(await server({ "x.net": { mx: "failed" } }));
    const answer = await resolver.mx("x.net");
    assert.ok(answer.kind === "failed");
    assert.match(answer.detail, /said SERVFAIL/);
  });

  test("a port where nobody listens is passed over", async () => {
    const good = await server({ "x.net": { a: ["192.0.2.1"] } });
    const probe = createSocket("udp4");
    probe.bind(0, "127.0.0.1");
    await once(probe, "listening");
    const nobody = { address: `127.0.0.1:${probe.address().port}` };
    probe.close();
    await once(probe, "close");
    const { resolver } = resolverOf(nobody, good);
    assert.equal((await resolver.addresses("x.net", 4)).kind, "found");
  });

  test("one that does not know EDNS0 is asked without it", async () => {
    const dns = await server({ "x.net": { a: ["192.0.2.1"] } }, (query) =>
      (query.additionals ?? []).length > 0 ? replyPacket(query, { rcode: 1, questions: [] }) : null,
    );
    const { resolver } = resolverOf(dns);
    assert.equal((await resolver.addresses("x.net", 4)).kind, "found");
    assert.equal(dns.asked.length, 2);
  });

  test("a cut answer is asked for again over TCP", async () => {
    const wide = Array.from({ length: 90 }, (_, i) => `192.0.2.${i}`);
    const dns = await server({ "wide.net": { a: wide, truncate: true } });
    const { resolver } = resolverOf(dns);
    const answer = await resolver.addresses("wide.net", 4);
    assert.ok(answer.kind === "found");
    assert.deepEqual(answer.records, wide);
    assert.deepEqual(dns.asked, ["udp A wide.net", "tcp A wide.net"]);
  });

  test("nonsense over TCP, or a connection that is closed, fails", async () => {
    const dns = await server({ "x.net": { truncate: true, a: ["192.0.2.1"] } }, (_, transport) =>
      transport === "tcp" ? Buffer.from("nonsense") : null,
    );
    const { resolver } = resolverOf(dns);
    assert.equal((await resolver.addresses("x.net", 4)).kind, "failed");
  });

  test("closing the resolver ends what is being asked, and all later questions", async () => {
    const silent = await server({ "*.net": { silent: true } });
    const { resolver } = resolverOf(silent);
    const waiting = resolver.mx("x.net");
    await until(() => silent.asked.length > 0);
    resolver.close();
    assert.deepEqual(await waiting, { kind: "failed", detail: "the resolver is closed" });
    assert.deepEqual(await resolver.mx("y.net"), { kind: "failed", detail: "the resolver is closed" });
  });
});

describe("answers that are not to be trusted", { timeout: 10_000 }, () => {
  const lie = [a("x.net", "203.0.113.66")];

  const truth = [a("x.net", "192.0.2.1")];

  test("another id, another question or a query are not heard", async () => {
    const liar = await udpServer((query, send) => {
      send(replyPacket({ ...query, id: ((query.id ?? 0) + 1) % 65_536 }, { answers: lie }));
      send(replyPacket({ ...query, questions: [{ type: "A", name: "y.net" }] }, { answers: lie }));
      send(replyPacket({ ...query, questions: [{ type: "AAAA", name: "x.net" }] }, { answers: lie }));
      send(replyPacket({ ...query, questions: [] }, { answers: lie }));
      send(encode({ ...query, type: "query", answers: lie }));
      send(Buffer.from([1]));
      send(replyPacket(query, { answers: truth }));
    });
    const { resolver } = resolverOf(liar);
    const answer = await resolver.addresses("x.net", 4);
    assert.ok(answer.kind === "found");
    assert.deepEqual(answer.records, ["192.0.2.1"]);
  });

  test("another source is not heard", async () => {
    const stranger = await udpSocket();
    const honest = await udpServer((query, send, port) => {
      stranger.send(replyPacket(query, { answers: lie }), port, "127.0.0.1", () => {
        send(replyPacket(query, { answers: truth }));
      });
    });
    const { resolver } = resolverOf(honest);
    const answer = await resolver.addresses("x.net", 4);
    assert.ok(answer.kind === "found");
    assert.deepEqual(answer.records, ["192.0.2.1"]);
  });

  test("records of other names beside the answer are not taken", async () => {
    const dns = await server({}, (query) =>
      replyPacket(query, { answers: [a("other.net", "203.0.113.66"), a("x.net", "192.0.2.1")] }),
    );
    const { resolver } = resolverOf(dns);
    const answer = await resolver.addresses("x.net", 4);
    assert.ok(answer.kind === "found");
    assert.deepEqual(answer.records, ["192.0.2.1"]);
  });

  test("bytes that cannot be read fail, and nothing is thrown", async () => {
    let byte = 0;
    const dns = await server({}, (query) => {
      const whole = replyPacket(query, { answers: [a("x.net", "192.0.2.1"), cname("x.net", "y.net")] });
      const cut = whole.subarray(0, Math.max(3, whole.length - 1 - (byte++ % 40)));
      cut.fill(byte % 256, Math.max(12, cut.length - 5));
      return cut;
    });
    const { resolver, clock } = resolverOf(dns);
    for (let i = 0; i < 60; i++) {
      const before = dns.asked.length;
      let done = false;
      const answer = resolver.addresses("x.net", 4).finally(() => (done = true));
      // an answer to no question of ours is not heard, so some of these end by time alone
      while (!done) {
        await until(() => done || dns.asked.length > before);
        await clock.advance(TIMEOUT_MS);
      }
      assert.ok(["failed", "nodata", "found"].includes((await answer).kind));
    }
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
