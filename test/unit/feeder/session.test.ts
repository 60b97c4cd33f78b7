import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Submit } from "#shared/app/submission.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { isMistake } from "../../../sender/feeder/reply.ts";
import { collectingLog, collectingSubmit, submittedOf, testFeeder } from "../../support/feeder-harness.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

/** What a test waits for from the other side. */
function signal(): { promise: Promise<void>; resolve: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, resolve };
}

describe("the reply to a message", () => {
  test("is 250 with its id once submit has resolved, and not before", async () => {
    const [started, stored] = [signal(), signal()];
    let id = "";
    const submit: Submit = async (submission) => {
      for await (const chunk of submission.source) void chunk;
      started.resolve();
      await stored.promise;
      const submitted = submittedOf(submission);
      id = submitted.messageId;
      return submitted;
    };
    await using feeder = await testFeeder({ submit });
    using talker = await SmtpTalker.ready(feeder.port);
    let answered = false;
    const reply = talker.mail().finally(() => {
      answered = true;
    });
    await started.promise;
    await new Promise(setImmediate);
    assert.equal(answered, false);
    stored.resolve();
    assert.equal((await reply).text, `250 2.0.0 Message queued as ${id}`);
  });

  test("has one id in the log, beside the id of each of its mails", async () => {
    const { log, lines } = collectingLog();
    await using feeder = await testFeeder({ log });
    using talker = await SmtpTalker.ready(feeder.port);
    const replies = [await talker.mail(), await talker.mail()];
    const accepted = lines.filter(({ msg }) => msg === "message accepted").map(({ fields }) => fields);
    assert.equal(new Set(accepted.map(({ sessionId }) => sessionId)).size, 1);
    assert.equal(typeof accepted[0]?.["sessionId"], "string");
    assert.deepEqual(
      replies.map(({ text }) => text),
      accepted.map(({ messageId }) => `250 2.0.0 Message queued as ${String(messageId)}`),
    );
  });

  test("waits for the end of the message though submit has failed in its first line, and the session goes on", async () => {
    const failing: Submit = () => Promise.reject(new Error("the disk at /var/secret is gone"));
    const { log, lines } = collectingLog();
    await using feeder = await testFeeder({ submit: failing, log });
    using talker = await SmtpTalker.ready(feeder.port);
    const content = "x".repeat(78).concat("\r\n").repeat(20_000); // more than may be held for a reader
    const reply = await talker.mail(content);
    assert.equal(reply.text, "451 4.3.0 Could not store the message, try again later");
    const line = lines.find(({ level }) => level === "error");
    assert.match(String(line?.fields["err"]), /\/var\/secret/);
    assert.equal(typeof line?.fields["sessionId"], "string");
    assert.equal((await talker.say("NOOP")).code, 250);
  });

  test("is 451 when submit throws before it is a promise", async () => {
    const throwing = (() => {
      throw new Error("a bug");
    }) as Submit;
    await using feeder = await testFeeder({ submit: throwing });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.match((await talker.mail()).text, /^451 4\.3\.0 /);
  });

  test("is the client's mistake in our words, and the next message passes", async () => {
    const { submit, collected } = collectingSubmit({
      verdict: async ({ text }) => {
        if (/[^\r]\n/.test(text))
          throw new DomainError("bare-newline", "Line 1 ends in a bare LF: send CRLF");
      },
    });
    await using feeder = await testFeeder({ submit });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal(
      (await talker.mail("bare\nnewline\r\n")).text,
      "550 5.6.0 Line 1 ends in a bare LF: send CRLF",
    );
    assert.equal((await talker.mail()).code, 250);
    assert.equal(collected.length, 1);
  });

  test("is 552 for more bytes than the limit, counted as they come, and the next message passes", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { maxSize: 1_000 } });
    using talker = await SmtpTalker.ready(feeder.port);
    const line = "x".repeat(98).concat("\r\n");
    const stuffed = `..${"x".repeat(97)}\r\n`;
    assert.equal((await talker.mail(line.repeat(9) + stuffed)).code, 250, "the dot in front is not counted");
    assert.equal(
      (await talker.mail(line.repeat(10).concat("y\r\n"))).text,
      "552 5.3.4 Message is larger than the limit of 1000 bytes",
    );
    assert.match((await talker.mail(line.repeat(2_000))).text, /^552 5\.3\.4 /);
    assert.equal((await talker.mail(line.repeat(10))).code, 250);
    assert.deepEqual(
      collected.map(({ bytes }) => bytes),
      [1_000, 1_000],
    );
  });
});

describe("a session", () => {
  test("is greeted and answered, and so are twenty at once", async () => {
    await using feeder = await testFeeder();
    const greetings = Array.from({ length: 20 }, async () => {
      using talker = await SmtpTalker.greeted(feeder.port);
      return await talker.say("QUIT");
    });
    for (const { code } of await Promise.all(greetings)) assert.equal(code, 221);
  });

  test("tells submit who the client says he is, where he comes from and what he has asked for", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { maxSize: 5_000 } });
    using talker = await SmtpTalker.greeted(feeder.port);
    await talker.say("HELO Client.Example");
    await talker.sayAll(
      "MAIL FROM:<> SMTPUTF8",
      "RCPT TO:<b@two.example>",
      "RCPT TO:<c@two.example>",
      "DATA",
    );
    await talker.say("hello\r\n.");
    const {
      sha256: _,
      text: __,
      bytes: ___,
      ...submission
    } = collected[0] ?? assert.fail("nothing was submitted");
    assert.deepEqual(submission, {
      returnPath: null,
      recipients: ["b@two.example", "c@two.example"],
      origin: {
        interface: "feeder",
        protocol: "SMTP",
        ip: "127.0.0.1",
        host: null,
        helo: "client.example",
        user: null,
        tls: null,
      },
      bareNewlines: "refuse",
      maxBytes: 5_000,
      smtputf8: true,
      senders: null,
      notBefore: null,
    });
  });

  test("that breaks off inside a message fails the submit, which keeps nothing and says nothing", async () => {
    const failed = Promise.withResolvers<unknown>();
    const started = signal();
    const { log, lines } = collectingLog();
    const submit: Submit = async ({ source }) => {
      started.resolve();
      try {
        for await (const chunk of source) void chunk;
      } catch (error) {
        failed.resolve(error);
        throw error;
      }
      return assert.fail("the message had an end");
    };
    await using feeder = await testFeeder({ submit, log });
    using talker = await SmtpTalker.ready(feeder.port);
    await talker.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    talker.write("half a mess");
    await started.promise;
    talker.destroy();
    assert.match(String(await failed.promise), /before the end of the message/);
    assert.ok(isMistake(await failed.promise), "so nobody takes it for a failing store");
    await feeder.close();
    assert.deepEqual(
      lines.filter(({ level }) => level === "error"),
      [],
      "a client that goes away is no fault of ours",
    );
  });

  test("that breaks off after the end of a message leaves the message to be stored", async () => {
    const [started, stored, gone] = [signal(), signal(), signal()];
    const { log, lines } = collectingLog();
    const submit: Submit = async (submission) => {
      for await (const chunk of submission.source) void chunk;
      started.resolve();
      await stored.promise;
      return submittedOf(submission);
    };
    await using feeder = await testFeeder({ submit, log, metrics: { sessionClosed: gone.resolve } });
    using talker = await SmtpTalker.ready(feeder.port);
    await talker.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    talker.write("all of it\r\n.\r\n");
    await started.promise;
    talker.reset();
    await gone.promise;
    stored.resolve();
    await new Promise(setImmediate);
    assert.ok(lines.some(({ msg }) => msg === "message accepted"));
  });

  test("whose client closes his side gets all its replies before ours is closed", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit });
    using talker = SmtpTalker.connect(feeder.port);
    talker.write("EHLO client.example\r\nMAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nDATA\r\n");
    talker.write("hello\r\n.\r\nNOOP");
    talker.end();
    const codes: number[] = [];
    for (let i = 0; i < 7; i++) codes.push((await talker.reply()).code);
    assert.deepEqual(codes, [220, 250, 250, 250, 354, 250, 250]);
    assert.equal(await talker.closed(), "");
    assert.equal(collected.length, 1);
  });

  test("whose client closes his side inside a message submits nothing", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit });
    using talker = await SmtpTalker.ready(feeder.port);
    await talker.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    talker.write("no end\r\n");
    talker.end();
    assert.equal(await talker.closed(), "");
    assert.deepEqual(collected, []);
  });

  test("ends with 500 5.5.2 when a line has no end", async () => {
    await using feeder = await testFeeder();
    using talker = await SmtpTalker.ready(feeder.port);
    talker.write("NOOP ".padEnd(20_000, "x"));
    assert.match((await talker.reply()).text, /^500 5\.5\.2 /);
    await talker.closed();
    using next = await SmtpTalker.greeted(feeder.port);
    assert.equal((await next.say(`NOOP ${"x".repeat(12_288)}`)).code, 250, "as long as AUTH may be");
  });

  test("carries many messages, and each is logged in one line", async () => {
    const { submit, collected } = collectingSubmit();
    const { log, lines } = collectingLog();
    await using feeder = await testFeeder({ submit, log });
    using talker = await SmtpTalker.ready(feeder.port);
    for (let i = 0; i < 200; i++) assert.equal((await talker.mail(`${i}\r\n`)).code, 250);
    assert.deepEqual(
      collected.map(({ text }) => text),
      Array.from({ length: 200 }, (_, i) => `${i}\r\n`),
    );
    assert.equal(lines.filter(({ level }) => level === "info").length, 200);
  });
});

test("a recipient who only looks like one of ours for a bounce to come back to is refused, and the others get the mail", async () => {
  const srs = { secret: "a secret of ours", domain: "us.example", excludeDomains: [] };
  const { submit, collected } = collectingSubmit();
  await using feeder = await testFeeder({ submit, srs });
  using talker = await SmtpTalker.ready(feeder.port);
  await talker.say("MAIL FROM:<>");
  const forged = await talker.say("RCPT TO:<SRS0=abcdefgh=AA=sender.example=eve@us.example>");
  assert.match(forged.text, /^553 5\.1\.1 .* was not made by this server$/);
  assert.equal((await talker.say("RCPT TO:<you@one.example>")).code, 250);
  assert.equal((await talker.say("DATA")).code, 354);
  assert.equal((await talker.say("Subject: x\r\n\r\nx\r\n.")).code, 250);
  assert.deepEqual(collected[0]?.recipients, ["you@one.example"]);
});
