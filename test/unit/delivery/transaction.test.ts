import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { answering, HANG_UP, PIPELINING, RESET, scriptedPeer, SILENCE } from "../../support/scripted-peer.ts";
import { inShort, send, sessionTo, timeouts, WIRE } from "../../support/smtp-session.ts";
import { sendOne } from "../../support/transaction.ts";

const ESMTP = "250 peer.example";
/** For tests of a phase whose timer is to fire: the peer is silent for ever, so any time will do. */
const SOON_MS = 20;

describe("a transaction", () => {
  for (const [name, EHLO] of [
    ["pipelined", PIPELINING],
    ["command by command", ESMTP],
  ] as const) {
    describe(name, () => {
      test("delivers to every recipient with the reply to the final dot", async () => {
        const { outcomes, short, sessionUsable, peer } = await sendOne(
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
        const { short, sessionUsable } = await sendOne(
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
          const { short, sessionUsable, peer } = await sendOne(answers, { to: ["anna", "ben"] });
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
        const { short, sessionUsable, peer } = await sendOne({ EHLO, RCPT: "550 no", DATA: "554 nobody" });
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
          const { short, sessionUsable, peer } = await sendOne(
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
          const { short, sessionUsable } = await sendOne(
            { EHLO, RCPT, DOT: reply },
            { to: ["anna", "ben", "carl"] },
          );
          assert.deepEqual(short, [fate, "bounced reply 550", fate]);
          assert.equal(sessionUsable, usable);
        });
      }

      for (const verb of ["MAIL", "RCPT", "DATA"] as const) {
        test(`a peer that hangs up at ${verb} defers, and may be bypassed`, async () => {
          const result = await sendOne({ EHLO, [verb]: HANG_UP });
          assert.deepEqual(result.short, ["deferred protocol"]);
          assert.equal(result.sessionUsable, false);
          assert.equal(result.staleSession, false, "it was a fresh session");
          assert.equal(result.tryNextHost, true);
        });

        test(`a peer that resets the connection at ${verb} defers`, async () => {
          assert.deepEqual((await sendOne({ EHLO, [verb]: RESET })).short, ["deferred protocol"]);
        });

        test(`a peer that is silent at ${verb} times out`, async () => {
          const soon = { timeouts: timeouts({ [verb.toLowerCase()]: SOON_MS }) };
          const result = await sendOne({ EHLO, [verb]: SILENCE }, {}, soon);
          assert.deepEqual(result.short, ["deferred timeout"]);
          assert.equal(result.usable, false);
        });

        test(`421 at ${verb} defers what is open, and the session is closed`, async () => {
          const result = await sendOne({ EHLO, [verb]: "421 4.3.2 shutting down" });
          assert.deepEqual(result.short, ["deferred reply 421"]);
          assert.equal(result.sessionUsable, false);
          assert.equal(result.tryNextHost, true);
        });

        test(`nonsense at ${verb} defers`, async () => {
          const result = await sendOne({ EHLO, [verb]: "HTTP/1.1 400 Bad Request" });
          assert.deepEqual(result.short, ["deferred protocol"]);
          assert.equal(result.usable, false);
        });
      }

      test("421 in the middle of the recipients leaves alone who is decided", async () => {
        const RCPT = (_line: string, nth: number): string =>
          ["250 ok", "550 no", "421 bye", "250 ok"][nth] ?? "";
        const { short } = await sendOne({ EHLO, RCPT }, { to: ["anna", "ben", "carl", "dora"] });
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
        const { short } = await sendOne({ EHLO, RCPT }, { to: ["anna", "ben", "carl"] });
        assert.deepEqual(short, ["deferred protocol", "bounced reply 550", "deferred protocol"]);
      });

      for (const [name, DOT] of [
        ["hangs up", HANG_UP],
        ["resets the connection", RESET],
        ["talks nonsense", "what?"],
      ] as const) {
        test(`is ambiguous for those accepted when the peer ${name} after the final dot`, async () => {
          const RCPT = (line: string): string => (line.includes("ben") ? "550 no ben" : "250 ok");
          const result = await sendOne({ EHLO, RCPT, DOT }, { to: ["anna", "ben"] });
          assert.deepEqual(result.short, ["deferred ambiguous", "bounced reply 550"]);
          assert.equal(result.tryNextHost, false, "at once is too soon for a possible duplicate");
          assert.equal(result.sessionUsable, false);
        });
      }

      test("is ambiguous when the peer is silent after the final dot", async () => {
        const soon = { timeouts: timeouts({ dot: SOON_MS }) };
        assert.deepEqual((await sendOne({ EHLO, DOT: SILENCE }, {}, soon)).short, ["deferred ambiguous"]);
      });

      test("tells which recipients are over the number that the peer takes", async () => {
        const replies = ["250 ok", "250 ok", "452 4.5.3 Too many recipients", "552 Too many recipients"];
        const RCPT = (_line: string, nth: number): string => replies[nth] ?? "";
        const result = await sendOne({ EHLO, RCPT }, { to: ["anna", "ben", "carl", "dora"] });
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
        const result = await sendOne({ EHLO, RCPT }, { to: ["anna", "ben", "carl"] });
        assert.deepEqual(result.overLimit, []);
        assert.deepEqual(result.short, ["delivered 250", "bounced reply 552", "deferred reply 452"]);
      });

      test("a limit that not even one recipient passes is not tried again at once", async () => {
        const result = await sendOne({ EHLO, RCPT: "452 4.5.3 Too many recipients" });
        assert.deepEqual(result.overLimit, []);
        assert.deepEqual(result.short, ["deferred reply 452"]);
      });
    });
  }

  test("says <> for a null return path", async () => {
    const { peer } = await sendOne({}, { returnPath: null });
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
      const result = await sendOne({ RCPT: "550 no", DOT: reply }, { to: ["anna", "ben"] });
      assert.deepEqual(result.short, ["bounced reply 550", "bounced reply 550"]);
      assert.deepEqual(result.peer.contents.map(String), [".\r\n"]);
      assert.equal(result.sessionUsable, usable);
    });
  }

  test("sends no lone dot to a peer that refused MAIL and took recipients all the same", async () => {
    const result = await sendOne({ MAIL: "550 5.1.8 no" });
    assert.deepEqual(result.short, ["bounced reply 550"]);
    assert.equal(result.sessionUsable, false);
    assert.deepEqual(result.peer.contents, []);
    assert.ok(!result.peer.lines.includes("QUIT"), "it would be a line of content");
  });

  test("a peer lost at the lone dot changes nothing for those refused", async () => {
    const result = await sendOne({ RCPT: "550 no", DOT: HANG_UP });
    assert.deepEqual(result.short, ["bounced reply 550"]);
    assert.equal(result.sessionUsable, false);
  });
});
