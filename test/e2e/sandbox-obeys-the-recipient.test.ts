/** The sandbox over real sockets: what it says and does at each address of behaviour.ts, and the fake mail host made of it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";

import { fakeClock } from "../support/fake-clock.ts";
import type { FakeClock } from "../support/fake-clock.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const MAIL = "Subject: hello\r\n\r\nhello\r\n";

/** Turns of the loop until somebody sleeps, then time for all of it. */
async function letTimePass(clock: FakeClock, ms: number): Promise<void> {
  while (clock.sleepers === 0) await turnOfTheLoop();
  await clock.advance(ms);
}

describe("the sandbox", { timeout: 30_000 }, () => {
  test("greets at once and offers what it can", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] }); // time stands still: the greeting waits for none of it
    await using mx = await startFakeMx();
    using talker = SmtpTalker.connect(mx.port);
    assert.equal((await talker.reply()).code, 220);
    const { lines } = await talker.say("EHLO client.example");
    assert.deepEqual(lines.slice(1), ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 2147483648"]);
  });

  test("answers each recipient for itself, and delivers to those it took", async () => {
    await using mx = await startFakeMx();
    using talker = await SmtpTalker.ready(mx.port);
    const to = ["ok", "550-rcpt", "full", "blocked", "451-rcpt"].map(
      (local) => `RCPT TO:<${local}@two.example>`,
    );
    const codes = await talker.sayAll("MAIL FROM:<a@one.example>", ...to, "DATA");
    assert.deepEqual(codes, [250, 250, 550, 452, 554, 451, 354]);
    assert.equal((await talker.say(`${MAIL}.`)).code, 250);
    assert.deepEqual(mx.mails[0]?.recipients, ["ok@two.example"]);
    assert.equal(mx.mails[0]?.body.toString(), MAIL);
  });

  test("refuses a return path that asks for it", async () => {
    await using mx = await startFakeMx();
    using talker = await SmtpTalker.ready(mx.port);
    assert.equal(
      (await talker.say("MAIL FROM:<553-mail@one.example>")).text,
      "553 5.1.3 Mailbox name not allowed",
    );
    assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 250);
  });

  test("greylists a recipient until the same sender comes again", async () => {
    await using mx = await startFakeMx();
    using talker = await SmtpTalker.ready(mx.port);
    const rcpt = "RCPT TO:<greylist-1@two.example>";
    assert.deepEqual(await talker.sayAll("MAIL FROM:<a@one.example>", rcpt, "RSET"), [250, 451, 250]);
    assert.deepEqual(await talker.sayAll("MAIL FROM:<b@one.example>", rcpt, "RSET"), [250, 451, 250]);
    assert.deepEqual(await talker.sayAll("MAIL FROM:<a@one.example>", rcpt), [250, 250]);
  });

  test("closes the connection after 421", async () => {
    await using mx = await startFakeMx();
    using talker = await SmtpTalker.ready(mx.port);
    await talker.say("MAIL FROM:<a@one.example>");
    assert.match((await talker.say("RCPT TO:<421-rcpt@two.example>")).text, /^421 4\.3\.2 /);
    assert.equal(await talker.closed(), "");
  });

  test("hangs up without a word after the final dot, and has not taken the mail", async () => {
    await using mx = await startFakeMx();
    using talker = await SmtpTalker.ready(mx.port);
    await talker.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<drop-data@two.example>", "DATA");
    talker.write(`${MAIL}.\r\n`);
    assert.equal(await talker.closed(), "");
    assert.deepEqual(mx.mails, []);
    assert.deepEqual(mx.said.at(-1), "DATA drop-data@two.example");
  });

  test("keeps silent where it is asked to, and hangs up in the end", async () => {
    const clock = fakeClock();
    await using mx = await startFakeMx({ clock, silenceMs: 60 * SECOND });
    for (const line of ["RCPT TO:<timeout-rcpt@two.example>", "MAIL FROM:<timeout-mail@one.example>"]) {
      using talker = await SmtpTalker.ready(mx.port);
      if (line.startsWith("RCPT")) await talker.say("MAIL FROM:<a@one.example>");
      talker.write(`${line}\r\n`);
      await letTimePass(clock, 60 * SECOND);
      assert.equal(await talker.closed(), "");
    }
    assert.equal(clock.sleepers, 0);
  });

  test("takes its time for a slow recipient, and then takes the mail", async () => {
    const clock = fakeClock();
    await using mx = await startFakeMx({ clock, lateMs: 3 * SECOND });
    using talker = await SmtpTalker.ready(mx.port);
    await talker.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<slow@two.example>", "DATA");
    const reply = talker.say(`${MAIL}.`);
    await letTimePass(clock, 3 * SECOND);
    assert.equal((await reply).code, 250);
    assert.equal(mx.mails.length, 1);
  });

  test("forgets a peer that leaves while it is silent, and closes with silent peers connected", async () => {
    const clock = fakeClock();
    const mx = await startFakeMx({ clock });
    using left = await SmtpTalker.ready(mx.port);
    await left.say("MAIL FROM:<a@one.example>");
    left.write("RCPT TO:<timeout-rcpt@two.example>\r\n");
    await letTimePass(clock, 1);
    left.destroy();
    while (mx.counts.open > 0) await turnOfTheLoop();
    assert.equal(clock.sleepers, 0);
    using stays = await SmtpTalker.ready(mx.port);
    stays.write("MAIL FROM:<timeout-mail@one.example>\r\n");
    await letTimePass(clock, 1);
    await mx.close();
    assert.equal(await stays.closed(), "");
  });

  test("speaks TLS where it is told to", async () => {
    await using mx = await startFakeMx({ starttls: true });
    using talker = await SmtpTalker.ready(mx.port);
    assert.ok((await talker.say("EHLO client.example")).lines.includes("STARTTLS"));
    assert.equal((await talker.say("STARTTLS")).code, 220);
  });
});

describe("the fake mail host", { timeout: 30_000 }, () => {
  test("does what the test's rules say, at the greeting too", async () => {
    await using mx = await startFakeMx({
      rules: {
        connect: () => ({ do: "reply", code: 554, text: "5.7.1 Go away" }),
      },
    });
    using refused = SmtpTalker.connect(mx.port);
    assert.equal((await refused.reply()).text, "554 5.7.1 Go away");
    mx.rules.connect = () => ({ do: "accept" });
    mx.rules.recipient = (_, { recipients }) =>
      recipients.length < 1 ? { do: "accept" } : { do: "reply", code: 452, text: "4.5.3 One at a time" };
    using talker = await SmtpTalker.ready(mx.port);
    const codes = await talker.sayAll(
      "MAIL FROM:<a@one.example>",
      "RCPT TO:<b@two.example>",
      "RCPT TO:<c@two.example>",
    );
    assert.deepEqual(codes, [250, 250, 452]);
  });

  test("counts connections, and the most at once", async () => {
    await using mx = await startFakeMx();
    {
      using first = await SmtpTalker.ready(mx.port);
      using second = await SmtpTalker.ready(mx.port);
      assert.equal(mx.counts.open, 2);
      first.destroy();
      second.destroy();
    }
    while (mx.counts.open > 0) await turnOfTheLoop();
    using third = await SmtpTalker.ready(mx.port);
    assert.deepEqual({ ...mx.counts }, { opened: 3, open: 1, mostAtOnce: 2 });
    third.destroy();
  });

  test("waits for mails, and says how many came when it waited in vain", async () => {
    await using mx = await startFakeMx();
    using talker = await SmtpTalker.ready(mx.port);
    const waiting = mx.waitFor(1);
    await talker.mail();
    assert.equal((await waiting).length, 1);
    await assert.rejects(mx.waitFor(2, 1), /1 mails of 2/);
  });
});

function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
