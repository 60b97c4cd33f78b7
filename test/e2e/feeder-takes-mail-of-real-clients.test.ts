/** What nodemailer and Python's smtplib send arrives as they meant it. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { promisify } from "node:util";

import { createTransport } from "nodemailer";

import { putAccount } from "#shared/app/accounts.ts";
import { collectingSubmit, testFeeder } from "../support/feeder-harness.ts";
import { memorySecrets } from "../support/memory-secrets.ts";
import { TEST_CERT, TEST_KEY } from "../support/test-certificate.ts";

const PYTHON = "/usr/bin/python3";
const tls = { key: TEST_KEY, cert: TEST_CERT, ca: null };
const mail = {
  from: "Anna <anna@one.example>",
  to: ["ben@two.example", "jõgeva@Jõgeva.ee"],
  subject: "hello",
  text: ".\n..\n.dots in front\nand a last line",
};

async function secretsWithAnna(): Promise<ReturnType<typeof memorySecrets>> {
  const secrets = memorySecrets();
  await putAccount({ secrets, randomBytes }, { user: "anna", password: "sécret" });
  return secrets;
}

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}

describe("nodemailer", () => {
  test("sends in clear, with an address that is not ASCII", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit });
    const client = createTransport({ host: "127.0.0.1", port: feeder.port });
    const info = await client.sendMail(mail);
    assert.match(info.response, /^250 2\.0\.0 Message queued as [0-9a-z]{26}$/);
    assert.deepEqual(collected[0]?.recipients, ["ben@two.example", "jõgeva@xn--jgeva-dua.ee"]);
    assert.equal(collected[0]?.smtputf8, true);
    assert.ok(collected[0]?.text.endsWith("\r\n\r\n.\r\n..\r\n.dots in front\r\nand a last line\r\n"));
  });

  for (const method of ["PLAIN", "LOGIN"]) {
    test(`logs in by ${method} after STARTTLS`, async () => {
      const { submit, collected } = collectingSubmit();
      const secrets = await secretsWithAnna();
      const settings = { tls, starttls: true, authentication: true };
      await using feeder = await testFeeder({ submit, secrets, settings });
      const client = createTransport({
        host: "127.0.0.1",
        port: feeder.port,
        requireTLS: true,
        authMethod: method,
        auth: { user: "anna", pass: "sécret" },
        tls: { ca: TEST_CERT, servername: "localhost" },
      });
      await client.sendMail(mail);
      assert.equal(collected[0]?.origin.user, "anna");
      assert.equal(collected[0]?.origin.protocol, "ESMTPSA");
    });
  }

  test("is told that its password is wrong", async () => {
    const secrets = await secretsWithAnna();
    const settings = { authentication: true, allowInsecureAuth: true };
    await using feeder = await testFeeder({ secrets, settings });
    const client = createTransport({
      host: "127.0.0.1",
      port: feeder.port,
      ignoreTLS: true,
      auth: { user: "anna", pass: "wrong" },
    });
    await assert.rejects(client.sendMail(mail), (error) => {
      assert.ok(error instanceof Error && "response" in error);
      assert.equal(error.response, "535 5.7.8 User or password is wrong");
      return true;
    });
  });

  test("carries many messages over few connections, inside TLS from the first byte", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { tls, secure: true } });
    const client = createTransport({
      pool: true,
      maxConnections: 4,
      host: "127.0.0.1",
      port: feeder.port,
      secure: true,
      tls: { ca: TEST_CERT, servername: "localhost" },
    });
    const subjects = Array.from({ length: 100 }, (_, i) => `mail ${i}`);
    await Promise.all(subjects.map((subject) => client.sendMail({ ...mail, subject })));
    client.close();
    assert.deepEqual(
      collected.map(({ text }) => /^Subject: (.*)\r$/m.exec(text)?.[1] ?? "").toSorted(byText),
      subjects.toSorted(byText),
    );
  });
});

const SMTPLIB = `
import smtplib, ssl, sys
port, certificate = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cadata=certificate)
with smtplib.SMTP("localhost", port, local_hostname="client.example", source_address=("127.0.0.1", 0)) as client:
    client.starttls(context=context)
    client.login("anna", "secret")
    refused = client.sendmail("anna@one.example", ["ben@two.example", "bad..address@two.example"],
        b"Subject: hello\\r\\n\\r\\n.\\r\\n.dot\\r\\n", mail_options=["BODY=8BITMIME"])
    print(refused)
    try:
        client.sendmail("anna@one.example", ["ben@two.example"], "hello", rcpt_options=["NOTIFY=NEVER"])
    except smtplib.SMTPRecipientsRefused as error:
        print(error.recipients)
`;

describe("Python's smtplib", { skip: !existsSync(PYTHON) && "it is not here" }, () => {
  test("logs in after STARTTLS and is told of each recipient", async () => {
    const { submit, collected } = collectingSubmit();
    const secrets = memorySecrets();
    await putAccount({ secrets, randomBytes }, { user: "anna", password: "secret" });
    const settings = { tls, starttls: true, authentication: true };
    await using feeder = await testFeeder({ submit, secrets, settings });
    const { stdout } = await promisify(execFile)(PYTHON, ["-c", SMTPLIB, String(feeder.port), TEST_CERT], {
      timeout: 30_000,
    });
    assert.deepEqual(stdout.trimEnd().split("\n"), [
      "{'bad..address@two.example': (553, b'5.1.3 Not a valid recipient address: before the @ is a character that takes quotes, or a dot too many')}",
      "{'ben@two.example': (555, b'5.5.4 Parameter NOTIFY is not offered')}",
    ]);
    assert.equal(collected.length, 1);
    assert.equal(collected[0]?.text, "Subject: hello\r\n\r\n.\r\n.dot\r\n");
    assert.equal(collected[0]?.origin.user, "anna");
  });
});
