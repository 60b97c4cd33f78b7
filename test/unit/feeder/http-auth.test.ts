import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { httpCredentialCheck } from "../../../sender/feeder/http-auth.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { collectingLog, collectingSubmit, hastyClock, testFeeder } from "../../support/feeder-harness.ts";
import { httpPeer } from "../../support/http-peer.ts";
import type { HttpPeer } from "../../support/http-peer.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

const settings = { authentication: true, allowInsecureAuth: true };
const LOGIN = `AUTH PLAIN ${Buffer.from("\0anna\0secret").toString("base64")}`;
const RIGHT = `Basic ${Buffer.from("anna:secret").toString("base64")}`;

/** Knows anna alone. */
const annasServer = (): Promise<HttpPeer> =>
  httpPeer(({ headers }) => ({ status: headers["authorization"] === RIGHT ? 200 : 401 }));

function checking(url: string, options: { timeoutMs?: number; cacheMs?: number } = {}) {
  const clock = fakeClock();
  const service = { url, timeoutMs: 10 * SECOND, cacheMs: 30 * SECOND, ...options };
  const check = httpCredentialCheck(service, { clock, key: randomBytes(32) });
  return { clock, check: (user: string, password: string) => check({ user, password }) };
}

describe("HTTP authentication", () => {
  test("asks as ZoneMTA does, and its yes lets the client send", async () => {
    await using peer = await annasServer();
    const { submit, collected } = collectingSubmit();
    const httpAuth = { url: `${peer.url}/auth?app=mail`, timeoutMs: 10 * SECOND, cacheMs: 0 };
    await using feeder = await testFeeder({ settings, submit, httpAuth });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 530);
    assert.equal((await talker.say(LOGIN)).code, 235);
    assert.equal((await talker.mail()).code, 250);
    assert.equal(collected[0]?.origin.user, "anna");
    const [{ method, target, headers } = assert.fail("nobody was asked")] = peer.asked;
    assert.deepEqual(
      [method, target, headers["authorization"]],
      ["GET", "/auth?app=mail&transport=SMTP", RIGHT],
    );
  });

  test("refuses a wrong login, and never remembers that", async () => {
    await using peer = await annasServer();
    const { check } = checking(peer.url);
    assert.equal(await check("anna", "wrong"), "wrong");
    assert.equal(await check("anna", "wrong"), "wrong");
    assert.deepEqual(await check("anna", "secret"), { user: "anna", senders: null });
    assert.equal(peer.asked.length, 3);
  });

  test("remembers a right login for a while, and no other password with it", async () => {
    await using peer = await annasServer();
    const { check, clock } = checking(peer.url, { cacheMs: 30 * SECOND });
    for (let i = 0; i < 5; i++) assert.notEqual(await check("anna", "secret"), "wrong");
    assert.equal(peer.asked.length, 1);
    assert.equal(await check("anna", "Secret"), "wrong");
    await clock.advance(30 * SECOND);
    assert.notEqual(await check("anna", "secret"), "wrong");
    assert.equal(peer.asked.length, 3);
  });

  test("remembers nothing when it is told so", async () => {
    await using peer = await annasServer();
    const { check } = checking(peer.url, { cacheMs: 0 });
    for (let i = 0; i < 3; i++) await check("anna", "secret");
    assert.equal(peer.asked.length, 3);
  });

  test("takes no user whose name would be read as another's, and asks about none", async () => {
    await using peer = await httpPeer(() => ({ status: 200 }));
    const { check } = checking(peer.url);
    const users = ["anna:secret", "", "an\rna", "x".repeat(5_000)];
    for (const user of users) assert.equal(await check(user, "secret"), "wrong");
    assert.equal(await check("anna", ""), "wrong");
    assert.deepEqual(peer.asked, []);
  });

  test("never lets in for anything but 2xx: 4xx is no, the rest is for later", async () => {
    let status = 200;
    await using peer = await httpPeer(() => ({ status, headers: { location: "/yes" } }));
    const { check } = checking(peer.url, { cacheMs: 0 });
    for (status of [400, 401, 403, 404, 418])
      assert.equal(await check("anna", "secret"), "wrong", String(status));
    for (status of [300, 302, 304, 307, 408, 429, 500, 502, 503])
      await assert.rejects(check("anna", "secret"), new RegExp(String(status)));
    for (status of [200, 201, 204])
      assert.deepEqual(await check("anna", "secret"), { user: "anna", senders: null });
    assert.ok(
      peer.asked.every(({ target }) => target === "/?transport=SMTP"),
      "no redirect is followed",
    );
  });

  test("gives a server that says nothing its time and no more", async () => {
    await using peer = await httpPeer(() => "silence");
    const { check, clock } = checking(peer.url, { timeoutMs: 5 * SECOND });
    const answer = assert.rejects(check("anna", "secret"), /no answer in 5000 ms/);
    while (peer.asked.length === 0) await new Promise(setImmediate);
    await clock.advance(5 * SECOND);
    await answer;
  });

  test("that fails is 454 to the client, in no case a yes, with the reason in the log alone", async () => {
    const dead = createServer().listen(0, "127.0.0.1");
    await once(dead, "listening");
    const { port } = dead.address() as AddressInfo;
    await new Promise((resolve) => void dead.close(resolve));
    await using broken = await httpPeer(() => ({ status: 500, body: "stack trace" }));
    for (const url of [`http://127.0.0.1:${port}/`, broken.url]) {
      const { log, lines } = collectingLog();
      const httpAuth = { url, timeoutMs: 10 * SECOND, cacheMs: 30 * SECOND };
      await using feeder = await testFeeder({ settings, log, httpAuth, clock: hastyClock });
      using talker = await SmtpTalker.ready(feeder.port);
      assert.equal((await talker.say(LOGIN)).text, "454 4.7.0 Cannot check the login now, try again later");
      assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 530);
      assert.match(String(lines.find(({ level }) => level === "error")?.fields["err"]), /ECONNREFUSED|500/);
      assert.ok(!JSON.stringify(lines).includes("secret"));
    }
  });
});
