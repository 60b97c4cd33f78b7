import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { putAccount } from "#shared/app/accounts.ts";
import { FAILURE_DELAY_MS } from "#shared/app/credentials.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { collectingLog, collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

const settings = { authentication: true, allowInsecureAuth: true };
const LOGIN = `AUTH PLAIN ${Buffer.from("\0anna\0secret").toString("base64")}`;

describe("a login that is not asked for", () => {
  test("is offered, and mail is taken with it and without", async () => {
    const { submit, collected } = collectingSubmit();
    const secrets = memorySecrets();
    await putAccount({ secrets, randomBytes }, { user: "anna", password: "secret" });
    await using feeder = await testFeeder({ submit, secrets, settings: { ...settings, authOptional: true } });
    using talker = await SmtpTalker.greeted(feeder.port);
    assert.ok((await talker.say("EHLO client.example")).lines.includes("AUTH PLAIN LOGIN"));
    assert.equal((await talker.mail()).code, 250);
    assert.equal((await talker.say(LOGIN)).code, 235);
    assert.equal((await talker.mail()).code, 250);
    assert.deepEqual(
      collected.map(({ origin }) => origin.user),
      [null, "anna"],
    );
  });
});

describe("a login", () => {
  test("that fails is answered after a while, logged without its password, and counted", async () => {
    const clock = fakeClock();
    const { log, lines } = collectingLog();
    let failures = 0;
    await using feeder = await testFeeder({
      settings,
      clock,
      log,
      metrics: { authFailed: () => (failures += 1) },
    });
    using talker = await SmtpTalker.ready(feeder.port);
    let answered = false;
    const reply = talker.say(LOGIN).finally(() => {
      answered = true;
    });
    while (clock.sleepers === 0) await new Promise(setImmediate);
    await clock.advance(FAILURE_DELAY_MS - 1);
    assert.equal(answered, false);
    await clock.advance(1);
    assert.equal((await reply).text, "535 5.7.8 User or password is wrong");
    const line = lines.find(({ msg }) => msg === "authentication failed");
    assert.equal(line?.fields["user"], "anna");
    assert.equal(line?.fields["ip"], "127.0.0.1");
    assert.ok(!JSON.stringify(lines).includes("secret"));
    assert.equal(failures, 1);
  });

  test("that cannot be checked is refused for now, with the reason in the log alone", async () => {
    const { log, lines } = collectingLog();
    const secrets = { ...memorySecrets(), get: () => Promise.reject(new Error("/var/secrets is gone")) };
    await using feeder = await testFeeder({ settings, log, secrets });
    using talker = await SmtpTalker.ready(feeder.port);
    for (let i = 0; i < 5; i++) {
      assert.equal((await talker.say(LOGIN)).text, "454 4.7.0 Cannot check the login now, try again later");
    }
    assert.match(
      String(lines.find(({ level }) => level === "error")?.fields["err"]),
      /\/var\/secrets is gone/,
    );
    assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 530);
  });
});
