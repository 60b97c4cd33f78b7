import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import { HOUR, SECOND } from "#shared/domain/units.ts";
import { httpSenderDirectory } from "#shared/runtime/http-sender-directory.ts";
import { message } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { collectingLog, collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import { httpPeer } from "../../support/http-peer.ts";
import type { HttpPeer, PeerAnswer } from "../../support/http-peer.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

const answering = (body: unknown): Promise<HttpPeer> =>
  httpPeer(() => ({ status: 200, body: typeof body === "string" ? body : JSON.stringify(body) }));

const PEM = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
const key = (privateKey: unknown) => ({ domainName: "a.example", keySelector: "s", privateKey });

const directory = (url: string, cacheMs = 0) =>
  httpSenderDirectory({ url, timeoutMs: 10 * SECOND, cacheMs }, { clock: fakeClock() });

describe("MAIL where senders are looked up", () => {
  test("asks as ZoneMTA does, and what it is told goes with the message", async () => {
    const at = Date.UTC(2027, 0, 1);
    await using peer = await answering({ sendingZone: "bulk", deferDelivery: at, fbl: "c-7", other: [1] });
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, senders: directory(`${peer.url}/sender`) });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.mail()).code, 250);
    assert.deepEqual(collected[0]?.settings, {
      zone: "bulk",
      notBefore: at,
      fbl: "c-7",
      dkimKeys: [],
      way: null,
    });
    const [{ method, target, headers, body } = assert.fail("nobody was asked")] = peer.asked;
    assert.deepEqual([method, target], ["POST", "/sender"]);
    assert.equal(headers["content-type"], "application/x-www-form-urlencoded");
    assert.deepEqual(Object.fromEntries(new URLSearchParams(body)), {
      from: "a@one.example",
      origin: "127.0.0.1",
      originhost: "",
      transhost: "client.example",
      transtype: "ESMTP",
      user: "",
    });
  });

  test("keeps the order of replies to commands that came at once", async () => {
    await using peer = await answering({});
    await using feeder = await testFeeder({ senders: directory(peer.url) });
    using talker = await SmtpTalker.ready(feeder.port);
    talker.write("MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nNOOP\r\nRSET\r\n");
    const codes: string[] = [];
    for (let i = 0; i < 4; i++) codes.push((await talker.reply()).text.slice(0, 9));
    assert.deepEqual(codes, ["250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0"]);
  });

  const refusals: [told: object, reply: string][] = [
    [{ error: "Over quota" }, "550 5.7.1 Over quota"],
    [{ error: "Over quota", code: 452 }, "452 4.7.1 Over quota"],
    [{ error: "5.7.0 Blocked", code: "554" }, "554 5.7.0 Blocked"],
    [{ error: "a\r\n250 yes", code: 200 }, "550 5.7.1 a?250 yes"],
  ];
  for (const [told, reply] of refusals) {
    test(`is refused as told: ${JSON.stringify(told)}`, async () => {
      await using peer = await answering(told);
      const { submit, collected } = collectingSubmit();
      await using feeder = await testFeeder({ submit, senders: directory(peer.url, HOUR) });
      using talker = await SmtpTalker.ready(feeder.port);
      assert.equal((await talker.say("MAIL FROM:<a@one.example>")).text, reply);
      assert.match((await talker.say("RCPT TO:<b@two.example>")).text, /^503 /);
      assert.equal((await talker.say("MAIL FROM:<a@one.example>")).text, reply, "and asked about again");
      assert.equal(peer.asked.length, 2);
      assert.deepEqual(collected, []);
    });
  }

  const failures: [what: string, answer: PeerAnswer][] = [
    ["an error", { status: 500, body: "{}" }],
    ["a redirect", { status: 302, headers: { location: "/other" } }],
    ["no JSON", { status: 200, body: "<html>" }],
    ["no object", { status: 200, body: "[]" }],
    ["a zone that is no name", { status: 200, body: '{"sendingZone":7}' }],
    ["a key that signs nothing", { status: 200, body: JSON.stringify({ dkim: { keys: [key("no PEM")] } }) }],
    [
      "a key whose list leaves out From",
      { status: 200, body: JSON.stringify({ dkim: { keys: [{ ...key(PEM), headerFieldNames: "to:cc" }] } }) },
    ],
    [
      "a key that ends before it begins",
      { status: 200, body: JSON.stringify({ dkim: { keys: [{ ...key(PEM), signatureExpireIn: -1 }] } }) },
    ],
    ["a key without its domain", { status: 200, body: '{"dkim":{"keys":[{"privateKey":"x"}]}}' }],
    [
      "more keys than a mail takes",
      { status: 200, body: JSON.stringify({ dkim: { keys: Array(11).fill(key(PEM)) } }) },
    ],
    ["a time that is none", { status: 200, body: '{"deferDelivery":"soon"}' }],
    ["more than an answer takes", { status: 200, body: `{"x":"${"y".repeat(300_000)}"}` }],
  ];
  for (const [what, answer] of failures) {
    test(`is for later when the answer is ${what}`, async () => {
      await using peer = await httpPeer(() => answer);
      const { log, lines } = collectingLog();
      await using feeder = await testFeeder({ log, senders: directory(peer.url) });
      using talker = await SmtpTalker.ready(feeder.port);
      assert.equal(
        (await talker.say("MAIL FROM:<a@one.example>")).text,
        "451 4.3.0 Cannot look up the sender now, try again later",
      );
      assert.equal((await talker.say("RCPT TO:<b@two.example>")).code, 503);
      assert.ok(lines.some(({ level, msg }) => level === "error" && msg === "sender could not be looked up"));
    });
  }

  test("tells the operator in one line which part of the answer makes no sense, and shows no key", async () => {
    const told: [body: unknown, fault: RegExp][] = [
      [{ sendingZone: 7 }, /^the sender configuration is not to be used: sendingZone: [^\n]*expected string/],
      [[1], /^the sender configuration is not to be used: [^\n]*expected object/],
      [
        { dkim: { keys: [{ privateKey: "S3CRET" }] } },
        /^the sender configuration is not to be used: dkim\.keys/,
      ],
    ];
    for (const [body, fault] of told) {
      await using peer = await answering(body);
      const { origin } = message();
      await assert.rejects(directory(peer.url).lookUp({ returnPath: null, origin }), (error: Error) => {
        assert.match(error.message, fault);
        assert.doesNotMatch(error.message, /S3CRET/);
        return true;
      });
    }
  });

  test("gives a server that says nothing its time and no more", async () => {
    await using peer = await httpPeer(() => "silence");
    const clock = fakeClock();
    const senders = httpSenderDirectory({ url: peer.url, timeoutMs: 5 * SECOND, cacheMs: 0 }, { clock });
    await using feeder = await testFeeder({ senders });
    using talker = await SmtpTalker.ready(feeder.port);
    const reply = talker.say("MAIL FROM:<a@one.example>");
    while (peer.asked.length === 0) await new Promise(setImmediate);
    await clock.advance(5 * SECOND);
    assert.equal((await reply).code, 451);
  });
});

describe("what a directory has said of a sender", () => {
  test("may have DKIM keys, one or several, as ZoneMTA writes them", async () => {
    const expected = { domain: "a.example", selector: "s", privateKey: PEM };
    for (const keys of [[key(PEM)], key(PEM)]) {
      await using peer = await answering({ dkim: { keys, hashAlgo: "sha256" } });
      const answer = await directory(peer.url).lookUp(sender("a@x"));
      assert.deepEqual(answer.kind === "settings" && answer.settings.dkimKeys, [expected]);
    }
  });

  const sender = (from: string) => ({
    returnPath: from as never,
    origin: {
      interface: "api",
      protocol: "HTTP" as const,
      ip: null,
      host: null,
      helo: null,
      user: null,
      tls: null,
    },
  });

  test("is remembered for as long as is configured, of each sender by himself", async () => {
    await using peer = await httpPeer((_, nth) => ({ status: 200, body: `{"sendingZone":"z${nth}"}` }));
    const clock = fakeClock();
    const asked = httpSenderDirectory({ url: peer.url, timeoutMs: SECOND, cacheMs: 60 * SECOND }, { clock });
    const zoneOf = async (from: string) => {
      const answer = await asked.lookUp(sender(from));
      return answer.kind === "settings" ? answer.settings.zone : answer;
    };
    assert.deepEqual([await zoneOf("a@x"), await zoneOf("a@x"), await zoneOf("b@x")], ["z1", "z1", "z2"]);
    await clock.advance(60 * SECOND);
    assert.equal(await zoneOf("a@x"), "z3");
  });

  test("is asked for with the user and password in the URL as Basic auth", async () => {
    await using peer = await answering({});
    await directory(peer.url.replace("http://", "http://us:p%40ss@")).lookUp(sender("a@x"));
    assert.equal(
      peer.asked[0]?.headers["authorization"],
      `Basic ${Buffer.from("us:p@ss").toString("base64")}`,
    );
  });

  test("is waited for by a thousand at once, of whom few ask at a time", async () => {
    let [now, most] = [0, 0];
    await using peer = await httpPeer(async () => {
      most = Math.max(most, ++now);
      await new Promise(setImmediate);
      now--;
      return { status: 200, body: "{}" };
    });
    const asked = directory(peer.url);
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, (_, i) => asked.lookUp(sender(`${i}@x`))),
    );
    assert.ok(answers.every(({ kind }) => kind === "settings"));
    assert.ok(most <= 50, `${most} at once`);
  });
});
