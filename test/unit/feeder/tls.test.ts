import assert from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { connect as connectTls } from "node:tls";

import { putAccount } from "#shared/app/accounts.ts";
import { collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";
import { OTHER_CERT, OTHER_KEY, TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

const tls = { key: TEST_KEY, cert: TEST_CERT, ca: null };
const starttls = { tls, starttls: true };
const ANNA_SECRET = Buffer.from("\0anna\0secret").toString("base64");

async function secretsWithAnna(): Promise<ReturnType<typeof memorySecrets>> {
  const secrets = memorySecrets();
  await putAccount({ secrets, randomBytes }, { user: "anna", password: "secret" });
  return secrets;
}

describe("STARTTLS", () => {
  test("is offered in clear, and AUTH only under TLS", async () => {
    const { submit, collected } = collectingSubmit();
    const secrets = await secretsWithAnna();
    await using feeder = await testFeeder({
      submit,
      secrets,
      settings: { ...starttls, authentication: true },
    });
    using talker = await SmtpTalker.greeted(feeder.port);
    const clear = (await talker.say("EHLO client.example")).lines;
    assert.ok(clear.includes("STARTTLS") && !clear.some((line) => line.startsWith("AUTH")));
    assert.match((await talker.say(`AUTH PLAIN ${ANNA_SECRET}`)).text, /^538 5\.7\.11 /);
    assert.match((await talker.say("STARTTLS now")).text, /^501 5\.5\.4 /);
    assert.match((await talker.say("STARTTLS")).text, /^220 2\.0\.0 /);
    await talker.upgrade();
    const secured = (await talker.say("EHLO client.example")).lines;
    assert.ok(!secured.includes("STARTTLS") && secured.includes("AUTH PLAIN LOGIN"));
    assert.match((await talker.say("STARTTLS")).text, /^503 5\.5\.1 /);
    assert.equal((await talker.say(`AUTH PLAIN ${ANNA_SECRET}`)).code, 235);
    assert.equal((await talker.mail()).code, 250);
    const origin = collected[0]?.origin;
    assert.equal(origin?.protocol, "ESMTPSA");
    assert.equal(origin?.user, "anna");
    assert.match(origin?.tls ?? "", /^TLSv1\.3 TLS_\w+$/);
  });

  test("forgets what was said before it: EHLO, AUTH and the transaction", async () => {
    const secrets = await secretsWithAnna();
    const settings = { ...starttls, authentication: true, allowInsecureAuth: true };
    await using feeder = await testFeeder({ secrets, settings });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say(`AUTH PLAIN ${ANNA_SECRET}`)).code, 235);
    assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 250);
    assert.equal((await talker.say("STARTTLS")).code, 220);
    await talker.upgrade();
    assert.match((await talker.say("RCPT TO:<b@two.example>")).text, /^503 5\.5\.1 /);
    assert.ok((await talker.say("EHLO client.example")).lines.includes("AUTH PLAIN LOGIN"));
    assert.match((await talker.say("MAIL FROM:<a@one.example>")).text, /^530 5\.7\.0 /);
  });

  test("drops what came in clear behind it, in the same segment or partly (CVE-2011-0411, CVE-2021-33515)", async () => {
    const injections = [
      "STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<x@evil.example>\r\nRCPT TO:<y@evil.example>\r\nDATA\r\n",
      "STARTTLS\r\nNOOP",
      `STARTTLS\r\n${"NOOP\r\n".repeat(500)}`,
    ];
    for (const injection of injections) {
      const { submit, collected } = collectingSubmit();
      await using feeder = await testFeeder({ submit, settings: starttls });
      using talker = await SmtpTalker.ready(feeder.port);
      talker.write(injection);
      assert.equal((await talker.reply()).code, 220);
      await talker.upgrade();
      assert.match((await talker.say("MAIL FROM:<a@one.example>")).text, /^503 5\.5\.1 /);
      assert.equal((await talker.say("EHLO client.example")).code, 250);
      assert.equal((await talker.mail("mine\r\n")).code, 250);
      assert.deepEqual(
        collected.map(({ text, origin }) => [text, origin.helo]),
        [["mine\r\n", "client.example"]],
      );
    }
  });

  test("that comes to nothing ends that session alone", async () => {
    await using feeder = await testFeeder({ settings: starttls });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.say("STARTTLS")).code, 220);
    talker.write("this is no handshake\r\n");
    await talker.closed();
    using next = await SmtpTalker.ready(feeder.port);
    assert.equal((await next.mail()).code, 250);
  });
});

describe("a client that closes its side", () => {
  test("before or in a TLS handshake is not waited for", async () => {
    await using feeder = await testFeeder({ settings: { tls, starttls: true } });
    for (const bytes of [
      "STARTTLS\r\n",
      `${"FOO\r\n".repeat(8)}STARTTLS\r\n`,
      "FOO\r\nSTARTTLS\r\nNOOP",
      "STARTTLS\r\n\x16\x03\x01",
    ]) {
      using talker = SmtpTalker.connect(feeder.port);
      talker.write(bytes);
      talker.end();
      await talker.closed();
    }
    await using secure = await testFeeder({ settings: { tls, secure: true } });
    for (const bytes of ["\x16\x03\x01", ""]) {
      using talker = SmtpTalker.connect(secure.port);
      talker.write(bytes);
      talker.end();
      await talker.closed();
    }
  });
});

describe("an interface with TLS from the first byte", () => {
  test("greets inside TLS and offers no STARTTLS", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { tls, secure: true, starttls: true } });
    using talker = SmtpTalker.connectTls(feeder.port);
    assert.equal((await talker.reply()).code, 220);
    assert.ok(!(await talker.say("EHLO client.example")).lines.includes("STARTTLS"));
    assert.match((await talker.say("STARTTLS")).text, /^503 5\.5\.1 /);
    assert.equal((await talker.mail()).code, 250);
    assert.equal(collected[0]?.origin.protocol, "ESMTPS");
  });

  test("closes on a client that does not speak it", async () => {
    await using feeder = await testFeeder({ settings: { tls, secure: true } });
    using talker = SmtpTalker.connect(feeder.port);
    talker.write("EHLO client.example\r\n");
    assert.ok(!(await talker.closed()).includes("220"));
    using next = SmtpTalker.connectTls(feeder.port);
    assert.equal((await next.reply()).code, 220);
  });
});

describe("an interface that is to speak TLS", () => {
  test("does not start without a certificate of its own", async () => {
    for (const settings of [{ secure: true }, { starttls: true }]) {
      await assert.rejects(testFeeder({ settings }), /SMTP interface feeder .* key and a certificate/);
    }
  });
});

describe("a server name that the client asks for", () => {
  const OTHER = { key: OTHER_KEY, cert: OTHER_CERT, ca: null };
  const certificates = new Map([
    ["smtp.other.example", OTHER],
    ["*.star.example", OTHER],
    ["xn--jgeva-dua.ee", OTHER],
  ]);
  const asked: [name: string, cert: string][] = [
    ["smtp.other.example", OTHER_CERT],
    ["SMTP.Other.Example", OTHER_CERT],
    ["a.star.example", OTHER_CERT],
    ["a.b.star.example", TEST_CERT],
    ["star.example", TEST_CERT],
    ["xn--jgeva-dua.ee", OTHER_CERT],
    ["localhost", TEST_CERT],
    ["", TEST_CERT],
  ];

  for (const [servername, cert] of asked) {
    test(`gets its certificate, or the interface's own: ${servername || "none"}`, async () => {
      for (const mode of [{ secure: true }, { starttls: true }]) {
        await using feeder = await testFeeder({ settings: { tls, certificates, ...mode } });
        assert.deepEqual(await certificateOf(feeder.port, servername, mode), new X509Certificate(cert).raw);
      }
    });
  }
});

/** The certificate in DER that the server shows to who asks for `servername`. */
async function certificateOf(
  port: number,
  servername: string,
  { starttls = false }: { starttls?: boolean },
): Promise<Buffer> {
  const socket = connect({ port, host: "127.0.0.1" });
  if (starttls) {
    await once(socket, "data");
    socket.write("EHLO client.example\r\n");
    await once(socket, "data");
    socket.write("STARTTLS\r\n");
    await once(socket, "data");
  }
  const secured = connectTls({ socket, servername, rejectUnauthorized: false });
  await once(secured, "secureConnect");
  const { raw } = secured.getPeerCertificate();
  secured.destroy();
  return raw;
}
