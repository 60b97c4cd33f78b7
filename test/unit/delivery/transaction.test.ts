import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { answering, HANG_UP, PIPELINING, RESET, scriptedPeer, SILENCE } from "../../support/scripted-peer.ts";
import type { Answers } from "../../support/scripted-peer.ts";
import { inShort, send, sessionTo, timeouts, WIRE } from "../../support/smtp-session.ts";
import type { Mail } from "../../support/smtp-session.ts";

const ESMTP = "250 peer.example";
/** For tests of a phase whose timer is to fire: the peer is silent for ever, so any time will do. */
const SOON_MS = 20;

/** One mail to a peer that gives these answers, on a session of its own. */
async function deliver(answers: Answers, mail: Mail = {}, options: Parameters<typeof sessionTo>[2] = {}) {
  await using peer = await scriptedPeer(answering(answers));
  const session = await sessionTo(peer.port, {}, options);
  const result = await send(session, mail);
  const { usable } = session;
  session.quit();
  await peer.talks[0]?.end();
  return { ...result, usable, short: inShort(result.outcomes), peer };
}

describe("a transaction", () => {
  for (const [name, EHLO] of [
    ["pipelined", PIPELINING],
    ["command by command", ESMTP],
  ] as const) {
    describe(name, () => {
      test("delivers to every recipient with the reply to the final dot", async () => {
        const { outcomes, short, sessionUsable, peer } = await deliver(
          { EHLO, DOT: "250 2.0.0 queued as 42" },
          { to: ["anna", "ben"] },
        );
        assert.deepEqual(short, ["delivered 250", "delivered 250"]);
        assert.deepEqual(outcomes[1]?.reply, { code: 250, enhanced: "2.0.0", text: "queued as 42" });
        assert.deepEqual(outcomes[1]?.route, {
          mx: "mx.one.example",
          peer: "127.0.0.1",
          egress: "127.0.0.1",
        });
        assert.equal(sessionUsable, true);
        assert.deepEqual(peer.lines, [
          "EHLO out.sender.example",
          "MAIL FROM:<sender@sender.example>",
          "RCPT TO:<anna@one.example>",
          "RCPT TO:<ben@one.example>",
          "DATA",
          "QUIT",
        ]);
        assert.deepEqual(peer.contents.map(String), [WIRE]);
      });

      test("gives each recipient the reply to its own RCPT, and the others the final one", async () => {
        const RCPT = (line: string): string =>
          line.includes("ben") ? "550 5.1.1 no ben" : line.includes("carl") ? "450 4.2.0 later" : "250 ok";
        const { short, sessionUsable } = await deliver(
          { EHLO, RCPT },
          { to: ["anna", "ben", "carl", "dora"] },
        );
        assert.deepEqual(short, [
          "delivered 250",
          "bounced reply 550",
          "deferred reply 450",
          "delivered 250",
        ]);
        assert.equal(sessionUsable, true);
      });

      for (const [code, fate] of [
        ["450 4.1.8", "deferred reply 450"],
        ["550 5.1.8", "bounced reply 550"],
        ["354", "deferred protocol 354"],
      ] as const) {
        test(`shares ${code} to MAIL among all recipients`, async () => {
          const answers = { EHLO, MAIL: `${code} no`, RCPT: "503 MAIL first", DATA: "503 MAIL first" };
          const { short, sessionUsable, peer } = await deliver(answers, { to: ["anna", "ben"] });
          assert.deepEqual(short, [fate, fate]);
          assert.equal(
            sessionUsable,
            !code.startsWith("3"),
            "one who says 354 to MAIL is not to be trusted on",
          );
          assert.deepEqual(peer.contents, []);
        });
      }

      test("sends no content when nobody was accepted", async () => {
        const { short, sessionUsable, peer } = await deliver({ EHLO, RCPT: "550 no", DATA: "554 nobody" });
        assert.deepEqual(short, ["bounced reply 550"]);
        assert.equal(sessionUsable, true);
        assert.deepEqual(peer.contents, []);
      });

      for (const [reply, fate, usable] of [
        ["451 4.3.0 later", "deferred reply 451", true],
        ["554 5.7.1 no", "bounced reply 554", true],
        ["250 ok", "deferred protocol 250", false],
      ] as const) {
        test(`takes "${reply}" to DATA for those accepted`, async () => {
          const RCPT = (line: string): string => (line.includes("ben") ? "550 no ben" : "250 ok");
          const { short, sessionUsable, peer } = await deliver(
            { EHLO, RCPT, DATA: reply },
            { to: ["anna", "ben"] },
          );
          assert.deepEqual(short, [fate, "bounced reply 550"]);
          assert.equal(sessionUsable, usable);
          assert.deepEqual(peer.contents, []);
        });
      }

      for (const [reply, fate, usable] of [
        ["452 4.3.1 full", "deferred reply 452", true],
        ["554 5.7.1 spam", "bounced reply 554", true],
        ["299 whatever", "delivered 299", true],
        ["354 go on", "deferred protocol 354", false],
        ["421 4.3.2 bye", "deferred reply 421", false],
        ["250-half\r\n550 other half", "bounced reply 550", false],
      ] as const) {
        test(`takes ${JSON.stringify(reply)} to the final dot for those accepted`, async () => {
          const RCPT = (line: string): string => (line.includes("ben") ? "550 no ben" : "250 ok");
          const { short, sessionUsable } = await deliver(
            { EHLO, RCPT, DOT: reply },
            { to: ["anna", "ben", "carl"] },
          );
          assert.deepEqual(short, [fate, "bounced reply 550", fate]);
          assert.equal(sessionUsable, usable);
        });
      }

      for (const verb of ["MAIL", "RCPT", "DATA"] as const) {
        test(`a peer that hangs up at ${verb} defers, and may be bypassed`, async () => {
          const result = await deliver({ EHLO, [verb]: HANG_UP });
          assert.deepEqual(result.short, ["deferred protocol"]);
          assert.equal(result.sessionUsable, false);
          assert.equal(result.staleSession, false, "it was a fresh session");
          assert.equal(result.tryNextHost, true);
        });

        test(`a peer that resets the connection at ${verb} defers`, async () => {
          assert.deepEqual((await deliver({ EHLO, [verb]: RESET })).short, ["deferred protocol"]);
        });

        test(`a peer that is silent at ${verb} times out`, async () => {
          const soon = { timeouts: timeouts({ [verb.toLowerCase()]: SOON_MS }) };
          const result = await deliver({ EHLO, [verb]: SILENCE }, {}, soon);
          assert.deepEqual(result.short, ["deferred timeout"]);
          assert.equal(result.usable, false);
        });

        test(`421 at ${verb} defers what is open, and the session is closed`, async () => {
          const result = await deliver({ EHLO, [verb]: "421 4.3.2 shutting down" });
          assert.deepEqual(result.short, ["deferred reply 421"]);
          assert.equal(result.sessionUsable, false);
          assert.equal(result.tryNextHost, true);
        });

        test(`nonsense at ${verb} defers`, async () => {
          const result = await deliver({ EHLO, [verb]: "HTTP/1.1 400 Bad Request" });
          assert.deepEqual(result.short, ["deferred protocol"]);
          assert.equal(result.usable, false);
        });
      }

      test("421 in the middle of the recipients leaves alone who is decided", async () => {
        const RCPT = (_line: string, nth: number): string =>
          ["250 ok", "550 no", "421 bye", "250 ok"][nth] ?? "";
        const { short } = await deliver({ EHLO, RCPT }, { to: ["anna", "ben", "carl", "dora"] });
        assert.deepEqual(short, [
          "deferred reply 421",
          "bounced reply 550",
          "deferred reply 421",
          "deferred reply 421",
        ]);
      });

      test("a connection lost in the middle of the recipients leaves alone who is decided", async () => {
        const RCPT = (_line: string, nth: number): string | symbol =>
          ["250 ok", "550 no", HANG_UP][nth] ?? "";
        const { short } = await deliver({ EHLO, RCPT }, { to: ["anna", "ben", "carl"] });
        assert.deepEqual(short, ["deferred protocol", "bounced reply 550", "deferred protocol"]);
      });

      for (const [name, DOT] of [
        ["hangs up", HANG_UP],
        ["resets the connection", RESET],
        ["talks nonsense", "what?"],
      ] as const) {
        test(`is ambiguous for those accepted when the peer ${name} after the final dot`, async () => {
          const RCPT = (line: string): string => (line.includes("ben") ? "550 no ben" : "250 ok");
          const result = await deliver({ EHLO, RCPT, DOT }, { to: ["anna", "ben"] });
          assert.deepEqual(result.short, ["deferred ambiguous", "bounced reply 550"]);
          assert.equal(result.tryNextHost, false, "at once is too soon for a possible duplicate");
          assert.equal(result.sessionUsable, false);
        });
      }

      test("is ambiguous when the peer is silent after the final dot", async () => {
        const soon = { timeouts: timeouts({ dot: SOON_MS }) };
        assert.deepEqual((await deliver({ EHLO, DOT: SILENCE }, {}, soon)).short, ["deferred ambiguous"]);
      });

      test("tells which recipients are over the number that the peer takes", async () => {
        const replies = ["250 ok", "250 ok", "452 4.5.3 Too many recipients", "552 Too many recipients"];
        const RCPT = (_line: string, nth: number): string => replies[nth] ?? "";
        const result = await deliver({ EHLO, RCPT }, { to: ["anna", "ben", "carl", "dora"] });
        assert.deepEqual(result.overLimit, [2, 3]);
        assert.deepEqual(result.short, [
          "delivered 250",
          "delivered 250",
          "deferred reply 452",
          "deferred reply 552",
        ]);
        assert.equal(result.sessionUsable, true);
      });

      test("a full mailbox is not a limit on recipients", async () => {
        const RCPT = (_line: string, nth: number): string =>
          ["250 ok", "552 5.2.2 mailbox full", "452 4.2.2 full"][nth] ?? "";
        const result = await deliver({ EHLO, RCPT }, { to: ["anna", "ben", "carl"] });
        assert.deepEqual(result.overLimit, []);
        assert.deepEqual(result.short, ["delivered 250", "bounced reply 552", "deferred reply 452"]);
      });

      test("a limit that not even one recipient passes is not tried again at once", async () => {
        const result = await deliver({ EHLO, RCPT: "452 4.5.3 Too many recipients" });
        assert.deepEqual(result.overLimit, []);
        assert.deepEqual(result.short, ["deferred reply 452"]);
      });
    });
  }

  test("says <> for a null return path", async () => {
    const { peer } = await deliver({}, { returnPath: null });
    assert.equal(peer.lines[1], "MAIL FROM:<>");
  });

  test("sends commands of a pipelining peer in one go, and one by one to any other", async () => {
    for (const [EHLO, together] of [
      [PIPELINING, 4],
      [ESMTP, 1],
    ] as const) {
      await using peer = await scriptedPeer(async (talk) => {
        talk.say("220 hi");
        await talk.line();
        talk.say(EHLO);
        await talk.line(); // MAIL
        // Nothing is answered before all that may come has come: a client that waited could not go on.
        for (let line = 1; line < together; line += 1) await talk.line();
        assert.equal(talk.pending, "");
        talk.hangUp();
      });
      const session = await sessionTo(peer.port);
      assert.deepEqual(inShort((await send(session, { to: ["anna", "ben"] })).outcomes), [
        "deferred protocol",
        "deferred protocol",
      ]);
      assert.equal(peer.lines.length, 1 + together);
    }
  });

  test("sends all but the end of a mail that may not be taken yet, and that when it may", async () => {
    const allowed = Promise.withResolvers<void>();
    const chunk = Buffer.from("text\r\n".repeat(10_000));
    let early = "";
    await using peer = await scriptedPeer(async (talk) => {
      for (const reply of ["220 hi", ESMTP, "250 ok", "250 ok", "354 go on"]) {
        talk.say(reply);
        if (reply !== "354 go on") await talk.line();
      }
      await talk.bytes(chunk.length);
      early = talk.pending;
      allowed.resolve();
      await talk.content();
      talk.say("250 2.0.0 queued");
    });
    const session = await sessionTo(peer.port);
    const { outcomes } = await send(session, { chunks: [chunk], beforeDot: () => allowed.promise });
    assert.deepEqual(inShort(outcomes), ["delivered 250"]);
    assert.ok(!early.includes("\r\n.\r\n"), "no dot before");
    session.destroy();
  });

  test("a peer that hangs up while the end of a mail has to wait has not taken it", async () => {
    await using peer = await scriptedPeer(async (talk) => {
      for (const reply of ["220 hi", ESMTP, "250 ok", "250 ok"]) {
        talk.say(reply);
        await talk.line();
      }
      talk.say("354 go on");
      talk.hangUp();
    });
    const session = await sessionTo(peer.port);
    const { outcomes } = await send(session, { beforeDot: () => new Promise(() => undefined) });
    assert.deepEqual(inShort(outcomes), ["deferred protocol"]);
  });

  test("a mail that must not be taken any more is left without its end, and nobody is blamed", async () => {
    let content = "";
    await using peer = await scriptedPeer(async (talk) => {
      for (const reply of ["220 hi", ESMTP, "250 ok", "250 ok"]) {
        talk.say(reply);
        await talk.line();
      }
      talk.say("354 go on");
      await talk.end();
      content = talk.pending;
    });
    const session = await sessionTo(peer.port);
    const { outcomes } = await send(session, { beforeDot: () => Promise.reject(new Error("lost")) });
    assert.deepEqual(inShort(outcomes), ["deferred internal"]);
    assert.equal(session.usable, false);
    assert.ok(!content.includes("\r\n.\r\n"));
  });

  test("bounds the window: replies are read after 100 recipients or so", async () => {
    const to = Array.from({ length: 250 }, (_, at) => `rcpt${at}`);
    let most = 0;
    const RCPT = (line: string): string => {
      const waiting = peer.talks[0]?.pending.split("\r\n").length ?? 0;
      most = Math.max(most, waiting);
      return line.includes("rcpt249@") ? "550 no" : "250 ok";
    };
    await using peer = await scriptedPeer(answering({ RCPT }));
    const session = await sessionTo(peer.port);
    const { outcomes } = await send(session, { to });
    session.quit();
    assert.equal(outcomes.filter((outcome) => outcome.kind === "delivered").length, 249);
    assert.equal(outcomes[249]?.kind, "bounced");
    assert.ok(most <= 102, `${most} commands were outstanding`);
  });

  for (const [reply, usable] of [
    ["554 5.5.1 no valid recipients", true],
    ["250 ok, mail for nobody", false],
  ] as const) {
    test(`ends a DATA for nobody by a lone dot, and ${usable ? "keeps" : "closes"} the session after "${reply}"`, async () => {
      const result = await deliver({ RCPT: "550 no", DOT: reply }, { to: ["anna", "ben"] });
      assert.deepEqual(result.short, ["bounced reply 550", "bounced reply 550"]);
      assert.deepEqual(result.peer.contents.map(String), [".\r\n"]);
      assert.equal(result.sessionUsable, usable);
    });
  }

  test("sends no lone dot to a peer that refused MAIL and took recipients all the same", async () => {
    const result = await deliver({ MAIL: "550 5.1.8 no" });
    assert.deepEqual(result.short, ["bounced reply 550"]);
    assert.equal(result.sessionUsable, false);
    assert.deepEqual(result.peer.contents, []);
    assert.ok(!result.peer.lines.includes("QUIT"), "it would be a line of content");
  });

  test("a peer lost at the lone dot changes nothing for those refused", async () => {
    const result = await deliver({ RCPT: "550 no", DOT: HANG_UP });
    assert.deepEqual(result.short, ["bounced reply 550"]);
    assert.equal(result.sessionUsable, false);
  });
});

describe("what EHLO offers", () => {
  test("SIZE: the size of all that is sent is said", async () => {
    const { peer } = await deliver(
      { EHLO: "250-peer\r\n250 SIZE 1000" },
      { bytes: 900, head: Buffer.alloc(100, "a") },
    );
    assert.equal(peer.lines[1], "MAIL FROM:<sender@sender.example> SIZE=1000");
  });

  test("SIZE: a message over the limit bounces before MAIL", async () => {
    const result = await deliver(
      { EHLO: "250-peer\r\n250 SIZE 1000" },
      { bytes: 901, head: Buffer.alloc(100, "a") },
    );
    assert.deepEqual(result.short, ["bounced too-large"]);
    assert.equal(result.outcomes[0]?.kind === "bounced" && result.outcomes[0].status, "5.3.4");
    assert.equal(result.sessionUsable, true);
    assert.deepEqual(result.peer.lines, ["EHLO out.sender.example", "QUIT"]);
  });

  test("8BITMIME: said when the content needs it and the peer offers it, and sent anyway when not", async () => {
    const offered = await deliver({ EHLO: "250-peer\r\n250 8bitmime" }, { eightBit: true });
    assert.equal(offered.peer.lines[1], "MAIL FROM:<sender@sender.example> BODY=8BITMIME");
    const notNeeded = await deliver({ EHLO: "250-peer\r\n250 8BITMIME" });
    assert.equal(notNeeded.peer.lines[1], "MAIL FROM:<sender@sender.example>");
    const notOffered = await deliver({ EHLO: ESMTP }, { eightBit: true });
    assert.equal(notOffered.peer.lines[1], "MAIL FROM:<sender@sender.example>");
    assert.deepEqual(notOffered.short, ["delivered 250"]);
  });

  test("SMTPUTF8: said when a recipient, the return path or the headers need it", async () => {
    const EHLO = "250-peer\r\n250-SMTPUTF8\r\n250 PIPELINING";
    const recipient = await deliver({ EHLO }, { to: ["grüß"] });
    assert.deepEqual(recipient.peer.lines.slice(1, 3), [
      "MAIL FROM:<sender@sender.example> SMTPUTF8",
      "RCPT TO:<grüß@one.example>",
    ]);
    const headers = await deliver({ EHLO }, { smtputf8: true });
    assert.equal(headers.peer.lines[1], "MAIL FROM:<sender@sender.example> SMTPUTF8");
    const plain = await deliver({ EHLO }, { to: ["anna@grüße.example"] });
    assert.deepEqual(plain.peer.lines.slice(1, 3), [
      "MAIL FROM:<sender@sender.example>",
      "RCPT TO:<anna@xn--gre-6ka8l.example>",
    ]);
  });

  test("SMTPUTF8: not offered, only those recipients bounce who need it", async () => {
    const result = await deliver({}, { to: ["anna", "grüß", "ben"] });
    assert.deepEqual(result.short, ["delivered 250", "bounced no-smtputf8", "delivered 250"]);
    assert.equal(result.outcomes[1]?.kind === "bounced" && result.outcomes[1].status, "5.6.7");
    assert.equal(result.tryNextHost, true);
    assert.ok(!result.peer.lines.some((line) => line.includes("gr")), "it is not said to the peer");
  });

  test("SMTPUTF8: not offered, a message that needs it bounces for all, without a word", async () => {
    const result = await deliver({}, { smtputf8: true, to: ["anna", "ben"] });
    assert.deepEqual(result.short, ["bounced no-smtputf8", "bounced no-smtputf8"]);
    assert.equal(result.sessionUsable, true);
    assert.deepEqual(result.peer.lines, ["EHLO out.sender.example", "QUIT"]);
  });
});

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
