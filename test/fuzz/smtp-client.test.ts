/** Bytes at the client's reply parser, and a peer that answers anything with anything. Seeds are printed by fast-check on failure. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { ReplyParser } from "../../sender/delivery/reply-parser.ts";
import type { RawReply } from "../../sender/delivery/reply-parser.ts";
import { PIPELINING, scriptedPeer } from "../support/scripted-peer.ts";
import type { Script } from "../support/scripted-peer.ts";
import { connectTo, send, timeouts } from "../support/smtp-session.ts";

const ALL_PHASES = [
  "greeting",
  "ehlo",
  "starttls",
  "auth",
  "reset",
  "mail",
  "rcpt",
  "data",
  "block",
  "dot",
  "tls",
];
/** Peers that stop talking are common here; what a session then waits for does not matter. */
const SHORT = timeouts({ ...Object.fromEntries(ALL_PHASES.map((phase) => [phase, 30])), quit: 5 });

const nearlyReply = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom("220 hi", "250 ok", "354 go", "450 no", "550 no", "421 bye", "221 bye"),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(PIPELINING, "250-a\r\n250-b", "250-a\r\n550 b", "250-STARTTLS\r\n250 SIZE 9"),
  },
  { weight: 1, arbitrary: fc.constantFrom("", "250", "250ok", "\0", "99999", "STARTTLS", "550-") },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 30 }) },
);
const end = fc.constantFrom("\r\n", "\r\n", "\r\n", "\n", "", "\r", "\r\n\r\n");
const piece = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(nearlyReply, end).map(([text, end]) => Buffer.from(text + end)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)) },
);

describe("the reply parser", () => {
  test("gives sane replies or an error for any bytes, and the same however they are cut", () => {
    const run = (chunks: readonly Buffer[]): unknown => {
      const parser = new ReplyParser();
      const replies: RawReply[] = [];
      let problem: string | null = null;
      for (const chunk of chunks) problem ??= parser.feed(chunk, (reply) => replies.push(reply));
      for (const { code, lines } of replies) assert.ok(code >= 200 && code <= 599 && lines.length > 0);
      return { replies, problem };
    };
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (chunks) => {
        const all = Buffer.concat(chunks);
        const bytes = Array.from(all, (byte) => Buffer.of(byte));
        assert.deepEqual(run(chunks), run([all]));
        assert.deepEqual(run(bytes), run([all]));
      }),
      { numRuns: 2_000 },
    );
  });
});

/** What the peer does next: say something, wait for something to be said, or end it. */
type Move = { say: Buffer } | "listen" | "hang up" | "reset";
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 5, arbitrary: piece.map((say) => ({ say })) },
  { weight: 5, arbitrary: fc.constant<Move>("listen") },
  { weight: 1, arbitrary: fc.constantFrom<Move>("hang up", "reset") },
);

/** Two mails to three recipients each, as a peer should take them: at each "listen" a group of commands or a content comes. */
const say = (text: string): Move => ({ say: Buffer.from(`${text}\r\n`) });
const mail: readonly Move[] = [
  "listen",
  say("250 mail"),
  say("250 rcpt"),
  say("250 rcpt"),
  say("250 rcpt"),
  say("354 go"),
  "listen",
  say("250 taken"),
];

/** That, with a few moves changed, left out or put in. */
const moves = fc
  .array(fc.tuple(fc.nat(2 * mail.length - 1), fc.nat(2), fc.array(move, { maxLength: 2 })), { maxLength: 3 })
  .map((changes) => {
    const moves = [...mail, ...mail];
    for (const [at, leftOut, putIn] of changes) moves.splice(at, leftOut, ...putIn);
    return moves;
  });

function playing(moves: readonly Move[]): Script {
  return async (talk) => {
    talk.say("220 hi"); // else nearly all runs would end at the greeting
    await talk.line();
    talk.say(PIPELINING);
    for (const move of moves) {
      if (move === "listen") await talk.bytes(talk.received.length + 1);
      else if (move === "hang up") return talk.hangUp();
      else if (move === "reset") return talk.reset();
      else talk.raw(move.say);
    }
    await talk.end();
  };
}

describe("the client", () => {
  test("comes to an outcome for every recipient, whatever the peer says and when", async () => {
    const run = async (moves: readonly Move[]): Promise<void> => {
      await using peer = await scriptedPeer(playing(moves));
      const connected = await connectTo(peer.port, {}, { timeouts: SHORT });
      if (!connected.ok) {
        assert.ok(connected.outcome.kind !== "delivered");
        return;
      }
      for (let mail = 0; mail < 2; mail += 1) {
        const { outcomes, sessionUsable } = await send(connected.session, { to: ["anna", "ben", "carl"] });
        assert.equal(outcomes.length, 3);
        assert.equal(connected.session.usable, sessionUsable);
        for (const outcome of outcomes) {
          const code = outcome.reply?.code ?? 0;
          if (outcome.kind === "delivered") assert.ok(code >= 200 && code < 300);
          if (outcome.kind === "bounced")
            assert.ok(code >= 500 && code < 600, "only the peer's own no bounces");
          if (outcome.kind === "deferred") assert.notEqual(outcome.cause, "internal");
        }
        const delivered = outcomes.some((outcome) => outcome.kind === "delivered");
        if (delivered)
          assert.ok(peer.talks[0]?.received.includes("\r\n.\r\n"), "nothing is delivered without its dot");
        if (!sessionUsable) break;
      }
      connected.session.quit();
    };
    await fc.assert(fc.asyncProperty(moves, run), {
      numRuns: 300,
      interruptAfterTimeLimit: 5_000,
    });
  });
});
