import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

const settings = { lmtp: true };

async function ready(port: number): Promise<SmtpTalker> {
  const talker = SmtpTalker.connect(port);
  assert.match((await talker.reply()).text, /^220 mx\.test LMTP/);
  assert.equal((await talker.say("LHLO client.example")).code, 250);
  return talker;
}

describe("an LMTP interface", () => {
  test("is greeted with LHLO alone, and offers what RFC 2033 asks for", async () => {
    await using feeder = await testFeeder({ settings });
    using talker = SmtpTalker.connect(feeder.port);
    await talker.reply();
    assert.equal((await talker.say("EHLO client.example")).code, 500);
    assert.equal((await talker.say("HELO client.example")).code, 500);
    assert.match((await talker.say("LHLO")).text, /^501 Syntax: LHLO hostname/);
    const { lines } = await talker.say("LHLO client.example");
    assert.ok(lines.includes("PIPELINING") && lines.includes("ENHANCEDSTATUSCODES"));
  });

  test("answers DATA once for each RCPT that was accepted, in order, those for one recipient too", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings });
    using talker = await ready(feeder.port);
    const codes = await talker.sayAll(
      "MAIL FROM:<a@one.example>",
      "RCPT TO:<b@two.example>",
      "RCPT TO:<not an address>",
      "RCPT TO:<c@two.example>",
      "RCPT TO:<b@two.example>",
      "DATA",
    );
    assert.deepEqual(codes, [250, 250, 553, 250, 250, 354]);
    talker.write("hello\r\n.\r\nNOOP\r\n");
    for (let i = 0; i < 3; i++) assert.match((await talker.reply()).text, /^250 2\.0\.0 Message queued as /);
    assert.equal((await talker.reply()).text, "250 2.0.0 OK", "and no more than these");
    assert.deepEqual(collected[0]?.recipients, ["b@two.example", "c@two.example"]);
    assert.equal(collected[0]?.origin.protocol, "LMTP");
  });

  test("answers a failure to each recipient too", async () => {
    const { submit } = collectingSubmit({
      verdict: () => Promise.reject(new DomainError("delivery-loop", "round and round")),
    });
    await using feeder = await testFeeder({ submit, settings });
    using talker = await ready(feeder.port);
    await talker.sayAll("MAIL FROM:<>", "RCPT TO:<b@two.example>", "RCPT TO:<c@two.example>", "DATA");
    talker.write("hello\r\n.\r\nNOOP\r\n");
    assert.deepEqual(
      [(await talker.reply()).code, (await talker.reply()).code, (await talker.reply()).code],
      [554, 554, 250],
    );
  });

  test("refuses DATA with 503 when no recipient was accepted", async () => {
    await using feeder = await testFeeder({ settings });
    using talker = await ready(feeder.port);
    await talker.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<no address>");
    assert.equal((await talker.say("DATA")).code, 503);
  });
});

test("an SMTP interface knows no LHLO", async () => {
  await using feeder = await testFeeder();
  using talker = await SmtpTalker.greeted(feeder.port);
  assert.equal((await talker.say("LHLO client.example")).code, 500);
});
