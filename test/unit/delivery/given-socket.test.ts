/** A connection that a plugin has made, in place of one of ours. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, test } from "node:test";

import { tlsMemory } from "../../../sender/delivery/tls.ts";
import { answering, brokenTls, scriptedPeer } from "../../support/scripted-peer.ts";
import type { Script } from "../../support/scripted-peer.ts";
import { connectTo, inShort, send, sessionTo } from "../../support/smtp-session.ts";

/** Nobody listens there: all that works goes by the socket that is given. */
const DEAD_PORT = 1;
const OFFERED = "250-peer\r\n250-PIPELINING\r\n250 STARTTLS";

async function socketTo(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  return socket;
}

describe("a connection that a plugin has made", { timeout: 20_000 }, () => {
  test("carries mail, and STARTTLS, also when it is not up yet", async () => {
    await using peer = await scriptedPeer(answering({ EHLO: OFFERED }));
    for (const socket of [await socketTo(peer.port), connect({ port: peer.port, host: "127.0.0.1" })]) {
      const session = await sessionTo(DEAD_PORT, { socket });
      assert.ok(session.secured);
      assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
      session.quit();
      await session.closed();
    }
    assert.equal(peer.talks.length, 2);
  });

  test("may be one of TLS already", async () => {
    const tlsFirst: Script = async (talk) => {
      await talk.startTls();
      await answering()(talk);
    };
    await using peer = await scriptedPeer(tlsFirst);
    const socket = connectTls({ port: peer.port, host: "127.0.0.1", rejectUnauthorized: false });
    const session = await sessionTo(DEAD_PORT, { socket });
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    session.quit();
  });

  test("makes the mail wait when it cannot be used", async () => {
    await using peer = await scriptedPeer(answering());
    const closed = await socketTo(peer.port);
    closed.destroy();
    const neverUp = connect({ port: DEAD_PORT, host: "127.0.0.1" });
    for (const socket of [closed, neverUp]) {
      const connected = await connectTo(peer.port, { socket });
      assert.ok(!connected.ok);
      assert.match(inShort([connected.outcome])[0] ?? "", /^deferred /);
    }
    assert.equal(peer.talks.length, 1, "none but the plugin's own");
  });

  test("is closed when the time for the delivery is over", async () => {
    await using peer = await scriptedPeer(answering());
    const socket = await socketTo(peer.port);
    const connected = await connectTo(DEAD_PORT, { socket }, { signal: AbortSignal.abort() });
    assert.ok(!connected.ok);
    assert.ok(socket.destroyed);
  });

  test("whose TLS breaks is not tried again at once, but with less at each further attempt", async () => {
    await using peer = await scriptedPeer(brokenTls, brokenTls, answering({ EHLO: OFFERED }));
    const memory = tlsMemory();
    for (let attempt = 0; attempt < 2; attempt++) {
      const socket = await socketTo(peer.port);
      const connected = await connectTo(DEAD_PORT, { socket }, { tlsMemory: memory });
      assert.ok(!connected.ok);
      assert.deepEqual(inShort([connected.outcome]), ["deferred tls"]);
    }
    const session = await sessionTo(DEAD_PORT, { socket: await socketTo(peer.port) }, { tlsMemory: memory });
    assert.equal(session.secured, null, "in clear");
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    session.quit();
  });

  test("never goes on in clear where TLS is required", async () => {
    await using peer = await scriptedPeer(brokenTls);
    const memory = tlsMemory();
    for (let attempt = 0; attempt < 3; attempt++) {
      const socket = await socketTo(peer.port);
      const connected = await connectTo(DEAD_PORT, { socket, tls: "required" }, { tlsMemory: memory });
      assert.ok(!connected.ok);
      assert.deepEqual(inShort([connected.outcome]), ["deferred tls"]);
    }
  });
});
