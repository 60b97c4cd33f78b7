import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import { systemTimers } from "../../../sender/delivery/timeouts.ts";
import { answering, HANG_UP, RESET, scriptedPeer, SILENCE } from "../../support/scripted-peer.ts";
import type { Answers } from "../../support/scripted-peer.ts";
import { connectTo, inShort, send, sessionTo, timeouts } from "../../support/smtp-session.ts";

/** For tests of a phase whose timer is to fire: the peer is silent for ever, so any time will do. */
const SOON_MS = 20;

/** Connect to a peer that gives these answers: what came of it in short, and what was said to it. */
async function greet(answers: Answers, options: Parameters<typeof connectTo>[2] = {}) {
  await using peer = await scriptedPeer(answering(answers));
  const connected = await connectTo(peer.port, {}, options);
  if (connected.ok) connected.session.quit();
  await peer.talks[0]?.end();
  const came = connected.ok ? "ready" : inShort([connected.outcome])[0];
  return { connected, came, lines: peer.lines.filter((line) => line !== "QUIT") };
}

/** A port on which nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}

describe("connecting", () => {
  test("ends with a session that knows its route and what the peer offers", async () => {
    await using peer = await scriptedPeer(answering({ EHLO: "250-peer\r\n250-size 1000\r\n250 PipeLining" }));
    const session = await sessionTo(peer.port);
    assert.deepEqual(session.route, { mx: "mx.one.example", peer: "127.0.0.1", egress: "127.0.0.1" });
    assert.equal(session.capabilities.pipelining, true);
    assert.equal(session.capabilities.maxBytes, 1_000);
    assert.equal(session.secured, null);
    assert.equal(session.transactions, 0);
    session.quit();
  });

  test("binds the egress address", async () => {
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port, { localAddress: "127.0.0.2" });
    assert.equal(session.route.egress, "127.0.0.2");
    session.quit();
  });

  test("tells an egress address that this machine does not have from a host that is down", async () => {
    await using peer = await scriptedPeer(answering());
    const foreign = await connectTo(peer.port, { localAddress: "192.0.2.1" });
    assert.ok(!foreign.ok);
    assert.deepEqual(inShort([foreign.outcome]), ["deferred connect"]);
    assert.deepEqual([foreign.host, foreign.egressUsable, foreign.tryNextHost], ["well", false, true]);
    assert.equal(foreign.outcome.route.egress, "192.0.2.1");
    const dead = await connectTo(await deadPort());
    assert.ok(!dead.ok);
    assert.deepEqual(inShort([dead.outcome]), ["deferred connect"]);
    assert.deepEqual([dead.host, dead.egressUsable, dead.tryNextHost], ["down", true, true]);
    assert.match(
      dead.outcome.kind === "deferred" ? dead.outcome.detail : "",
      /mx\.one\.example .*ECONNREFUSED/,
    );
  });

  test("gives TCP its time and no more", async () => {
    await using peer = await scriptedPeer(answering());
    // On loopback TCP is up at the next turn of the event loop, so this clock runs out before it.
    const timers = {
      ...systemTimers,
      set: (ms: number, onTime: () => void) => {
        if (ms === 1_234) process.nextTick(onTime);
        return systemTimers.set(ms, () => undefined);
      },
    };
    const connected = await connectTo(peer.port, {}, { timers, timeouts: timeouts({ connect: 1_234 }) });
    assert.ok(!connected.ok);
    assert.deepEqual(inShort([connected.outcome]), ["deferred connect"]);
    assert.deepEqual([connected.host, connected.tryNextHost], ["down", true]);
  });

  test("stops at the caller's signal, before and in the middle", async () => {
    const before = await connectTo(1, {}, { signal: AbortSignal.abort() });
    assert.ok(!before.ok);
    assert.deepEqual(inShort([before.outcome]), ["deferred internal"]);
    assert.equal(before.tryNextHost, false);
    const { connected, came } = await greet({ EHLO: SILENCE }, { signal: AbortSignal.timeout(SOON_MS) });
    assert.equal(came, "deferred timeout");
    assert.ok(!connected.ok && !connected.tryNextHost, "the time for this delivery is over");
  });

  test("does not look at the signal any more when the session is ready", async () => {
    await using peer = await scriptedPeer(answering());
    const caller = new AbortController();
    const session = await sessionTo(peer.port, {}, { signal: caller.signal });
    caller.abort();
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    session.quit();
  });
});

describe("the greeting", () => {
  test("may have many lines, and come byte by byte", async () => {
    await using peer = await scriptedPeer(async (talk) => {
      await talk.drip("220-peer.example\r\n220-no spam\r\n220 please\r\n");
      await talk.line();
      await talk.drip("250-peer\r\n250 PIPELINING\r\n");
      await talk.end();
    });
    const session = await sessionTo(peer.port);
    assert.equal(session.capabilities.pipelining, true);
    session.destroy();
  });

  for (const [greeting, fate, host] of [
    ["554 5.7.1 you are listed", "bounced reply 554", "refusing"],
    ["554-no\r\n554 service", "bounced reply 554", "refusing"],
    ["421 4.7.0 too many connections", "deferred reply 421", "refusing"],
    ["450 4.3.2 not now", "deferred reply 450", "refusing"],
    ["220-hi\r\n421 bye", "deferred reply 421", "refusing"],
    ["354 go on", "deferred protocol 354", "refusing"],
    ["SSH-2.0-OpenSSH_9.2", "deferred protocol", "refusing"],
    [HANG_UP, "deferred protocol", "refusing"],
    [RESET, "deferred protocol", "refusing"],
    [SILENCE, "deferred timeout", "down"],
  ] as const) {
    test(`${JSON.stringify(String(greeting))} is ${fate}, and the next host is tried`, async () => {
      const { connected, came, lines } = await greet(
        { greeting },
        { timeouts: timeouts({ greeting: SOON_MS }) },
      );
      assert.equal(came, fate);
      assert.ok(!connected.ok);
      assert.deepEqual([connected.host, connected.tryNextHost], [host, true]);
      assert.deepEqual(lines, []);
    });
  }

  test("of an endless kind is cut off", async () => {
    await using peer = await scriptedPeer(async (talk) => {
      for (let line = 0; line < 10_000 && !talk.ended; line += 1) {
        talk.raw("220-and another line\r\n".repeat(100));
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    });
    const connected = await connectTo(peer.port);
    assert.ok(!connected.ok);
    assert.deepEqual(inShort([connected.outcome]), ["deferred protocol"]);
  });
});

describe("EHLO", () => {
  for (const code of ["500", "502", "550"]) {
    test(`refused by ${code} is followed by one HELO, and nothing is taken for offered`, async () => {
      const { connected, lines } = await greet({ EHLO: `${code}-what?\r\n${code} PIPELINING` });
      assert.ok(connected.ok);
      assert.equal(connected.session.capabilities.esmtp, false);
      assert.equal(connected.session.capabilities.pipelining, false);
      assert.deepEqual(lines, ["EHLO out.sender.example", "HELO out.sender.example"]);
    });
  }

  for (const [name, answers, fate] of [
    ["4yz is not followed by HELO", { EHLO: "451 4.3.0 not now" }, "deferred reply 451"],
    ["421 is not followed by HELO", { EHLO: "421 4.3.0 bye" }, "deferred reply 421"],
    ["and HELO refused", { EHLO: "550 no", HELO: "550 5.7.1 no again" }, "bounced reply 550"],
    ["refused, and the connection closed", { EHLO: "550 5.7.1 go", HELO: HANG_UP }, "bounced reply 550"],
    ["and the connection closed", { EHLO: HANG_UP }, "deferred protocol"],
    ["and nothing more", { EHLO: SILENCE }, "deferred timeout"],
    ["answered by 354", { EHLO: "354 go on" }, "deferred protocol 354"],
  ] as const) {
    test(`${name}: ${fate}`, async () => {
      const { connected, came } = await greet(answers, { timeouts: timeouts({ ehlo: SOON_MS }) });
      assert.equal(came, fate);
      assert.ok(!connected.ok && connected.tryNextHost);
    });
  }
});
