/** The resolver when name servers fail, are silent, cut their answers or lie. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, test } from "node:test";

import { encode } from "dns-packet";
import type { Answer, DecodedPacket } from "dns-packet";

import { replyPacket } from "../../../support/dns-server.ts";
import {
  a,
  cname,
  letTimeOut,
  resolverOf,
  server,
  TIMEOUT_MS,
  udpServer,
  udpSocket,
  until,
} from "../../../support/stub-resolver.ts";

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
