/** Who says nothing is sent away; who waits for us is not. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import type { Submit } from "#shared/app/submission.ts";
import { collectingSubmit, submittedOf, testFeeder } from "../support/feeder-harness.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const idleTimeoutMs = 150;

describe("an idle session", () => {
  test("ends with 421 4.4.2, between commands and inside a message", { timeout: 20_000 }, async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { idleTimeoutMs } });
    using between = await SmtpTalker.ready(feeder.port);
    assert.match((await between.reply()).text, /^421 4\.4\.2 /);
    await between.closed();
    using inside = await SmtpTalker.ready(feeder.port);
    await inside.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    inside.write("half a message\r\n");
    assert.match((await inside.reply()).text, /^421 4\.4\.2 /);
    await inside.closed();
    assert.deepEqual(collected, []);
  });

  test("is none while we store its message, however long that takes", { timeout: 20_000 }, async () => {
    const slow: Submit = async (submission) => {
      for await (const chunk of submission.source) void chunk;
      await sleep(5 * idleTimeoutMs);
      return submittedOf(submission);
    };
    await using feeder = await testFeeder({ submit: slow, settings: { idleTimeoutMs } });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.mail()).code, 250);
  });

  test("is none while a slow store keeps us from reading on", { timeout: 20_000 }, async () => {
    const slow: Submit = async (submission) => {
      await sleep(5 * idleTimeoutMs);
      for await (const chunk of submission.source) void chunk;
      return submittedOf(submission);
    };
    await using feeder = await testFeeder({ submit: slow, settings: { idleTimeoutMs } });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.mail("x".repeat(98).concat("\r\n").repeat(80_000))).code, 250);
  });
});
