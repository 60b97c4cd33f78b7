import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";

import { createTransport } from "nodemailer";

import { startFakeMx } from "../support/fake-mx.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { describeOverBackends } from "../support/over-backends.ts";
import { queuedId } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";

async function sendBySmtp(relay: Relay, mail: object): Promise<string> {
  const transport = createTransport({ host: "127.0.0.1", port: relay.smtpPort, ignoreTLS: true });
  const sent = await transport.sendMail(mail);
  transport.close();
  return sent.response;
}

const hello = { from: "me@sender.example", to: "you@one.example", subject: "Hello", text: "It works.\n" };

describeOverBackends("a mail that is accepted", (startRelay) => {
  test("by SMTP is delivered to the MX of its recipient, with our Received line", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns(oneExample()),
      config: { zones: { default: { port: mx.port } } },
    });
    const id = queuedId(await sendBySmtp(relay, hello));
    const { rows } = await relay.finished(id);
    assert.equal(rows[0]?.state, "delivered");
    assert.equal(rows[0]?.lastAttempt?.route.mx, "mx.one.example");
    const [mail] = await mx.waitFor(1);
    assert.equal(mail?.returnPath, "me@sender.example");
    assert.deepEqual(mail?.recipients, ["you@one.example"]);
    const text = mail?.body.toString() ?? "";
    assert.match(text, new RegExp(`^Received: from [\\s\\S]*id ${id}\\.001[\\s\\S]*for <you@one\\.example>`));
    assert.match(text, /\r\n\r\nIt works\.\r\n$/);
  });

  test("by HTTP is delivered too, Bcc seen by nobody", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns(oneExample()),
      config: { zones: { default: { port: mx.port } } },
    });
    const response = await fetch(`${relay.httpUrl}/send`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...hello, bcc: "hidden@one.example" }),
    });
    assert.equal(response.status, 200);
    const { id } = (await response.json()) as { id: string };
    await relay.finished(queuedId(`queued as ${id}`));
    const mails = await mx.waitFor(1);
    assert.deepEqual(mails.flatMap(({ recipients }) => recipients).toSorted(), [
      "hidden@one.example",
      "you@one.example",
    ]);
    for (const mail of mails) assert.doesNotMatch(mail.body.toString(), /hidden/);
  });

  test("for fifty recipients of one site travels in one transaction, also when their domains differ", async () => {
    await using mx = await startFakeMx();
    const dns = fakeDns({ ...oneExample(), "two.example": { mx: [[5, "mx.one.example"]] } });
    await using relay = await startRelay({ dns, config: { zones: { default: { port: mx.port } } } });
    const to = Array.from({ length: 50 }, (_, i) => `r${i}@${i % 2 === 0 ? "one" : "two"}.example`);
    const { rows } = await relay.finished(queuedId(await sendBySmtp(relay, { ...hello, to })));
    assert.deepEqual(new Set(rows.map(({ state }) => state)), new Set(["delivered"]));
    const mails = await mx.waitFor(1);
    assert.ok(mails.length <= 2, `${mails.length} transactions`);
    assert.equal(mails.flatMap(({ recipients }) => recipients).length, 50);
    for (const mail of mails)
      assert.doesNotMatch(mail.body.toString("latin1", 0, 400), /for </, "no recipient is named to others");
  });

  test("is signed for the domain of its author, by each of its keys", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey.export({
      type: "pkcs8",
      format: "pem",
    });
    const ed = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
    await using mx = await startFakeMx();
    const config = {
      zones: { default: { port: mx.port } },
      dkim: {
        keys: [
          { domain: "sender.example", selector: "r1", privateKey: rsa.toString() },
          { domain: "sender.example", selector: "e1", privateKey: ed.toString() },
        ],
      },
    };
    await using relay = await startRelay({ dns: fakeDns(oneExample()), config });
    await relay.finished(queuedId(await sendBySmtp(relay, hello)));
    const text = (await mx.waitFor(1))[0]?.body.toString() ?? "";
    const signatures = text.match(/^DKIM-Signature: [\s\S]*?(?=\r\n\S)/gm) ?? [];
    assert.equal(signatures.length, 2);
    assert.match(signatures.join(), /d=sender\.example/);
    assert.match(
      signatures.join(),
      /a=rsa-sha256[\s\S]*a=ed25519-sha256|a=ed25519-sha256[\s\S]*a=rsa-sha256/,
    );
  });

  test("goes on the connection that carried the mail before it", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns(oneExample()),
      config: { zones: { default: { port: mx.port } } },
    });
    for (let i = 0; i < 5; i++) await relay.finished(queuedId(await sendBySmtp(relay, hello)));
    assert.equal(mx.mails.length, 5);
    assert.equal(mx.counts.opened, 1);
  });
});
