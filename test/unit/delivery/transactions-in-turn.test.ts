/** A session that carries more than one mail: what is said in between, and when it is stale. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { answering, HANG_UP, PIPELINING, RESET, scriptedPeer } from "../../support/scripted-peer.ts";
import { inShort, send, sessionTo } from "../../support/smtp-session.ts";

const ESMTP = "250 peer.example";

describe("one transaction after the other", () => {
  test("needs no RSET after a mail that was taken or refused at the end", async () => {
    await using peer = await scriptedPeer(
      answering({ DOT: (_line, nth) => (nth === 0 ? "554 5.7.1 spam" : "250 ok") }),
    );
    const session = await sessionTo(peer.port);
    assert.deepEqual(inShort((await send(session)).outcomes), ["bounced reply 554"]);
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    assert.equal(session.transactions, 3);
    session.quit();
    assert.ok(!peer.lines.includes("RSET"));
  });

  for (const [name, EHLO] of [
    ["pipelined", PIPELINING],
    ["command by command", ESMTP],
  ] as const) {
    test(`begins with RSET after a failed envelope, ${name}`, async () => {
      const RCPT = (_line: string, nth: number): string => (nth === 0 ? "550 no" : "250 ok");
      const DATA = (_line: string, nth: number): string =>
        nth === 0 && EHLO !== ESMTP ? "503 nobody" : "354 go";
      await using peer = await scriptedPeer(answering({ EHLO, RCPT, DATA }));
      const session = await sessionTo(peer.port);
      assert.deepEqual(inShort((await send(session)).outcomes), ["bounced reply 550"]);
      assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
      assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
      session.quit();
      assert.equal(peer.lines.filter((line) => line === "RSET").length, 1);
    });
  }

  test("a session that does not take RSET is stale, and nobody is blamed", async () => {
    await using peer = await scriptedPeer(answering({ RCPT: "550 no", DATA: "503 no", RSET: "502 what?" }));
    const session = await sessionTo(peer.port);
    await send(session);
    const result = await send(session);
    assert.deepEqual(inShort(result.outcomes), ["deferred protocol"]);
    assert.equal(result.staleSession, true);
    assert.equal(result.sessionUsable, false);
  });

  test("a mail that went before is not ended by accident when RSET fails", async () => {
    const DATA = (_line: string, nth: number): string => (nth === 0 ? "451 4.3.0 later" : "354 go");
    await using peer = await scriptedPeer(answering({ DATA, RSET: "502 what?", RCPT: "250 ok" }));
    const session = await sessionTo(peer.port);
    await send(session);
    await send(session, { to: ["ben"] });
    await peer.talks[0]?.end();
    assert.deepEqual(peer.contents, [], "a dot would send an empty mail to anna");
  });

  for (const [name, second] of [
    ["hangs up", HANG_UP],
    ["resets the connection", RESET],
    ["says 421", "421 too many mails on this connection"],
  ] as const) {
    test(`a reused session whose peer ${name} at MAIL is stale`, async () => {
      const MAIL = (_line: string, nth: number): string | symbol => (nth === 0 ? "250 ok" : second);
      await using peer = await scriptedPeer(answering({ MAIL }));
      const session = await sessionTo(peer.port);
      assert.equal((await send(session)).staleSession, false);
      const result = await send(session);
      assert.equal(result.staleSession, true);
      assert.equal(result.sessionUsable, false);
      assert.equal(result.outcomes[0]?.kind, "deferred");
    });
  }

  test("a reused session that was closed while idle is stale", async () => {
    const done = Promise.withResolvers<void>();
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port);
    await send(session);
    session.onClose(done.resolve);
    peer.talks[0]?.hangUp();
    await done.promise;
    const result = await send(session);
    assert.deepEqual([result.staleSession, result.sessionUsable], [true, false]);
    assert.deepEqual(inShort(result.outcomes), ["deferred protocol"]);
  });

  test("a reused session that breaks after the peer has answered MAIL was an attempt", async () => {
    const RCPT = (_line: string, nth: number): string | symbol => (nth === 0 ? "250 ok" : HANG_UP);
    await using peer = await scriptedPeer(answering({ RCPT }));
    const session = await sessionTo(peer.port);
    await send(session);
    assert.equal((await send(session)).staleSession, false);
  });
});
