/** STARTTLS and TLS from the first byte, with real handshakes. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { tlsMemory } from "../../sender/delivery/tls.ts";
import {
  afterReady,
  answering,
  brokenTls,
  HANG_UP,
  scriptedPeer,
  SILENCE,
  STARTTLS_OFFERED,
} from "../support/scripted-peer.ts";
import type { Answers, Script } from "../support/scripted-peer.ts";
import { connectTo, inShort, never, send, sessionTo, timeouts, WIRE } from "../support/smtp-session.ts";

const PLAIN = "250-peer\r\n250 PIPELINING";

/** Offers STARTTLS in clear, and not again under TLS. */
function tlsPeer(answers: Answers = {}): Script {
  return answering({ EHLO: (_line, nth) => (nth === 0 ? STARTTLS_OFFERED : PLAIN), ...answers });
}

describe("opportunistic TLS", () => {
  test("is used when offered, whatever the certificate, with EHLO anew and the host's name in SNI", async () => {
    await using peer = await scriptedPeer(tlsPeer());
    const session = await sessionTo(peer.port);
    assert.match(session.secured?.protocol ?? "", /^TLSv1\.[23]$/);
    assert.equal(session.secured?.verified, false);
    assert.ok(session.secured.problem);
    assert.equal(session.capabilities.starttls, false, "what was offered in clear is forgotten");
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    session.quit();
    await peer.talks[0]?.end();
    assert.deepEqual(peer.lines.slice(0, 4), [
      "EHLO out.sender.example",
      "STARTTLS",
      "EHLO out.sender.example",
      "MAIL FROM:<sender@sender.example>",
    ]);
    assert.deepEqual(peer.contents.map(String), [WIRE]);
    assert.equal(peer.talks[0]?.servername, "mx.one.example");
  });

  test("names no server in SNI when the host is an IP address", async () => {
    await using peer = await scriptedPeer(tlsPeer());
    const session = await sessionTo(peer.port, { host: "127.0.0.1" });
    session.quit();
    assert.equal(peer.talks[0]?.servername, null);
    assert.ok(session.secured);
  });

  for (const reply of ["454 4.7.0 no TLS today", "502 5.5.1 what?"]) {
    test(`refused by "${reply}" goes on in clear, on the same connection`, async () => {
      await using peer = await scriptedPeer(tlsPeer({ STARTTLS: reply }));
      const session = await sessionTo(peer.port);
      assert.equal(session.secured, null);
      assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
      session.quit();
      assert.equal(peer.talks.length, 1);
    });
  }

  test("that breaks is tried once more with a small ClientHello, and then there is one connection in clear", async () => {
    await using peer = await scriptedPeer(brokenTls, brokenTls, tlsPeer());
    const session = await sessionTo(peer.port);
    assert.equal(session.secured, null);
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    session.quit();
    assert.equal(peer.talks.length, 3);
    const hello = ["EHLO out.sender.example", "STARTTLS"];
    assert.deepEqual(peer.lines.slice(0, 4), [...hello, ...hello]);
    assert.ok(!peer.lines.slice(4).includes("STARTTLS"));
  });

  test("that breaks on a long ClientHello is used with a small one, and from then on at once", async () => {
    const choking = afterReady(async (talk) => {
      await talk.bytes(talk.received.length + 1);
      talk.reset();
    });
    await using peer = await scriptedPeer(choking, tlsPeer());
    const memory = tlsMemory();
    for (let mail = 0; mail < 2; mail += 1) {
      const session = await sessionTo(peer.port, {}, { tlsMemory: memory });
      assert.ok(session.secured, "TLS all the same");
      session.quit();
    }
    assert.equal(peer.talks.length, 3);
  });

  test("has a small ClientHello that fits into one packet of any network", async () => {
    const hellos: number[] = [];
    const weighing = afterReady(async (talk) => {
      const before = talk.received.length;
      await talk.bytes(before + 5);
      hellos.push(talk.received.readUInt16BE(before + 3));
      talk.reset();
    });
    await using peer = await scriptedPeer(weighing, weighing, tlsPeer());
    (await sessionTo(peer.port)).quit();
    const [usual = 0, small = 0] = hellos;
    assert.ok(small > 0 && small < 500 && small < usual, `${usual}, then ${small} bytes`);
  });

  test("that breaks is not tried again for a while", async () => {
    await using peer = await scriptedPeer(brokenTls, brokenTls, tlsPeer());
    const memory = tlsMemory();
    for (let mail = 0; mail < 2; mail += 1) {
      const session = await sessionTo(peer.port, {}, { tlsMemory: memory });
      session.quit();
    }
    assert.equal(peer.talks.length, 4);
    assert.equal(peer.lines.filter((line) => line === "STARTTLS").length, 2);
  });

  test("that breaks twice over is no reason to send in clear later on", async () => {
    await using peer = await scriptedPeer(brokenTls, brokenTls, answering({ greeting: HANG_UP }), tlsPeer());
    const memory = tlsMemory();
    const first = await connectTo(peer.port, {}, { tlsMemory: memory });
    assert.ok(!first.ok);
    const session = await sessionTo(peer.port, {}, { tlsMemory: memory });
    assert.ok(session.secured, "the host was down, which says nothing of its TLS");
    session.quit();
  });

  for (const [name, EHLO] of [
    ["hangs up", HANG_UP],
    ["is silent", SILENCE],
  ] as const) {
    test(`a peer that ${name} after the handshake is asked in clear only when it hung up`, async () => {
      const first = tlsPeer({ EHLO: (_line, nth) => (nth === 0 ? STARTTLS_OFFERED : EHLO) });
      await using peer = await scriptedPeer(first, tlsPeer());
      const soon = EHLO === SILENCE ? { timeouts: timeouts({ ehlo: 500 }) } : {};
      const connected = await connectTo(peer.port, {}, soon);
      assert.equal(connected.ok, EHLO === HANG_UP);
      if (connected.ok) connected.session.quit();
    });
  }

  test("a handshake that stalls falls back as well", async () => {
    const stalled = afterReady(async (talk) => {
      await talk.end();
    });
    await using peer = await scriptedPeer(stalled, stalled, tlsPeer());
    const session = await sessionTo(peer.port, {}, { timeouts: timeouts({ tls: 50 }) });
    assert.equal(session.secured, null);
    session.quit();
  });

  test("stops in the handshake at the caller's signal, and does not fall back", async () => {
    const caller = new AbortController();
    const stalled = afterReady(async (talk) => {
      await talk.bytes(talk.received.length + 1);
      caller.abort();
      await talk.end();
    });
    await using peer = await scriptedPeer(stalled, tlsPeer());
    const connected = await connectTo(peer.port, {}, { signal: caller.signal });
    assert.ok(!connected.ok);
    assert.deepEqual(inShort([connected.outcome]), ["deferred internal"]);
    assert.equal(peer.talks.length, 1);
  });

  test("drops what came in clear after the reply to STARTTLS", async () => {
    const injecting: Script = async (talk) => {
      talk.say("220 hi");
      await talk.line();
      talk.say(STARTTLS_OFFERED);
      await talk.line();
      talk.raw("220 ready\r\n250-injected\r\n250 SIZE 1\r\nand junk");
      await talk.startTls();
      await talk.line();
      talk.say(PLAIN);
      await talk.end();
    };
    await using peer = await scriptedPeer(injecting);
    const session = await sessionTo(peer.port);
    assert.ok(session.secured);
    assert.equal(session.capabilities.maxBytes, null);
    session.destroy();
  });

  test("takes TLS 1.0 rather than none, where relays with credentials and required TLS do not", async () => {
    const old = afterReady(async (talk) => {
      await talk.startTls({ minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" });
      await talk.line();
      talk.say(PLAIN);
      await talk.end();
    });
    await using peer = await scriptedPeer(old);
    const session = await sessionTo(peer.port);
    assert.equal(session.secured?.protocol, "TLSv1");
    session.destroy();
    const required = await connectTo(peer.port, { tls: "required" });
    assert.ok(!required.ok);
    assert.deepEqual(inShort([required.outcome]), ["deferred tls"]);
  });
});

describe("required TLS", () => {
  for (const [name, script, connections] of [
    ["not offered", answering(), 1],
    ["refused", tlsPeer({ STARTTLS: "454 no" }), 1],
    ["broken", brokenTls, 2],
  ] as const) {
    test(`defers when it is ${name}, and the next host is tried`, async () => {
      await using peer = await scriptedPeer(script);
      const connected = await connectTo(peer.port, { tls: "required" });
      assert.ok(!connected.ok && connected.outcome.kind === "deferred");
      assert.equal(connected.outcome.cause, "tls");
      assert.equal(connected.tryNextHost, true);
      assert.equal(peer.talks.length, connections, "and none in clear");
    });
  }

  test("delivers when it works", async () => {
    await using peer = await scriptedPeer(tlsPeer());
    const session = await sessionTo(peer.port, { tls: "required" });
    assert.ok(session.secured);
    session.quit();
  });
});

test("TLS that is switched off is not used though offered", async () => {
  await using peer = await scriptedPeer(tlsPeer());
  const session = await sessionTo(peer.port, { tls: "never" });
  assert.equal(session.secured, null);
  session.quit();
});

describe("TLS from the first byte", () => {
  const smtps: Script = async (talk) => {
    await talk.startTls();
    await answering({ EHLO: "250-relay\r\n250-STARTTLS\r\n250 AUTH PLAIN", AUTH: "235 2.7.0 welcome" })(talk);
  };

  test("delivers, and asks for no STARTTLS within", async () => {
    await using peer = await scriptedPeer(smtps);
    const session = await sessionTo(peer.port, { secure: true, auth: { user: "u", pass: "p" } });
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    session.quit();
    assert.equal(peer.talks.length, 1);
    assert.ok(!peer.lines.includes("STARTTLS"));
  });

  test("never falls back to clear text", async () => {
    await using peer = await scriptedPeer(answering());
    const connected = await connectTo(peer.port, { secure: true }, { timeouts: timeouts({ tls: 500 }) });
    assert.ok(!connected.ok);
    assert.deepEqual(inShort([connected.outcome]), ["deferred tls"]);
    assert.equal(peer.talks.length, 2, "two handshakes");
    assert.deepEqual(peer.lines, []);
  });
});

describe("sessions", () => {
  test("are resumed on the same host, and not on another one or where a certificate counts", async () => {
    const script = afterReady(async (talk) => {
      await talk.startTls({ ticketKeys: Buffer.alloc(48, 7) });
      await talk.line();
      talk.say("250-peer\r\n250-PIPELINING\r\n250 AUTH PLAIN");
      const line = await talk.line();
      talk.say(line.startsWith("AUTH") ? "235 ok" : "221 bye");
      await talk.end();
    });
    await using peer = await scriptedPeer(script);
    const memory = tlsMemory();
    const resumed = async (fields: Parameters<typeof connectTo>[1]): Promise<boolean | undefined> => {
      const session = await sessionTo(peer.port, fields, { tlsMemory: memory, signal: never() });
      session.quit();
      return session.secured?.resumed;
    };
    assert.equal(await resumed({}), false);
    assert.equal(await resumed({}), true);
    assert.equal(await resumed({ host: "mx2.one.example" }), false);
    assert.equal(await resumed({ tls: "required" }), false);
    assert.equal(await resumed({ auth: { user: "u", pass: "p" } }), false);
    assert.equal(await resumed({ auth: { user: "u", pass: "p" } }), false);
  });
});
