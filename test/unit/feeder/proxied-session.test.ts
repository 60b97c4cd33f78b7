import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { putAccount } from "#shared/app/accounts.ts";
import { collectingLog, collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

const us = ["127.0.0.1"];
const open = { allowInsecureAuth: true };
const ANNA_SECRET = Buffer.from("\0anna\0secret").toString("base64");

async function secretsWithAnna() {
  const secrets = memorySecrets();
  await putAccount({ secrets, randomBytes }, { user: "anna", password: "secret", senders: ["one.example"] });
  return secrets;
}

describe("XCLIENT", () => {
  test("is not known where nobody may say it, and refused to those who may not", async () => {
    await using closed = await testFeeder();
    using first = await SmtpTalker.greeted(closed.port);
    assert.ok(!/XCLIENT|XFORWARD/.test((await first.say("EHLO client.example")).text));
    assert.equal((await first.say("XCLIENT ADDR=192.0.2.7")).code, 500);
    assert.equal((await first.say("XFORWARD ADDR=192.0.2.7")).code, 500);

    const { submit, collected } = collectingSubmit();
    const settings = { xclientFrom: ["192.0.2.1"], xforwardFrom: ["192.0.2.0/24"] };
    await using feeder = await testFeeder({ submit, settings });
    using talker = await SmtpTalker.greeted(feeder.port);
    assert.ok(!/XCLIENT|XFORWARD/.test((await talker.say("EHLO client.example")).text));
    assert.match((await talker.say("XCLIENT ADDR=192.0.2.7 LOGIN=anna")).text, /^550 5\.7\.1 /);
    assert.match((await talker.say("XFORWARD ADDR=192.0.2.7")).text, /^550 5\.7\.1 /);
    assert.equal((await talker.mail()).code, 250);
    assert.deepEqual([collected[0]?.origin.ip, collected[0]?.origin.user], ["127.0.0.1", null]);
  });

  test("starts the session over as the proxy's client's, who cannot say it again", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { xclientFrom: us, xforwardFrom: us } });
    using talker = await SmtpTalker.greeted(feeder.port);
    const offered = (await talker.say("EHLO proxy.example")).lines;
    assert.ok(offered.includes("XCLIENT NAME ADDR PORT PROTO HELO LOGIN"));
    const greeting = await talker.say("XCLIENT NAME=client.example ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP");
    assert.match(greeting.text, /^220 mx\.test ESMTP/);
    assert.match((await talker.say("MAIL FROM:<a@one.example>")).text, /^503 /, "EHLO comes anew");
    assert.ok(!/XCLIENT|XFORWARD/.test((await talker.say("EHLO laptop.example")).text));
    assert.match((await talker.say("XCLIENT ADDR=192.0.2.8")).text, /^550 5\.7\.1 /);
    assert.match((await talker.say("XFORWARD ADDR=192.0.2.8")).text, /^550 5\.7\.1 /);
    assert.equal((await talker.mail()).code, 250);
    const { ip, host, helo } = collected[0]?.origin ?? assert.fail("nothing was submitted");
    assert.deepEqual({ ip, host, helo }, { ip: "192.0.2.7", host: "client.example", helo: "laptop.example" });
  });

  test("hands the session over without an address too, when the proxy says that nobody knows it", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { xclientFrom: us, xforwardFrom: us } });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say("XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]")).code, 220);
    assert.equal((await talker.say("EHLO laptop.example")).code, 250);
    assert.match((await talker.say("XCLIENT ADDR=192.0.2.8")).text, /^550 5\.7\.1 /);
    assert.match((await talker.say("XFORWARD ADDR=192.0.2.8")).text, /^550 5\.7\.1 /);
    assert.equal((await talker.mail()).code, 250);
    const { ip, host, helo } = collected[0]?.origin ?? assert.fail("nothing was submitted");
    assert.deepEqual({ ip, host, helo }, { ip: null, host: null, helo: "laptop.example" }, "not the proxy's");
  });

  test("is no more for who has been logged in by it", async () => {
    await using feeder = await testFeeder({
      secrets: await secretsWithAnna(),
      settings: { xclientFrom: us },
    });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say("XCLIENT LOGIN=anna")).code, 220);
    assert.equal((await talker.say("EHLO laptop.example")).code, 250);
    assert.match((await talker.say("XCLIENT LOGIN=[UNAVAILABLE]")).text, /^550 5\.7\.1 /);
  });

  test("may be said in several lines by a proxy that keeps lines short", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { xclientFrom: us } });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say("XCLIENT NAME=client.example")).code, 220);
    assert.equal((await talker.say("XCLIENT ADDR=192.0.2.7")).code, 220);
    assert.equal((await talker.say("EHLO laptop.example")).code, 250);
    assert.equal((await talker.mail()).code, 250);
    assert.deepEqual([collected[0]?.origin.ip, collected[0]?.origin.host], ["192.0.2.7", "client.example"]);
  });

  test("logs in who the proxy says when that is an account of ours, with the senders it is limited to", async () => {
    const { submit, collected } = collectingSubmit();
    const secrets = await secretsWithAnna();
    const settings = { ...open, xclientFrom: us, authentication: true };
    await using feeder = await testFeeder({ submit, secrets, settings });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say("XCLIENT ADDR=192.0.2.7 LOGIN=anna")).code, 220);
    assert.equal((await talker.say("EHLO laptop.example")).code, 250);
    assert.match((await talker.say("MAIL FROM:<a@other.example>")).text, /^553 5\.7\.1 /);
    assert.equal((await talker.mail()).code, 250);
    const origin = collected[0]?.origin;
    assert.deepEqual([origin?.user, origin?.protocol], ["anna", "ESMTPA"]);
  });

  test("logs in nobody by a name that is no account, which ZoneMTA does, and ends the session", async () => {
    for (const authentication of [true, false]) {
      const { submit, collected } = collectingSubmit();
      const settings = { ...open, xclientFrom: us, authentication };
      await using feeder = await testFeeder({ submit, secrets: await secretsWithAnna(), settings });
      using talker = await SmtpTalker.ready(feeder.port);
      talker.write(
        "XCLIENT ADDR=192.0.2.7 LOGIN=root\r\nEHLO x.example\r\nMAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nDATA\r\n",
      );
      assert.match((await talker.reply()).text, /^550 5\.7\.8 /);
      assert.equal(await talker.closed(), "");
      assert.deepEqual(collected, []);
    }
  });

  test("logs in nobody while accounts are somebody else's to know", async () => {
    const httpAuth = { url: "http://127.0.0.1:9/", timeoutMs: 1_000, cacheMs: 0 };
    const settings = { ...open, xclientFrom: us, authentication: true };
    await using feeder = await testFeeder({ secrets: await secretsWithAnna(), settings, httpAuth });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say("XCLIENT LOGIN=anna")).code, 550);
  });

  test("does not leave the proxy's own login to its client", async () => {
    const settings = { ...open, xclientFrom: us, authentication: true };
    await using feeder = await testFeeder({ secrets: await secretsWithAnna(), settings });
    for (const attributes of ["ADDR=192.0.2.7", "LOGIN=[UNAVAILABLE]"]) {
      using talker = await SmtpTalker.ready(feeder.port);
      assert.equal((await talker.say(`AUTH PLAIN ${ANNA_SECRET}`)).code, 235);
      assert.equal((await talker.say(`XCLIENT ${attributes}`)).code, 220);
      assert.equal((await talker.say("EHLO laptop.example")).code, 250);
      assert.match((await talker.say("MAIL FROM:<a@one.example>")).text, /^530 5\.7\.0 /);
    }
  });

  test("is for later when the account cannot be looked up, and not the client's fault", async () => {
    const { log, lines } = collectingLog();
    const secrets = { ...memorySecrets(), get: () => Promise.reject(new Error("/var/secrets is gone")) };
    await using feeder = await testFeeder({ log, secrets, settings: { xclientFrom: us } });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.match((await talker.say("XCLIENT LOGIN=anna")).text, /^421 4\.3\.0 /);
    await talker.closed();
    assert.match(String(lines.find(({ level }) => level === "error")?.fields["err"]), /is gone/);
  });

  test("changes nothing when any of it cannot be read, and has no place in a transaction", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { xclientFrom: us } });
    using talker = await SmtpTalker.ready(feeder.port);
    for (const [attributes, wrong] of [
      ["", "no attributes"],
      [" ADDR=192.0.2.7 NAME=a+0D+0Ab", "NAME"],
      [" ADDR=192.0.2.7 FOO=1", "FOO"],
      [" PORT=65536 ADDR=192.0.2.7", "PORT"],
      [" ADDR=192.0.2.7 ADDR=192.0.2.7", "ADDR"],
    ]) {
      const { text } = await talker.say(`XCLIENT${attributes}`);
      assert.equal(text, `501 5.5.4 Cannot read XCLIENT: ${wrong}`);
    }
    assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 250);
    assert.match((await talker.say("XCLIENT ADDR=192.0.2.7")).text, /^503 5\.5\.1 /);
    assert.equal((await talker.say("RSET")).code, 250);
    assert.equal((await talker.mail()).code, 250);
    assert.equal(collected[0]?.origin.ip, "127.0.0.1");
  });
});

describe("XFORWARD", () => {
  test("tells where one message came from, and nothing of the next", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { xforwardFrom: us } });
    using talker = await SmtpTalker.greeted(feeder.port);
    const offered = (await talker.say("EHLO filter.example")).lines;
    assert.ok(offered.includes("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"));
    assert.equal((await talker.say("XFORWARD NAME=client.example ADDR=IPv6:2001:db8::7")).code, 250);
    assert.equal((await talker.say("XFORWARD HELO=laptop PROTO=SMTP SOURCE=REMOTE")).code, 250);
    assert.equal((await talker.mail()).code, 250);
    assert.equal((await talker.mail()).code, 250);
    assert.equal((await talker.say("XFORWARD ADDR=[UNAVAILABLE]")).code, 250);
    assert.equal((await talker.mail()).code, 250);
    assert.deepEqual(
      collected.map(({ origin: { ip, host, helo } }) => [ip, host, helo]),
      [
        ["2001:db8::7", "client.example", "laptop"],
        ["127.0.0.1", null, "filter.example"],
        [null, null, null],
      ],
    );
  });

  test("is forgotten with RSET and EHLO, and has no place in a transaction", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { xforwardFrom: us } });
    using talker = await SmtpTalker.ready(feeder.port);
    for (const reset of ["RSET", "EHLO filter.example"]) {
      assert.equal((await talker.say("XFORWARD ADDR=192.0.2.7")).code, 250);
      assert.equal((await talker.say(reset)).code, 250);
      assert.equal((await talker.mail()).code, 250);
    }
    assert.deepEqual(
      collected.map(({ origin }) => origin.ip),
      ["127.0.0.1", "127.0.0.1"],
    );
    assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 250);
    assert.match((await talker.say("XFORWARD ADDR=192.0.2.7")).text, /^503 5\.5\.1 /);
  });
});
