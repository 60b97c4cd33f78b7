/** What proxies and the operator's servers say at submission, followed to the mail that the receiver gets. */

import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import type { ConfigInput } from "#shared/runtime/define-config.ts";
import { fakeDns } from "../support/fake-dns.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { httpPeer } from "../support/http-peer.ts";
import type { Relay } from "../support/relay.ts";
import { queuedId, startRelay } from "../support/relay.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";
import { verifyDkim } from "../support/verify-dkim.ts";

const MX = {
  "two.example": { mx: [[10, "mx.two.example"]] as const },
  "mx.two.example": { a: ["127.0.0.1"] },
};
const listen = { host: "127.0.0.1", port: 0 };
const us = ["127.0.0.1"];

function relayTo(mx: FakeMx, config: ConfigInput): Promise<Relay> {
  return startRelay({ dns: fakeDns(MX), config: { zones: { default: { port: mx.port } }, ...config } });
}

describe("mail", () => {
  test("that a proxy hands on by XCLIENT is traced to the client, in Received and X-Originating-IP", async () => {
    await using mx = await startFakeMx();
    await using relay = await relayTo(mx, { smtpInterfaces: { feeder: { ...listen, useXClient: us } } });
    using talker = await SmtpTalker.ready(relay.smtpPort);
    assert.equal((await talker.say("XCLIENT ADDR=192.0.2.7 NAME=client.example")).code, 220);
    assert.equal((await talker.say("EHLO laptop.example")).code, 250);
    await relay.finished(queuedId((await talker.mail()).text));
    const text = (await mx.waitFor(1))[0]?.body.toString() ?? "";
    assert.match(text, /^Received: from laptop\.example\s+\(client\.example \[192\.0\.2\.7\]\)/);
    assert.match(text, /^X-Originating-IP: \[192\.0\.2\.7\]\r$/m);
  });

  test("by LMTP is delivered to each of its recipients, and the Received line says LMTP", async () => {
    await using mx = await startFakeMx();
    await using relay = await relayTo(mx, { smtpInterfaces: { lmtp: { ...listen, lmtp: true } } });
    using talker = SmtpTalker.connect(relay.smtpPort);
    await talker.reply();
    await talker.sayAll(
      "LHLO client.example",
      "MAIL FROM:<a@one.example>",
      "RCPT TO:<b@two.example>",
      "RCPT TO:<c@two.example>",
      "DATA",
    );
    talker.write("Subject: x\r\n\r\nx\r\n.\r\n");
    const replies = [await talker.reply(), await talker.reply()];
    const ids = new Set(replies.map(({ text }) => queuedId(text)));
    assert.equal(ids.size, 1);
    const { rows } = await relay.finished([...ids][0] as never);
    assert.deepEqual(
      rows.map(({ state }) => state),
      ["delivered", "delivered"],
    );
    assert.match((await mx.waitFor(1))[0]?.body.toString() ?? "", /\(ZoneFleet\) with LMTP\s/);
  });

  test("of who logged in by HTTP goes by the zone that the operator's directory names, signed with its key", async () => {
    await using mx = await startFakeMx();
    const { privateKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const keys = [{ domainName: "shop.example", keySelector: "s1", privateKey: pem }];
    const body = JSON.stringify({ sendingZone: "shop", dkim: { keys } });
    await using peer = await httpPeer(({ method }) => ({ status: 200, ...(method === "POST" && { body }) }));
    await using relay = await relayTo(mx, {
      smtpInterfaces: { feeder: { ...listen, authentication: true, allowInsecureAuth: true } },
      zones: { shop: { port: mx.port }, default: { disabled: true } },
      plugins: {
        "core/http-auth": { enabled: true, url: `${peer.url}/auth` },
        "core/http-config": { enabled: true, url: `${peer.url}/sender` },
      },
    });
    using talker = await SmtpTalker.ready(relay.smtpPort);
    const login = Buffer.from("\0anna\0secret").toString("base64");
    assert.equal((await talker.say(`AUTH PLAIN ${login}`)).code, 235);
    const text = "From: a@one.example\r\nTo: b@two.example\r\nSubject: x\r\n\r\nx\r\n";
    const { message, rows } = await relay.finished(queuedId((await talker.mail(text)).text));
    assert.deepEqual([rows[0]?.zone, rows[0]?.state, message.origin.user], ["shop", "delivered", "anna"]);
    assert.equal(new URLSearchParams(peer.asked.at(-1)?.body).get("user"), "anna");
    assert.ok(!JSON.stringify(message).includes("PRIVATE"), "the key is not in the queue");
    const record = { "s1._domainkey.shop.example": createPublicKey(privateKey) };
    const received = (await mx.waitFor(1))[0]?.body ?? Buffer.alloc(0);
    assert.deepEqual(verifyDkim(received, record), [true]);
  });
});
