/** What a transaction says where the peer offers SIZE, 8BITMIME or SMTPUTF8, and what becomes of mail where it does not. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { sendOne } from "../../support/transaction.ts";

const ESMTP = "250 peer.example";

describe("what EHLO offers", () => {
  test("SIZE: the size of all that is sent is said", async () => {
    const { peer } = await sendOne(
      { EHLO: "250-peer\r\n250 SIZE 1000" },
      { bytes: 900, head: Buffer.alloc(100, "a") },
    );
    assert.equal(peer.lines[1], "MAIL FROM:<sender@sender.example> SIZE=1000");
  });

  test("SIZE: a message over the limit bounces before MAIL", async () => {
    const result = await sendOne(
      { EHLO: "250-peer\r\n250 SIZE 1000" },
      { bytes: 901, head: Buffer.alloc(100, "a") },
    );
    assert.deepEqual(result.short, ["bounced too-large"]);
    assert.equal(result.outcomes[0]?.kind === "bounced" && result.outcomes[0].status, "5.3.4");
    assert.equal(result.sessionUsable, true);
    assert.deepEqual(result.peer.lines, ["EHLO out.sender.example", "QUIT"]);
  });

  test("8BITMIME: said when the content needs it and the peer offers it, and sent anyway when not", async () => {
    const offered = await sendOne({ EHLO: "250-peer\r\n250 8bitmime" }, { eightBit: true });
    assert.equal(offered.peer.lines[1], "MAIL FROM:<sender@sender.example> BODY=8BITMIME");
    const notNeeded = await sendOne({ EHLO: "250-peer\r\n250 8BITMIME" });
    assert.equal(notNeeded.peer.lines[1], "MAIL FROM:<sender@sender.example>");
    const notOffered = await sendOne({ EHLO: ESMTP }, { eightBit: true });
    assert.equal(notOffered.peer.lines[1], "MAIL FROM:<sender@sender.example>");
    assert.deepEqual(notOffered.short, ["delivered 250"]);
  });

  test("SMTPUTF8: said when a recipient, the return path or the headers need it", async () => {
    const EHLO = "250-peer\r\n250-SMTPUTF8\r\n250 PIPELINING";
    const recipient = await sendOne({ EHLO }, { to: ["grüß"] });
    assert.deepEqual(recipient.peer.lines.slice(1, 3), [
      "MAIL FROM:<sender@sender.example> SMTPUTF8",
      "RCPT TO:<grüß@one.example>",
    ]);
    const headers = await sendOne({ EHLO }, { smtputf8: true });
    assert.equal(headers.peer.lines[1], "MAIL FROM:<sender@sender.example> SMTPUTF8");
    const plain = await sendOne({ EHLO }, { to: ["anna@grüße.example"] });
    assert.deepEqual(plain.peer.lines.slice(1, 3), [
      "MAIL FROM:<sender@sender.example>",
      "RCPT TO:<anna@xn--gre-6ka8l.example>",
    ]);
  });

  test("SMTPUTF8: not offered, only those recipients bounce who need it", async () => {
    const result = await sendOne({}, { to: ["anna", "grüß", "ben"] });
    assert.deepEqual(result.short, ["delivered 250", "bounced no-smtputf8", "delivered 250"]);
    assert.equal(result.outcomes[1]?.kind === "bounced" && result.outcomes[1].status, "5.6.7");
    assert.equal(result.tryNextHost, true);
    assert.ok(!result.peer.lines.some((line) => line.includes("gr")), "it is not said to the peer");
  });

  test("SMTPUTF8: not offered, a message that needs it bounces for all, without a word", async () => {
    const result = await sendOne({}, { smtputf8: true, to: ["anna", "ben"] });
    assert.deepEqual(result.short, ["bounced no-smtputf8", "bounced no-smtputf8"]);
    assert.equal(result.sessionUsable, true);
    assert.deepEqual(result.peer.lines, ["EHLO out.sender.example", "QUIT"]);
  });
});
