import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { SmtpSession } from "../../../sender/delivery/smtp-client.ts";
import { answering, scriptedPeer, SILENCE } from "../../support/scripted-peer.ts";
import { inShort, send, sessionTo, timeouts } from "../../support/smtp-session.ts";

function closed(session: SmtpSession): Promise<void> {
  return new Promise((resolve) => {
    session.onClose(resolve);
  });
}

describe("a session", () => {
  test("notices that the peer hung up while it was idle", async () => {
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port);
    assert.equal(session.usable, true);
    peer.talks[0]?.hangUp();
    await closed(session);
    assert.equal(session.usable, false);
    assert.equal(session.failure?.kind, "closed");
  });

  for (const reply of ["421 4.4.2 idle too long", "250 ok", "554 go away", "what?"]) {
    test(`is closed by "${reply}" that nobody asked for`, async () => {
      await using peer = await scriptedPeer(answering());
      const session = await sessionTo(peer.port);
      await send(session);
      peer.talks[0]?.say(reply);
      await closed(session);
      const { outcomes, staleSession } = await send(session);
      assert.equal(outcomes[0]?.kind, "deferred", "never bounced by a reply that is not about the mail");
      assert.equal(staleSession, true);
    });
  }

  test("a reply that follows the one to the final dot does not undo it, and ends the session", async () => {
    await using peer = await scriptedPeer(answering({ DOT: "250 2.0.0 taken\r\n421 4.3.2 bye" }));
    const { outcomes, sessionUsable } = await send(await sessionTo(peer.port));
    assert.deepEqual(inShort(outcomes), ["delivered 250"]);
    assert.equal(sessionUsable, false);
  });

  test("says QUIT, is of no more use at once, and closes at the answer", async () => {
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port);
    session.quit();
    session.quit();
    assert.equal(session.usable, false);
    await closed(session);
    await closed(session); // also when it is closed already
    await peer.talks[0]?.end();
    assert.deepEqual(peer.lines.slice(1), ["QUIT"]);
  });

  test("does not wait long for the answer to QUIT", async () => {
    await using peer = await scriptedPeer(answering({ QUIT: SILENCE }));
    const session = await sessionTo(peer.port, {}, { timeouts: timeouts({ quit: 20 }) });
    session.quit();
    await closed(session);
  });

  test("a mail for a session that was told to quit is deferred", async () => {
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port);
    session.quit();
    const { outcomes, staleSession } = await send(session);
    assert.deepEqual(inShort(outcomes), ["deferred protocol"]);
    assert.equal(staleSession, false, "it was never used: a fresh one may fail in the same way");
  });

  test("destroyed in the middle of a mail, it defers", async () => {
    const asked = Promise.withResolvers<void>();
    const MAIL = (): symbol => {
      asked.resolve();
      return SILENCE;
    };
    await using peer = await scriptedPeer(answering({ MAIL }));
    const session = await sessionTo(peer.port);
    const sent = send(session);
    await asked.promise;
    session.destroy();
    assert.deepEqual(inShort((await sent).outcomes), ["deferred internal"]);
  });

  test("a signal that has aborted already sends nothing", async () => {
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port);
    const { outcomes } = await send(session, { signal: AbortSignal.abort() });
    await peer.talks[0]?.end();
    assert.deepEqual(inShort(outcomes), ["deferred internal"]);
    assert.deepEqual(peer.lines, ["EHLO out.sender.example"]);
  });

  test("does not look at the signal of a mail that is done", async () => {
    await using peer = await scriptedPeer(answering());
    const caller = new AbortController();
    const session = await sessionTo(peer.port);
    await send(session, { signal: caller.signal });
    caller.abort();
    assert.equal(session.usable, true);
    assert.deepEqual(inShort((await send(session)).outcomes), ["delivered 250"]);
    session.quit();
  });
});
