import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import { SMTPServer } from "smtp-server";

import { answering, scriptedPeer } from "../../support/scripted-peer.ts";
import type { Answers } from "../../support/scripted-peer.ts";
import { connectTo, inShort, send, sessionTo, WIRE } from "../../support/smtp-session.ts";

const to = ["anna", "ben", "carl"];

/** Send to a peer that gives these answers: what became of each, and whether the session could go on. */
async function deliver(answers: Answers, recipients: readonly string[] = to) {
  await using peer = await scriptedPeer(answering(answers));
  const session = await sessionTo(peer.port, { lmtp: true });
  const sent = await send(session, { to: recipients });
  const { sessionUsable, tryNextHost } = sent;
  session.destroy();
  return {
    outcomes: inShort(sent.outcomes),
    sessionUsable,
    tryNextHost,
    lines: peer.lines,
    contents: peer.contents,
  };
}

describe("LMTP", { timeout: 20_000 }, () => {
  test("begins with LHLO, and gives each recipient the reply that is his", async () => {
    const { outcomes, sessionUsable, lines, contents } = await deliver({
      DOT: "250 2.1.5 <anna@one.example> stored\r\n452 4.2.2 full\r\n550-5.1.1 no such\r\n550 5.1.1 mailbox",
    });
    assert.deepEqual(outcomes, ["delivered 250", "deferred reply 452", "bounced reply 550"]);
    assert.equal(sessionUsable, true);
    assert.equal(lines[0], "LHLO out.sender.example");
    assert.deepEqual(contents.map(String), [WIRE], "the content goes once");
  });

  test("has no reply for a recipient who was refused before the content", async () => {
    const { outcomes } = await deliver({
      RCPT: (line) => (line.includes("ben@") ? "550 5.1.1 no such mailbox" : "250 2.1.5 ok"),
      DOT: "250 2.0.0 stored\r\n451 4.3.0 not now",
    });
    assert.deepEqual(outcomes, ["delivered 250", "bounced reply 550", "deferred reply 451"]);
  });

  test("leaves those in doubt whose replies do not come", async () => {
    const talks: { hangUp(): void }[] = [];
    await using peer = await scriptedPeer(
      answering({
        DOT: () => {
          setImmediate(() => talks[0]?.hangUp());
          return "250 2.0.0 stored";
        },
      }),
    );
    const session = await sessionTo(peer.port, { lmtp: true });
    talks.push(...peer.talks);
    const { outcomes, sessionUsable, tryNextHost } = await send(session, { to });
    assert.deepEqual(inShort(outcomes), ["delivered 250", "deferred ambiguous", "deferred ambiguous"]);
    assert.deepEqual([sessionUsable, tryNextHost], [false, false]);
  });

  test("ends with 421, and those after it are in doubt", async () => {
    const { outcomes, sessionUsable } = await deliver({ DOT: "250 2.0.0 stored\r\n421 4.3.2 bye" });
    assert.deepEqual(outcomes, ["delivered 250", "deferred reply 421", "deferred ambiguous"]);
    assert.equal(sessionUsable, false);
  });

  test("does not wait for an answer that nobody gets", async () => {
    const { outcomes, sessionUsable, contents } = await deliver({ RCPT: "550 5.1.1 no such mailbox" });
    assert.deepEqual(outcomes, ["bounced reply 550", "bounced reply 550", "bounced reply 550"]);
    assert.deepEqual(contents, []);
    assert.equal(sessionUsable, false, "it waits for content");
  });

  test("goes on with the next mail on the same connection", async () => {
    await using peer = await scriptedPeer(answering({ DOT: "250 2.0.0 one\r\n250 2.0.0 two" }));
    const session = await sessionTo(peer.port, { lmtp: true });
    for (let mail = 0; mail < 3; mail++) {
      const { outcomes } = await send(session, { to: ["anna", "ben"] });
      assert.deepEqual(inShort(outcomes), ["delivered 250", "delivered 250"]);
    }
    session.destroy();
    assert.ok(!peer.lines.includes("RSET"));
  });

  test("is not SMTP: who does not know LHLO is not asked for less", async () => {
    await using peer = await scriptedPeer(answering({ LHLO: "502 5.5.1 what?" }));
    const connected = await connectTo(peer.port, { lmtp: true });
    assert.ok(!connected.ok);
    await peer.talks[0]?.end();
    assert.deepEqual(peer.lines, ["LHLO out.sender.example", "QUIT"]);
  });

  test("is understood by a server that others have written", async () => {
    const server = new SMTPServer({
      lmtp: true,
      disabledCommands: ["AUTH", "STARTTLS"],
      onData(stream, session, done) {
        stream.resume().on("end", () => {
          const replies = session.envelope.rcptTo.map(({ address }) =>
            address.startsWith("ben") ? Object.assign(new Error("full"), { responseCode: 452 }) : "stored",
          );
          (done as (error: null, replies: unknown) => void)(null, replies);
        });
      },
    });
    server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    const { port } = server.server.address() as AddressInfo;
    const session = await sessionTo(port, { lmtp: true });
    const { outcomes } = await send(session, { to });
    session.quit();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    assert.deepEqual(inShort(outcomes), ["delivered 250", "deferred reply 452", "delivered 250"]);
  });
});
